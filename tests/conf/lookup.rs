//! Where a client looks for the conf, in which order, and how it reports one that it cannot use.

use std::process::Command;
use std::time::{Duration, SystemTime};

use proto::BridgeConf;

use crate::support::require::{MOUNT_NAMESPACE, require};
use crate::support::{BINARY, Bridge, Home, Start as _};

/// An invalid conf, for places after the one that is used: a client that read it would fail.
const NEVER_READ: &str = "sb1_this-conf-is-mangled";

fn bridge() -> Bridge {
    Bridge::serve(["--secret", "TOKEN=hunter2"])
}

/// `print TOKEN` without any conf.
fn print(bridge: &Bridge) -> Command {
    bridge.home.command(["print", "TOKEN"])
}

/// The conf of `bridge`, changed by `change`.
fn changed(bridge: &Bridge, change: impl FnOnce(&mut BridgeConf)) -> String {
    let mut conf = BridgeConf::parse(&bridge.conf).unwrap();
    change(&mut conf);
    String::from_utf8(conf.to_text().expose().to_vec()).unwrap()
}

#[test]
fn every_place_works_and_earlier_places_win() {
    let bridge = bridge();
    // From the last place to the first. Each step makes the place of the previous step invalid.
    bridge.home.file(".bridge-conf", &bridge.conf);
    print(&bridge).outcome().succeeds().prints("hunter2");

    bridge.home.file(".bridge-conf", NEVER_READ);
    print(&bridge).env("ftp_proxy", &bridge.conf).outcome().succeeds().prints("hunter2");

    print(&bridge)
        .env("ftp_proxy", NEVER_READ)
        .env("FTP_PROXY", &bridge.conf)
        .outcome()
        .succeeds()
        .prints("hunter2");

    let mut with_variable = print(&bridge);
    with_variable.env("FTP_PROXY", NEVER_READ).env("BRIDGE_CONF", &bridge.conf);
    with_variable.outcome().succeeds().prints("hunter2");

    with_variable.env("BRIDGE_CONF", NEVER_READ).args(["-c", &bridge.conf]);
    with_variable.outcome().succeeds().prints("hunter2");
}

/// The file has a fixed path, so the test needs a mount namespace of its own.
#[cfg(target_os = "linux")]
#[test]
fn a_mounted_conf_comes_after_bridge_conf_and_before_ftp_proxy() {
    require!(MOUNT_NAMESPACE);
    let bridge = bridge();
    let unshare = |script: &str| bridge.home.program("unshare", ["-rm", "sh", "-ec", script, BINARY]);
    let mount = "mount -t tmpfs none /run; mkdir /run/secrets";
    let script =
        format!("{mount}; printf %s \"$SECRET\" > /run/secrets/bridge_conf; exec \"$0\" print TOKEN");
    unshare(&script)
        .env("SECRET", &bridge.conf)
        .env("FTP_PROXY", NEVER_READ)
        .outcome()
        .succeeds()
        .prints("hunter2");
    unshare(&script)
        .env("SECRET", NEVER_READ)
        .env("BRIDGE_CONF", &bridge.conf)
        .outcome()
        .succeeds()
        .prints("hunter2");
    unshare(&script)
        .env("SECRET", NEVER_READ)
        .outcome()
        .fails()
        .says("invalid bridge conf in /run/secrets/bridge_conf: cut or mangled");
}

#[test]
fn c_may_be_before_or_after_the_command() {
    let bridge = bridge();
    let conf = bridge.conf.as_str();
    for arguments in [
        &["-c", conf, "print", "TOKEN"][..],
        &["print", "-c", conf, "TOKEN"],
        &["print", "TOKEN", "-c", conf],
        &["print", "TOKEN", &format!("--bridge-conf={conf}")],
        &["-c", conf, "exec", "--no-mask", "-e", "TOKEN", "--sh", "printf $TOKEN"],
        &["exec", "--no-mask", "-c", conf, "-e", "TOKEN", "--", "sh", "-c", "printf $TOKEN"],
    ] {
        bridge.home.command(arguments).outcome().succeeds().prints("hunter2");
    }
}

