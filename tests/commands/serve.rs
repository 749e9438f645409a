//! `serve`: how it starts, where it listens, which clients it accepts, and what ends it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use rustix::process::Signal;

use crate::peer;
use crate::support::require::{IPV6, require};
use crate::support::{Bridge, Home, Start as _, mode};

const SECRET: [&str; 2] = ["--secret", "TOKEN=hunter2"];

pub(super) fn with<'a>(options: &[&'a str]) -> Vec<&'a str> {
    [&SECRET, options].concat()
}

pub(super) fn is_conf(text: &str) -> bool {
    text.starts_with("sb1_") && text.len() <= 200 && !text.contains(char::is_whitespace)
}

#[test]
fn messages_about_a_client_begin_with_its_address() {
    let bridge = Bridge::serve(["--secret", "K=value"]);
    bridge.client(["print", "K"]).outcome().succeeds();
    bridge.client(["print", "OTHER"]).outcome().fails();
    bridge.process.says("secrets-bridge: 127.0.0.1: sent K");
    bridge.process.says("secrets-bridge: warning: 127.0.0.1: refused OTHER");

    let bridge = Bridge::serve(["-v", "--secret", "K=value"]);
    bridge.client(["print", "K"]).outcome().succeeds();
    let log = bridge.end().succeeds().stderr;
    let line =
        log.lines().find(|line| line.ends_with(": sends K (5 bytes)")).unwrap_or_else(|| panic!("{log}"));
    let words: Vec<&str> = line.split(": ").collect();
    assert!(words[2].starts_with("127.0.0.1:") && words[3].starts_with("session "), "{line}");
}

#[test]
fn the_conf_is_alone_on_stdout_and_everything_else_on_stderr() {
    let bridge = Bridge::serve(SECRET);
    bridge.process.says("the bridge listens on port ");
    let conf = bridge.conf.clone();
    assert!(is_conf(&conf), "{conf}");
    bridge.end().succeeds().prints(format!("{conf}\n")).never_says(&conf);
}

#[test]
fn two_bridges_have_two_confs() {
    assert_ne!(Bridge::serve(SECRET).conf, Bridge::serve(SECRET).conf);
}

#[test]
fn a_conf_with_all_the_addresses_of_a_machine_is_short() {
    let bridge = Bridge::serve(["--listen", ":0"]);
    assert!(is_conf(&bridge.conf), "{}", bridge.conf);
    bridge.client(["test"]).outcome().succeeds();
}

#[test]
fn sigterm_sigint_and_sighup_end_serve_with_code_0() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let bridge = Bridge::serve(SECRET);
        bridge.process.signal(signal);
        bridge.process.ends().succeeds().says("the bridge has stopped: it was shut down on the host");
    }
}

#[test]
fn serve_ends_after_its_timeout() {
    let bridge = Bridge::serve(with(&["--timeout", "1"]));
    bridge.process.says(", for 1s");
    bridge.process.ends().succeeds().says("the bridge has stopped: its timeout has passed");
}

#[test]
fn the_timeout_takes_seconds_or_units_and_defaults_to_one_hour() {
    for (options, shown) in
        [(&[][..], ", for 1h"), (&["-t", "300"], ", for 5m"), (&["--timeout", "1h30m"], ", for 1h 30m")]
    {
        Bridge::serve(with(options)).process.says(shown);
    }
    assert!(!Bridge::serve(with(&["-t", "0"])).process.says("listens").contains(", for"));
    Home::new()
        .serve(with(&["-t", "soon"]))
        .outcome()
        .fails()
        .says("invalid --timeout: must be a number of seconds, or like 5m, 1h, 1h30m");
}

#[test]
fn once_admits_one_session_and_ends_with_it() {
    let bridge = Bridge::serve(with(&["--once"]));
    bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
    bridge
        .process
        .ends()
        .succeeds()
        .says("the bridge has stopped: the last session that it admits has ended");
}

#[test]
fn once_refuses_a_second_session_during_the_first() {
    let home = Home::new();
    home.program("mkfifo", ["pipe"]).outcome().succeeds();
    let bridge = Bridge::serve_in(home, ["--once", "--audit", "-", "--secret", "id=SLOW,cmd=exec cat pipe"]);
    let first = bridge.client(["print", "SLOW"]).start();
    bridge.process.says("\"session-begun\"");
    bridge
        .client(["print", "SLOW"])
        .outcome()
        .fails()
        .says("the bridge has admitted all its sessions (--once or --max-sessions)");
    bridge.home.program("sh", ["-c", "printf value > pipe"]).outcome().succeeds();
    first.ends().succeeds().prints("value");
    bridge.process.ends().succeeds();
}

