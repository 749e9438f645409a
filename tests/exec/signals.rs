//! Every signal that can be handled reaches COMMAND, and nothing is left behind whichever it is.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;

use crate::support::require::{PID_NAMESPACE, require};
use crate::support::{BINARY, Bridge, ForeignProcess, Home, Process, Start as _};

const TOKEN: &str = "sb-test-token-5f2c81d09a7e";

/// Those that `exec` does not forward, with numbers of x86 and ARM: it cannot handle them (KILL, STOP), they report a fault of
/// its own (ILL, BUS, FPE, SEGV), its closed connections (PIPE) or children (CHLD), or go to the whole group (TTIN, TTOU). The C
/// library keeps 32 and 33 for itself, musl also 34.
const NOT_FORWARDED: [i32; 13] = [4, 7, 8, 9, 11, 13, 17, 19, 21, 22, 32, 33, 34];
/// CONT, URG and WINCH do nothing, and TSTP stops.
const NOT_ENDING: [i32; 4] = [18, 20, 23, 28];

fn forwarded() -> impl Iterator<Item = i32> {
    (1..=64).filter(|number| !NOT_FORWARDED.contains(number))
}

fn bridge() -> Bridge {
    Bridge::serve(["--secret", &format!("TOKEN={TOKEN}")])
}

/// Sends a signal by its number. `kill` of the shell knows them all.
fn send(bridge: &Bridge, number: i32, pid: &str) {
    bridge.home.program("sh", ["-c", &format!("kill -{number} {pid}")]).outcome().succeeds();
}

/// Runs `check` for each number, some at once.
fn for_each(numbers: impl Iterator<Item = i32>, check: impl Fn(i32) + Sync) {
    let numbers: Vec<i32> = numbers.collect();
    thread::scope(|scope| {
        for part in numbers.chunks(numbers.len().div_ceil(4)) {
            scope.spawn(|| part.iter().copied().for_each(&check));
        }
    });
}

/// `exec` with masking and with a file of its own for each signal.
fn with_file(bridge: &Bridge, number: i32, script: &str) -> (Command, String) {
    let file = format!("made-{number}");
    let delivery = format!("TOKEN={file}");
    (bridge.client(["exec", "--leaks=off", "-e", "TOKEN", "--file", &delivery, "--sh", script]), file)
}

fn is_there(bridge: &Bridge, file: &str) -> bool {
    fs::symlink_metadata(bridge.home.path(file)).is_ok()
}

#[test]
fn command_handles_every_signal_itself() {
    let bridge = bridge();
    for_each(forwarded(), |number| {
        let script = format!("trap 'echo got {number}; exit 7' {number}; echo ready $$; read -r line");
        let (mut exec, file) = with_file(&bridge, number, &script);
        let process = exec.stdin(Stdio::piped()).start();
        process.prints("ready");
        assert!(is_there(&bridge, &file));
        send(&bridge, number, &process.pid.as_raw_nonzero().to_string());
        let outcome = process.ends().exits_with(7);
        assert!(outcome.text().ends_with(&format!("got {number}\n")), "{outcome:?}");
        assert!(!is_there(&bridge, &file), "after signal {number}");
    });
}

/// The process id that COMMAND prints.
fn command_of(process: &Process) -> ForeignProcess {
    ForeignProcess::with_id(process.prints("ready").trim_start_matches("ready "))
}

#[test]
fn a_signal_that_ends_command_leaves_nothing_behind() {
    let bridge = bridge();
    for_each(forwarded().filter(|number| !NOT_ENDING.contains(number)), |number| {
        let (mut exec, file) = with_file(&bridge, number, "echo ready $$; exec sleep 600");
        let process = exec.start();
        let command = command_of(&process);
        send(&bridge, number, &process.pid.as_raw_nonzero().to_string());
        process.ends().exits_with(128 + number);
        assert!(!command.is_running() && !is_there(&bridge, &file), "after signal {number}");
    });
}

/// The kernel discards the signals that the first process of a container does not handle.
#[test]
fn every_signal_reaches_command_from_process_1() {
    require!(PID_NAMESPACE);
    let bridge = bridge();
    for_each(forwarded().filter(|number| !NOT_ENDING.contains(number)), |number| {
        let script = "echo ready; exec sleep 600";
        let (exec, file) = with_file(&bridge, number, script);
        let mut unshare =
            bridge.home.program("unshare", ["--pid", "--fork", "--mount-proc", "--kill-child", BINARY]);
        let process = unshare.args(exec.get_args()).env("BRIDGE_CONF", &bridge.conf).start();
        process.prints("ready");
        let pid = process.pid.as_raw_nonzero();
        let first = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        send(&bridge, number, first.trim());
        process.ends().exits_with(128 + number);
        assert!(!is_there(&bridge, &file), "after signal {number}");
    });
}

#[test]
fn a_signal_that_command_ignores_does_not_end_exec() {
    let bridge = bridge();
    for_each([1, 2, 6, 14, 15, 24, 37, 64].into_iter(), |number| {
        let script = format!("trap '' {number}; echo ready; read -r line; echo $line");
        let (mut exec, _) = with_file(&bridge, number, &script);
        let mut process = exec.stdin(Stdio::piped()).start();
        process.prints("ready");
        send(&bridge, number, &process.pid.as_raw_nonzero().to_string());
        use std::io::Write as _;
        process.stdin.take().unwrap().write_all(b"goes on\n").unwrap();
        process.ends().succeeds().prints("ready\ngoes on\n");
    });
}

/// As `nohup` does for SIGHUP.
#[test]
fn a_signal_that_the_caller_ignores_stays_ignored() {
    let bridge = bridge();
    for_each([1, 3, 6, 14, 15, 25, 37, 64].into_iter(), |number| {
        let script = "echo ready $$; read -r line; echo over";
        let (exec, _) = with_file(&bridge, number, script);
        let ignoring = format!("trap '' {number}; exec \"$0\" \"$@\"");
        let mut shell = bridge.home.program("sh", ["-c", &ignoring, BINARY]);
        shell.args(exec.get_args()).env("BRIDGE_CONF", &bridge.conf);
        let mut process = shell.stdin(Stdio::piped()).start();
        let ready = process.prints("ready");
        send(&bridge, number, &process.pid.as_raw_nonzero().to_string());
        // COMMAND ignores it too.
        send(&bridge, number, ready.trim_start_matches("ready "));
        drop(process.stdin.take());
        process.ends().succeeds().prints(format!("{ready}\nover\n"));
    });
}

#[test]
fn every_signal_reaches_the_command_of_run() {
    let home = Home::new();
    // A terminal sends TSTP and CONT to both.
    for_each(forwarded().filter(|number| ![18, 20].contains(number)), |number| {
        let script = format!("trap 'echo got {number}; exit 7' {number}; echo ready; read -r line");
        let mut run = home.command(["run", "--listen", "127.0.0.1:0", "--", "sh", "-c", &script]);
        let process = run.stdin(Stdio::piped()).start();
        process.prints("ready");
        let kill = format!("kill -{number} {}", process.pid.as_raw_nonzero());
        home.program("sh", ["-c", &kill]).outcome().succeeds();
        process.ends().exits_with(7).prints(format!("ready\ngot {number}\n"));
    });
}
