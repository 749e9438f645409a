//! Processes that COMMAND leaves running: they do not keep `exec` waiting, and do not die of its end.

use std::process::Command;

use crate::support::require::{OPENSSH, PID_NAMESPACE, require};
use crate::support::{BINARY, Bridge, Start as _};

const TOKEN: &str = "sb-test-token-5f2c81d09a7e";

fn bridge() -> Bridge {
    Bridge::serve(["--secret", &format!("TOKEN={TOKEN}")])
}

/// Runs `script` in a shell that is the first process of its namespace. There, `$0` is the program, and nothing is left when
/// the shell ends.
fn isolated(bridge: &Bridge, script: &str) -> Command {
    let mut unshare = bridge
        .home
        .program("unshare", ["--pid", "--fork", "--mount-proc", "--kill-child", "sh", "-ec", script, BINARY]);
    unshare.env("BRIDGE_CONF", &bridge.conf);
    unshare
}

/// Counts in the file `progress` how many lines it could write, and stops at the first error.
const DAEMON: &str = "(i=0; while printf '%s%01000d\\n' \"$TOKEN\" 7 && echo err >&2; do i=$((i+1)); echo $i > progress; done) &";

#[test]
fn a_daemon_goes_on_writing_after_exec() {
    require!(PID_NAMESPACE);
    let bridge = bridge();
    bridge.home.file("daemon", format!("{DAEMON}\necho $! > daemon.pid"));
    // More than all pipes on the way hold. The reader ends with the daemon.
    let script = "\"$0\" exec --leaks=off -e TOKEN -- sh ./daemon > log 2> errors
        begin=$(cat progress)
        until test \"0$(cat progress)\" -gt $((begin + 300)); do :; done
        grep -q discard-outpu[t] /proc/[0-9]*/cmdline
        echo alive
        kill \"$(cat daemon.pid)\"
        while grep -q discard-outpu[t] /proc/[0-9]*/cmdline 2> /dev/null; do :; done
        echo gone";
    isolated(&bridge, script).outcome().succeeds().prints("alive\ngone\n");
    let (log, errors) = (bridge.home.read("log"), bridge.home.read("errors"));
    assert!(!log.contains(TOKEN) && log.starts_with("***000"), "{log:.200}");
    assert!(errors.contains("what they write from now on is discarded"), "{errors:.200}");
}

#[test]
fn a_daemon_does_not_keep_a_pipeline_waiting() {
    require!(PID_NAMESPACE);
    let bridge = bridge();
    let script =
        "\"$0\" exec -q --leaks=off -e TOKEN --sh 'sleep 600 & echo started' 2>&1 | tee log; echo over";
    isolated(&bridge, script).outcome().succeeds().prints("started\nover\n");
}

#[test]
fn ssh_agent_outlives_exec() {
    require!(PID_NAMESPACE, OPENSSH);
    let bridge = bridge();
    let script = "ssh-keygen -q -t ed25519 -N '' -f key
        eval \"$(\"$0\" exec -q -A --leaks=off -e TOKEN -- ssh-agent -s)\" > /dev/null
        ssh-add -q key
        ssh-add -l | grep -c ED25519 > first
        # In the foreground it keeps its output.
        \"$0\" exec -q -A --leaks=off -e TOKEN --sh 'ssh-agent -D -a ./socket & until test -S socket; do :; done'
        export SSH_AUTH_SOCK=./socket
        ssh-add -q key
        ssh-add -l | grep -c ED25519 > second";
    isolated(&bridge, script).outcome().succeeds();
    assert_eq!((bridge.home.read("first"), bridge.home.read("second")), ("1\n".to_owned(), "1\n".to_owned()));
}

/// The rest of a pipeline, or of `> >(tee log)`, may end after the shell that started it.
#[test]
fn what_ends_soon_after_command_is_still_shown() {
    let bridge = bridge();
    let script = "(sleep 0.1; echo late \"$TOKEN\"; echo late >&2) & echo early";
    let outcome = bridge.client(["exec", "--leaks=off", "-e", "TOKEN", "--sh", script]).outcome().succeeds();
    outcome.says("late").prints("early\nlate ***\n");
}

#[test]
fn all_that_command_wrote_is_shown_however_slow_the_reader() {
    use std::io::Read as _;
    let bridge = bridge();
    // It waits for the second that `exec` gives to other processes to pass.
    let script = "sleep 10 & seq 1 20000";
    let mut exec = bridge.client(["exec", "-q", "--leaks=off", "-e", "TOKEN", "--sh", script]);
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut child = exec.stdout(writer).spawn().unwrap();
    drop(exec);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(child.try_wait().unwrap().is_none(), "it does not wait for its reader");
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    let expected: String = (1..=20_000).map(|number| format!("{number}\n")).collect();
    assert!(text == expected, "{} bytes", text.len());
}