#[test]
fn max_sessions_admits_that_many_and_then_ends() {
    let bridge = Bridge::serve(with(&["--max-sessions", "3"]));
    for _ in 0..3 {
        assert!(bridge.process.is_running());
        bridge.client(["print", "TOKEN"]).outcome().succeeds();
    }
    bridge.process.ends().succeeds().says("the last session that it admits has ended");
    Home::new()
        .serve(["--max-sessions", "0"])
        .outcome()
        .fails()
        .says("invalid --max-sessions: must be a number, at least 1");
    Home::new().serve(["--once", "--max-sessions", "2"]).outcome().fails();
}

#[test]
fn test_is_not_a_session_and_lists_keys_and_agents() {
    let bridge = Bridge::serve(with(&["--secret", "ci/other=value", "--once"]));
    let text = bridge.client(["test"]).outcome().succeeds().text();
    assert!(text.contains(&format!("{}  answered in ", bridge.address())), "{text}");
    assert!(text.ends_with("keys: TOKEN, ci/other\nagents: none\norigins: none\n"), "{text}");
    let json = bridge.client(["test", "--format", "json"]).outcome().succeeds().text();
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["keys"], serde_json::json!(["TOKEN", "ci/other"]));
    assert_eq!(report["agents"], serde_json::json!([]));
    assert_eq!(report["origins"], serde_json::json!([]));
    assert_eq!(report["answered"][0]["endpoint"], bridge.address().to_string());
    assert!(report["answered"][0]["milliseconds"].as_f64().unwrap() > 0.0);
    bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
}

#[test]
fn kill_ends_the_bridge() {
    let bridge = Bridge::serve(with(&["--audit", "-"]));
    bridge.client(["kill"]).outcome().succeeds().prints("").says("the bridge has stopped");
    bridge.process.ends().succeeds().says("the bridge has stopped: a client ran `kill`").says("\"killed\"");
}

#[test]
fn killing_a_dead_bridge_succeeds_with_a_note() {
    let bridge = Bridge::serve(SECRET);
    bridge.sigkill();
    let note = "no bridge to stop: it has stopped already (nothing listens at its address)";
    bridge.client(["kill"]).outcome().succeeds().prints("").says(note);
}

#[test]
fn kill_fails_if_the_bridge_may_still_run() {
    let bridge = Bridge::serve(SECRET);
    let at = |port: u16, endpoints: &[&str]| {
        let conf = peer::with_endpoints(&peer::conf(&bridge.conf), port, endpoints);
        bridge.home.command(["kill"]).env("BRIDGE_CONF", conf).outcome()
    };
    let unused = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    // A name that never resolves (RFC 6761, 6.4), alone and beside an address without a listener.
    at(unused(), &["bridge.invalid:1"]).fails().says("bridge.invalid:1  the name is not known here");
    at(unused(), &["127.0.0.1", "bridge.invalid:1"]).fails().says("the name is not known here");
    // Nothing listens at loopback, which the conf does not name: a container has its own.
    at(unused(), &[]).fails().says("refused (loopback)");
    // Another service has the port.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port();
    let service = std::thread::spawn(move || {
        let (mut tcp, _) = other.accept().unwrap();
        let _ = (tcp.read(&mut [0; 4096]), tcp.write_all(b"220 ready\r\n"), tcp.read(&mut [0]));
    });
    at(port, &["127.0.0.1"]).fails().says("answered, but not as a bridge does");
    service.join().unwrap();
    // Another bridge, or one of another version.
    let next = Bridge::serve(SECRET);
    at(next.port(), &["127.0.0.1"])
        .fails()
        .says("the bridge does not know this conf (another run, or another version");
    // All that time, it ran.
    bridge.client(["print", "TOKEN"]).outcome().succeeds();
}

#[test]
fn no_kill_refuses_kill() {
    let bridge = Bridge::serve(with(&["--no-kill"]));
    bridge.client(["kill"]).outcome().fails().says("this bridge does not let clients end it");
    bridge.client(["print", "TOKEN"]).outcome().succeeds();
}

#[test]
fn a_port_in_use_is_reported() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    Home::new()
        .serve(with(&["--listen", &at]))
        .outcome()
        .fails()
        .says(&format!("cannot listen on {at}"))
        .says("Address already in use");
}

#[test]
fn a_port_range_gives_a_free_port() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let first = taken.local_addr().unwrap().port();
    // Other processes may take some of these ports meanwhile, but hardly all.
    let last = first.saturating_add(50);
    let bridge = Bridge::serve(with(&["--listen", &format!("127.0.0.1:{first}-{last}")]));
    assert!((first + 1..=last).contains(&bridge.port()), "{}", bridge.port());
    bridge.client(["print", "TOKEN"]).outcome().succeeds();
    Home::new()
        .serve(["--listen", "127.0.0.1:20-10"])
        .outcome()
        .fails()
        .says("invalid --listen: must be [ADDRESS]:PORT");
}

