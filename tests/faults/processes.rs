//! Processes that are killed or stopped: the bridge, `exec`, COMMAND, a source, the agent.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::proxy::{Affected, Fault, FaultProxy};
use crate::peer;
use crate::support::agent::{Build, Key, Login, ONE, SshAgent};
use crate::support::require::{OPENSSH, require};
use crate::support::ssh::AgentProxy;
use crate::support::{Bridge, ForeignProcess, Home, Start as _};

const VALUE: &str = "value-of-the-token-5e1f";

/// A bridge with a secret from a command that writes its process id to `asked`, and prints what it reads from `release`.
fn with_slow_source() -> Bridge {
    let home = Home::new();
    home.program("mkfifo", ["asked", "release"]).outcome().succeeds();
    let slow = "id=SLOW,cmd=echo $$ > asked; read -r line < release; printf %s \"$line\"";
    Bridge::serve_in(home, ["--secret", slow, "--audit", "-"])
}

/// Waits until the source runs.
fn source(bridge: &Bridge) -> ForeignProcess {
    ForeignProcess::with_id(&bridge.home.program("cat", ["asked"]).outcome().succeeds().text())
}

fn release(bridge: &Bridge) {
    bridge.home.program("sh", ["-c", "cat > release"]).outcome_with(VALUE).succeeds();
}

#[test]
fn a_bridge_killed_before_command_starts_fails_the_step() {
    let bridge = with_slow_source();
    let exec = bridge.client(["exec", "-e", "SLOW", "--", "echo", "started"]).start();
    let source = source(&bridge);
    bridge.sigkill();
    exec.ends().fails().says("secrets-bridge: ");
    drop(source);
}

#[test]
fn a_bridge_killed_in_the_middle_of_a_secret_is_an_error() {
    let home = Home::new();
    // More than all buffers on the way can hold.
    let long = "x".repeat(32 << 20);
    home.file("long", &long);
    let bridge = Bridge::serve_in(home, ["--secret", "id=LONG,src=long"]);
    // At most 16 KiB each millisecond: two seconds for all of it.
    let slow = Fault::Pieces { size: 16 << 10, delay: Duration::from_millis(1) };
    let proxy = FaultProxy::to(bridge.port(), slow, Affected::All);
    let conf = peer::with_endpoints(&peer::conf(&bridge.conf), proxy.port, &["127.0.0.1"]);
    let print = bridge.home.command(["print", "LONG"]).env("BRIDGE_CONF", conf).start();
    print.prints_some();
    bridge.sigkill();
    let outcome = print.ends().exits_with(125).says("secrets-bridge: ");
    assert!(outcome.stdout.len() < long.len() && long.as_bytes().starts_with(&outcome.stdout));
}

#[test]
fn a_stopped_bridge_delays_a_client_that_then_gets_everything() {
    let bridge = with_slow_source();
    bridge.process.signal(Signal::STOP);
    let print = bridge.client(["print", "SLOW"]).start();
    // A second after the start; an attempt takes at most four.
    print.says("trying");
    bridge.process.signal(Signal::CONT);
    let source = source(&bridge);
    // And once more while it waits for the source.
    bridge.process.signal(Signal::STOP);
    thread::scope(|scope| {
        scope.spawn(|| release(&bridge));
        source.ends();
    });
    bridge.process.signal(Signal::CONT);
    print.ends().succeeds().prints(VALUE);
}

#[test]
fn a_stopped_exec_continues_where_it_was() {
    let bridge = with_slow_source();
    let exec = bridge
        .client(["exec", "--no-mask", "--leaks=off", "-e", "SLOW", "--sh", "printf %s \"$SLOW\""])
        .start();
    let source = source(&bridge);
    exec.signal(Signal::STOP);
    release(&bridge);
    source.ends();
    bridge.process.says("\"secret-sent\"");
    exec.signal(Signal::CONT);
    exec.ends().succeeds().prints(VALUE);
}

#[test]
fn a_killed_source_is_a_refused_secret() {
    let bridge = with_slow_source();
    let exec = bridge.client(["exec", "-e", "SLOW", "--", "echo", "started"]).start();
    source(&bridge).signal(Signal::KILL);
    exec.ends().fails().says("SLOW").says("its source failed on the host");
}

#[test]
fn a_killed_client_ends_its_session_and_leaves_no_file() {
    let bridge = with_slow_source();
    let home = Home::new();
    let mut exec = home.command(["exec", "--file", "SLOW=made/file", "--", "true"]);
    let exec = exec.env("BRIDGE_CONF", &bridge.conf).start();
    let source = source(&bridge);
    exec.signal(Signal::KILL);
    exec.exits();
    bridge.process.says("\"session-ended\"");
    drop(source);
    for directory in [home.path("."), home.path("../tmp")] {
        assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
    }
}

#[test]
fn a_killed_command_gives_its_signal_and_its_files_are_removed() {
    let home = Home::new();
    let bridge = Bridge::serve_in(home, ["--secret", "TOKEN=hunter2-5e1f"]);
    let script = "readlink -f made/file; echo $$; exec cat";
    let mut exec = bridge.client(["exec", "--leaks=off", "--file", "TOKEN=made/file", "--sh", script]);
    let exec = exec.stdin(Stdio::piped()).start();
    let file = exec.prints("/");
    let pid = exec.prints_line_number(2);
    let command = ForeignProcess::with_id(&pid);
    command.signal(Signal::STOP);
    assert!(Path::new(&file).exists());
    command.signal(Signal::KILL);
    exec.ends().exits_with(128 + 9);
    assert!(!Path::new(&file).exists() && !bridge.home.path("made").exists());
}

#[test]
fn a_stopped_agent_signs_once_when_it_continues() {
    require!(OPENSSH);
    let home = Home::new();
    let agent = SshAgent::start(&home);
    let key = Key::ed25519(&home, "deploy");
    agent.add(&home, &key);
    let counter = AgentProxy::to(&agent.socket);
    let mut command = home.serve(["-A"]);
    command.env("SSH_AUTH_SOCK", &counter.socket);
    let bridge = Bridge::start(home, command);
    let build = Build::start(&bridge, &["--leaks=off"]);
    let mut client = build.connect();
    agent.signal(Signal::STOP);
    // The signature of a key that asks a person has no time limit, and this is none that can be told from it.
    thread::scope(|scope| {
        scope.spawn(|| client.logs_in(Login::new(&ONE, &key)));
        counter.waits_for_signatures(1);
        agent.signal(Signal::CONT);
    });
    build.end();
    assert_eq!(counter.signatures(), 1);
}

#[test]
fn an_agent_that_does_not_list_its_keys_delays_no_build_for_long() {
    require!(OPENSSH);
    let home = Home::new();
    let agent = SshAgent::start(&home);
    let mut command = home.serve(["-A", "--secret", "TOKEN=hunter2"]);
    command.env("SSH_AUTH_SOCK", &agent.socket);
    let bridge = Bridge::start(home, command);
    agent.signal(Signal::STOP);
    // The bridge waits for 10 s.
    let exec = bridge.client(["exec", "--leaks=off", "-e", "TOKEN", "--sh", "echo started"]).start();
    exec.ends().succeeds().prints("started\n").says("offers no key");
    bridge.process.says("does not answer");
    agent.signal(Signal::CONT);
}