#[test]
fn c_takes_a_file_or_standard_input() {
    let bridge = bridge();
    bridge.home.file("bridge.conf", format!("  {}\n", bridge.conf));
    print(&bridge).args(["-c", "bridge.conf"]).outcome().succeeds().prints("hunter2");
    print(&bridge).args(["-c", "-"]).outcome_with(format!("{}\n", bridge.conf)).succeeds().prints("hunter2");
}

#[test]
fn an_empty_variable_is_skipped() {
    // Builders set an empty variable for a build-arg that has no value.
    let bridge = bridge();
    bridge.home.file(".bridge-conf", &bridge.conf);
    print(&bridge)
        .env("BRIDGE_CONF", "")
        .env("FTP_PROXY", "")
        .env("ftp_proxy", " ")
        .outcome()
        .succeeds()
        .prints("hunter2");
}

#[test]
fn an_ftp_proxy_that_is_a_url_is_left_alone() {
    let bridge = bridge();
    bridge.home.file(".bridge-conf", &bridge.conf);
    print(&bridge)
        .env("FTP_PROXY", "http://user:password@proxy.example:3128")
        .outcome()
        .succeeds()
        .prints("hunter2");
}

#[test]
fn without_any_conf_every_place_is_listed_with_what_was_there() {
    let home = Home::new();
    let outcome = home
        .command(["print", "TOKEN"])
        .env("BRIDGE_CONF", "")
        .env("FTP_PROXY", "http://user:hunter2@proxy.example:3128")
        .outcome()
        .fails();
    assert_eq!(
        outcome.stderr,
        "secrets-bridge: no bridge conf was found; looked at\n  \
           $BRIDGE_CONF: empty (is BRIDGE_CONF set where the build was started, or was --build-arg misspelt?)\n  \
           /run/secrets/bridge_conf: no such file\n  \
           $FTP_PROXY: not a conf (a proxy's URL?)\n  \
           $ftp_proxy: not set\n  \
           ~/.bridge-conf: no such file\n\
         hint: pass the conf that `secrets-bridge serve` printed: `docker build --build-arg FTP_PROXY …`\n"
    );
}

#[test]
fn an_invalid_conf_is_reported_with_its_place_and_not_shown() {
    let bridge = bridge();
    let conf = bridge.conf.as_str();
    let mut mangled = conf.to_owned();
    let swapped = if mangled.ends_with('A') { "B" } else { "A" };
    mangled.replace_range(20..21, if mangled[20..].starts_with('A') { "B" } else { "A" });
    let cut = &conf[..conf.len() - 5];
    let cut_to_the_prefix = "sb1_";
    let not_text = format!("{}!{swapped}", &conf[..40]);
    let newer = conf.replacen("sb1_", "sb2_", 1);
    for (bad, problem) in [
        (mangled.as_str(), "cut or mangled (its checksum does not match): copy it whole, as one word"),
        (cut, "cut or mangled"),
        (cut_to_the_prefix, "cut or mangled"),
        (not_text.as_str(), "cut or mangled"),
        (newer.as_str(), "version sb2, but this client reads sb1: use the same release on both sides"),
    ] {
        bridge.home.file("conf", bad);
        for (place, command) in [
            ("-c", print(&bridge).args(["-c", bad])),
            ("-c", print(&bridge).args(["-c", "conf"])),
            ("$BRIDGE_CONF", print(&bridge).env("BRIDGE_CONF", bad)),
            ("$FTP_PROXY", print(&bridge).env("FTP_PROXY", bad)),
        ] {
            let outcome = command.outcome().fails();
            assert!(
                outcome
                    .stderr
                    .starts_with(&format!("secrets-bridge: invalid bridge conf in {place}: {problem}")),
                "{}",
                outcome.stderr
            );
            assert!(!outcome.stderr.contains(&bad[4..]) || bad.len() == 4, "{}", outcome.stderr);
        }
    }
}

