//! Full disks, and processes without descriptors.

use std::fs::OpenOptions;
use std::net::TcpStream;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, prlimit};

use crate::support::require::{MOUNT_NAMESPACE, require};
use crate::support::{BINARY, Bridge, Home, Outcome, Start as _};

const VALUE: &str = "value-of-the-token-5e1f";

fn bridge() -> Bridge {
    let home = Home::new();
    home.file("value", VALUE);
    home.file("long", "x".repeat(300_000));
    Bridge::serve_in(home, ["--secret", "id=TOKEN,src=value", "--secret", "id=LONG,src=long"])
}

/// A file that takes no byte.
fn full() -> Stdio {
    OpenOptions::new().write(true).open("/dev/full").unwrap().into()
}

/// Runs `command` with its stdout on a full disk; returns the exit code and stderr.
fn to_full_disk(mut command: Command) -> (Option<i32>, String) {
    let output = command.stdout(full()).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// `ulimit -LIMIT NUMBER` for a program of ours.
fn limited(home: &Home, limit: &str, arguments: &[&str]) -> Command {
    let script = format!("ulimit {limit}; exec \"$0\" \"$@\"");
    home.program("sh", [&["-c", &script, BINARY], arguments].concat())
}

#[test]
fn output_to_a_full_disk_fails_the_step() {
    let bridge = bridge();
    for arguments in [
        &["print", "TOKEN"][..],
        &["print", "LONG"],
        &["test"],
        &["exec", "--leaks=off", "-e", "TOKEN", "--", "echo", "masked"],
    ] {
        let (code, stderr) = to_full_disk(bridge.client(arguments));
        assert_eq!(code, Some(125), "{arguments:?}: {stderr}");
        assert!(stderr.contains("No space left on device"), "{arguments:?}: {stderr}");
    }
    // COMMAND's own failure stays.
    let arguments = ["exec", "--leaks=off", "-e", "TOKEN", "--sh", "echo masked; exit 3"];
    let (code, stderr) = to_full_disk(bridge.client(arguments));
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("cannot write COMMAND's output: No space left on device"), "{stderr}");
    // Without masking the file is COMMAND's.
    let arguments = ["exec", "--leaks=off", "--no-mask", "-e", "TOKEN", "--", "cat", "value"];
    assert_eq!(to_full_disk(bridge.client(arguments)).0, Some(1));
}

#[test]
fn a_file_that_does_not_fit_into_memory_stops_exec() {
    require!(MOUNT_NAMESPACE);
    let bridge = bridge();
    let script = "mount -t tmpfs -o size=16k none /dev/shm && exec \"$0\" exec --leaks=off --file LONG=made --sh 'echo started'";
    let mut command =
        bridge.home.program("unshare", ["--mount", "--map-root-user", "sh", "-c", script, BINARY]);
    command.env("BRIDGE_CONF", &bridge.conf).outcome().fails().says("No space left on device");
    assert!(!bridge.home.path("made").exists());
}

#[test]
fn a_log_on_a_full_disk_stops_nothing() {
    let home = Home::new();
    home.file("value", VALUE);
    // The log may grow to one block. A write over that limit is an error, as with a full disk, and not a signal.
    let script = "trap '' XFSZ; ulimit -f 1; exec \"$0\" serve -d bridge.log -vv --listen 127.0.0.1:0 --secret id=TOKEN,src=value";
    let started = home.program("sh", ["-c", script, BINARY]).outcome().succeeds();
    let conf = started.text().trim().to_owned();
    let client = |arguments: &[&str]| home.command(arguments).env("BRIDGE_CONF", &conf).outcome();
    for _ in 0..20 {
        client(&["print", "TOKEN"]).succeeds().prints(VALUE);
    }
    assert!(std::fs::metadata(home.path("bridge.log")).unwrap().len() <= 1024);
    client(&["kill"]).succeeds();
}

#[test]
fn a_client_without_descriptors_says_so() {
    let bridge = bridge();
    let check = |arguments: &[&str], descriptors: u32, expected: &str| {
        let mut command = limited(&bridge.home, &format!("-n {descriptors}"), arguments);
        let outcome: Outcome = command.env("BRIDGE_CONF", &bridge.conf).outcome();
        match outcome.code() {
            Some(0) => assert_eq!(outcome.text(), expected),
            // The dynamic linker of this test's binary needs one itself.
            Some(127) => assert!(descriptors < 5),
            _ => {
                assert_eq!(outcome.code(), Some(125), "{descriptors}: {outcome:?}");
                assert!(outcome.stderr.contains("Too many open files"), "{descriptors}: {}", outcome.stderr);
                assert_eq!(outcome.text(), "");
            }
        }
        outcome.code() == Some(0)
    };
    let mut print = (4..24).map(|descriptors| check(&["print", "TOKEN"], descriptors, VALUE));
    assert!(print.next_back().unwrap(), "`print` needs fewer than 23");
    let exec = ["exec", "--no-mask", "--leaks=off", "--file", "TOKEN=made", "--sh", "cat made"];
    let mut exec = (4..40).map(|descriptors| check(&exec, descriptors, VALUE));
    assert!(exec.next_back().unwrap(), "`exec` needs fewer than 39");
    assert!(!bridge.home.path("made").exists());
}

#[test]
fn a_bridge_out_of_descriptors_serves_again_when_there_are_some() {
    let home = Home::new();
    home.file("value", VALUE);
    let bridge = Bridge::serve_in(home, ["--secret", "id=TOKEN,src=value"]);
    // Set after the start, at which the bridge plans with its limit.
    let few = Rlimit { current: Some(40), maximum: Some(40) };
    prlimit(Some(bridge.process.pid), Resource::Nofile, few).unwrap();
    bridge.client(["print", "TOKEN"]).outcome().succeeds().prints(VALUE);
    let held: Vec<_> = (0..60).map(|_| TcpStream::connect(bridge.address()).unwrap()).collect();
    drop(held);
    bridge.client(["print", "TOKEN"]).outcome().succeeds().prints(VALUE);
}