#[test]
fn serve_listens_on_ipv6_too() {
    require!(IPV6);
    let bridge = Bridge::serve(with(&["--listen", "[::1]:0"]));
    bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
}

#[test]
fn peers_outside_allow_from_are_dropped_before_tls() {
    let bridge = Bridge::serve(with(&["--allow-from", "192.0.2.0/24,fd00::/8"]));
    bridge.client(["print", "TOKEN"]).outcome().fails().says(&format!(
        "{}  closed the connection at once (excluded by --allow-from, or not a bridge)",
        bridge.address()
    ));
    let bridge = Bridge::serve(with(&["--allow-from", "192.0.2.0/24,127.0.0.1"]));
    bridge.client(["print", "TOKEN"]).outcome().succeeds();
    Home::new()
        .serve(["--allow-from", "everyone"])
        .outcome()
        .fails()
        .says("invalid --allow-from: must be a list such as");
}

#[test]
fn w_writes_a_private_conf_to_home_or_the_path_of_f() {
    for (options, file) in [(&["-w"][..], ".bridge-conf"), (&["-w", "-f", "build.conf"], "build.conf")] {
        let home = Home::new();
        // An existing file is replaced, and so is its mode.
        let path = home.file(file, "an older one");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
        let process = home.serve(with(options)).start();
        process.says("the conf is in ");
        process.says("the bridge listens");
        assert_eq!(mode(&path), 0o600);
        let conf = home.read(file);
        assert!(is_conf(conf.trim_end()) && conf.ends_with('\n'), "{conf}");
        home.command(["print", "TOKEN", "-c", file]).outcome().succeeds().prints("hunter2");
        process.signal(Signal::TERM);
        process.ends().succeeds().prints("");
    }
}

#[test]
fn a_conf_file_that_cannot_be_written_stops_serve() {
    let home = Home::new();
    home.serve(with(&["-w", "-f", "no/such/directory/conf"]))
        .outcome()
        .fails()
        .says("cannot write no/such/directory/conf");
}

#[test]
fn json_output_holds_the_conf_and_its_fields() {
    let bridge = Bridge::serve(with(&["--format", "json", "--endpoint", "bridge.example:9100", "-t", "0"]));
    let printed: serde_json::Value = serde_json::from_str(&bridge.conf).unwrap();
    let conf = printed["conf"].as_str().unwrap();
    assert!(conf.starts_with("sb1_"));
    assert_eq!(printed["port"], bridge.port());
    assert_eq!(
        printed["endpoints"],
        serde_json::json!(["bridge.example:9100", bridge.address().to_string()])
    );
    assert_eq!(printed["expiry"], serde_json::Value::Null);
    bridge.home.command(["print", "TOKEN", "-c", conf]).outcome().succeeds().prints("hunter2");
    Home::new().serve(["--format", "yaml"]).outcome().fails().says("invalid --format: must be text or json");
}

#[test]
fn a_ca_key_store_keeps_the_conf_between_runs() {
    let options = with(&["--ca-key-store", "store"]);
    let first = Bridge::serve(&options);
    first.process.says("--ca-key-store: a leaked conf stays usable in later runs, as long as store exists");
    assert_eq!(mode(first.home.path("store")), 0o600);
    first.client(["print", "TOKEN"]).outcome().succeeds();
    first.sigkill();

    // The port is kept too, unless another one is asked for.
    let Bridge { home, conf, .. } = first;
    let second = Bridge::serve_in(home, &options);
    assert_eq!(second.conf, conf);
    second.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
}

#[test]
fn a_ca_key_store_that_others_may_read_is_refused() {
    let home = Home::new();
    let bridge = Bridge::serve_in(home, ["--ca-key-store", "store"]);
    bridge.sigkill();
    let home = bridge.home;
    fs::set_permissions(home.path("store"), fs::Permissions::from_mode(0o644)).unwrap();
    home.serve(["--ca-key-store", "store"])
        .outcome()
        .fails()
        .says("cannot use the CA key store store: other users may read it (chmod 600); anyone who can read it can use every bridge that uses it");

    fs::set_permissions(home.path("store"), fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::symlink("store", home.path("link")).unwrap();
    home.serve(["--ca-key-store", "link"]).outcome().fails().says("cannot use the CA key store link: ");

    let file = home.file("something", "else");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
    home.serve(["--ca-key-store", "something"])
        .outcome()
        .fails()
        .says("it is not a CA key store of this version");
    assert_eq!(home.read("something"), "else");
}