#[test]
fn something_other_than_a_conf_is_reported_as_not_a_conf() {
    let bridge = bridge();
    bridge.home.file("empty", "");
    bridge.home.file("letter", "Dear client,\n");
    for (command, message) in [
        (print(&bridge).args(["-c", ""]), "invalid bridge conf in -c: empty"),
        (print(&bridge).args(["-c", "empty"]), "invalid bridge conf in -c: empty"),
        (print(&bridge).args(["-c", "-"]), "invalid bridge conf in -c: empty"),
        (
            print(&bridge).args(["-c", "letter"]),
            "invalid bridge conf in -c: does not begin with sb1_, so it is not a bridge conf",
        ),
        (
            print(&bridge).args(["-c", "absent"]),
            "-c names neither a bridge conf (one begins with sb1_) nor a readable file: No such file",
        ),
        (
            print(&bridge).env("BRIDGE_CONF", "http://proxy.example:3128"),
            "invalid bridge conf in $BRIDGE_CONF: does not begin with sb1_",
        ),
    ] {
        command.outcome().fails().says(message);
    }
}

#[test]
fn a_variable_without_a_conf_in_it_is_an_error_with_a_hint() {
    let home = Home::new();
    // Forks of another tool pass `{}` to a build without a bridge.
    for command in [&["print", "TOKEN"][..], &["exec", "-e", "TOKEN", "--optional=TOKEN", "--", "true"]] {
        home.command(command)
            .env("BRIDGE_CONF", "{}")
            .outcome()
            .exits_with(125)
            .says("invalid bridge conf in $BRIDGE_CONF: does not begin with sb1_")
            .says("hint: for a build without a bridge, leave BRIDGE_CONF empty and mark its secrets with");
    }
    let mut empty = home.command(["exec", "-e", "TOKEN", "--optional=TOKEN", "--", "true"]);
    empty.env("BRIDGE_CONF", "").outcome().succeeds();
}

#[test]
fn a_home_file_that_cannot_be_read_is_reported() {
    let home = Home::new();
    std::fs::create_dir(home.path(".bridge-conf")).unwrap();
    home.command(["print", "TOKEN"]).outcome().fails().says("cannot read the bridge conf in ~/.bridge-conf");
}

#[test]
fn an_expired_conf_is_tried_because_clocks_differ() {
    // As on a machine whose clock is two hours ahead.
    let bridge = bridge();
    let two_hours = Duration::from_secs(7200);
    let past = (SystemTime::now() - two_hours).duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let expired = changed(&bridge, |conf| conf.expiry = Some(past));
    print(&bridge).args(["-c", &expired]).outcome().succeeds().prints("hunter2");
    // If no endpoint answers, the expiry is named as a possible reason.
    bridge.sigkill();
    print(&bridge)
        .args(["-c", &expired])
        .outcome()
        .fails()
        .says("hint: the conf expired 2 h ago by this machine's clock: start a new bridge and pass its conf");
}

#[test]
fn a_conf_of_another_run_is_unknown_to_the_bridge_it_names() {
    // The pin is right and the client key is not, as after a run that kept only its CA.
    let (bridge, other) = (bridge(), bridge());
    let other = BridgeConf::parse(&other.conf).unwrap();
    let foreign = changed(&bridge, |conf| conf.client_seed = other.client_seed.clone());
    print(&bridge)
        .args(["-c", &foreign])
        .outcome()
        .fails()
        .says("the bridge does not know this conf (another run, or another version of secrets-bridge)");
}

#[test]
fn an_endpoint_named_by_the_client_is_tried_first() {
    let bridge = bridge();
    let address = bridge.address().to_string();
    // As with a port that is published under another number: nothing listens at the conf's port.
    let moved = changed(&bridge, |conf| conf.port = 1);
    print(&bridge).args(["-c", &moved, "--endpoint", &address]).outcome().succeeds().prints("hunter2");
    print(&bridge)
        .args(["-c", &moved, "--endpoint", "no-port"])
        .outcome()
        .fails()
        .says("invalid --endpoint: must be HOST:PORT, with an IPv6 address in brackets");
}
