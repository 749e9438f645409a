//! COMMAND under a supervisor. The supervisor collects all children of its process, so each runs in a process of its own:
//! this program again, as the test that supervises.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use bridge_client::{CommandLine, Supervisor};
use rustix::process::{Pid, Signal};

#[path = "../../tests/support/signals.rs"]
#[allow(unreachable_pub, reason = "it is a part of the harness of the root package")]
mod signals;

const SCRIPT: &str = "SUPERVISOR_TEST_SCRIPT";
const BEFORE_COMMAND: &str = "(before COMMAND)";
const BEGIN: &str = "BEGIN";

/// How long anything may take. Far more than it does, so that a busy machine fails no test.
const LIMIT: Duration = Duration::from_secs(20);

/// Started by the other tests, it is the supervisor of the script in the variable. By itself it is the simplest of them.
#[test]
fn a_supervisor_exits_as_its_command() {
    let Ok(script) = std::env::var(SCRIPT) else {
        assert_eq!(Supervised::start("exit 5").ends(), (Some(5), String::new()));
        return;
    };
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let code = runtime.block_on(async {
        let mut supervisor = Supervisor::new().unwrap();
        println!("\n{BEGIN}");
        if script == BEFORE_COMMAND {
            return supervisor.interrupted().await;
        }
        let command = CommandLine::shell(script.into());
        supervisor.run(&command, vec![("ADDED".into(), "added".into())], &[SCRIPT]).await.unwrap()
    });
    std::process::exit(code.cast_signed());
}

/// A process that supervises. It is killed when this is dropped, and COMMAND with it.
struct Supervised {
    process: Child,
    lines: Receiver<String>,
}

impl Supervised {
    fn start(script: &str) -> Self {
        Self::start_by(Command::new(std::env::current_exe().unwrap()), script)
    }

    fn start_by(mut command: Command, script: &str) -> Self {
        signals::reset_in_children();
        let mut process = command
            .args(["a_supervisor_exits_as_its_command", "--exact", "--nocapture"])
            .env(SCRIPT, script)
            .stdout(Stdio::piped())
            .process_group(0) // so that no terminal of a developer counts
            .spawn()
            .unwrap();
        let stdout = BufReader::new(process.stdout.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let Ok(()) = sender.send(line.unwrap()) else { break };
            }
        });
        let supervised = Self { lines, process };
        while supervised.line() != BEGIN {}
        supervised
    }

    fn line(&self) -> String {
        self.next_line().unwrap_or_else(|| panic!("its output ended"))
    }

    /// `None` at the end of its output.
    fn next_line(&self) -> Option<String> {
        match self.lines.recv_timeout(LIMIT) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {LIMIT:?}"),
        }
    }

    fn signal(&self, signal: Signal) {
        rustix::process::kill_process(Pid::from_child(&self.process), signal).unwrap();
    }

    /// Exit code and the rest of what it printed.
    fn ends(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        while let Some(line) = self.next_line() {
            rest += &line;
            rest.push('\n');
        }
        let deadline = Instant::now() + LIMIT;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return (status.code(), rest);
            }
            assert!(Instant::now() < deadline, "it closed its output and did not end within {LIMIT:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        if let Ok(None) = self.process.try_wait() {
            // Its process group, as COMMAND would outlive it.
            let _ = rustix::process::kill_process_group(Pid::from_child(&self.process), Signal::KILL);
            let _ = self.process.wait();
        }
    }
}

#[test]
fn exit_codes_and_deadly_signals_are_commands() {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137), ("kill -TERM $$", 143)] {
        assert_eq!(Supervised::start(script).ends(), (Some(code), String::new()), "{script}");
    }
}

#[test]
fn variables_are_added_and_taken_out() {
    let (code, printed) = Supervised::start(&format!("echo $ADDED ${{{SCRIPT}-none}}")).ends();
    assert_eq!((code, printed.as_str()), (Some(0), "added none\n"));
}

#[test]
fn signals_reach_command_and_not_its_supervisor() {
    for name in ["INT", "QUIT", "TERM", "HUP", "USR1", "USR2", "WINCH"] {
        // By SIGKILL, because a shell that has forked and not yet executed `sleep` swallows signals that are trapped.
        let script =
            format!("trap 'kill -KILL $!; echo {name}; exit 3' {name}; sleep 60 & echo ready; wait; wait");
        let supervised = Supervised::start(&script);
        assert_eq!(supervised.line(), "ready");
        supervised.signal(match name {
            "INT" => Signal::INT,
            "QUIT" => Signal::QUIT,
            "TERM" => Signal::TERM,
            "HUP" => Signal::HUP,
            "USR1" => Signal::USR1,
            "USR2" => Signal::USR2,
            _ => Signal::WINCH,
        });
        assert_eq!(supervised.ends(), (Some(3), format!("{name}\n")));
    }
}

#[test]
fn a_stopped_command_can_be_continued_through_its_supervisor() {
    let script = "sh -c 'while ! grep -q \"^State:.T\" /proc/'$$'/status; do sleep 0.01; done; echo stopped' & \
                  echo ready; read line; wait; echo continued";
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.stdin(Stdio::piped());
    let mut supervised = Supervised::start_by(command, script);
    assert_eq!(supervised.line(), "ready");
    supervised.signal(Signal::TSTP);
    assert_eq!(supervised.line(), "stopped");
    supervised.signal(Signal::CONT);
    drop(supervised.process.stdin.take());
    assert_eq!(supervised.ends(), (Some(0), "continued\n".into()));
}

#[test]
fn command_gets_the_signal_state_of_its_supervisor() {
    let state = |printed: &str, field: &str| {
        let line = printed.lines().find_map(|line| line.strip_prefix(field)).unwrap().trim();
        u64::from_str_radix(line, 16).unwrap()
    };
    let script = "exec grep Sig /proc/self/status";
    let (_, plain) = Supervised::start(script).ends();
    assert_eq!((state(&plain, "SigBlk:"), state(&plain, "SigIgn:") & 0x1fff), (0, 0));
    // As under nohup.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' HUP; exec \"$0\" \"$@\""]).arg(std::env::current_exe().unwrap());
    let (_, without_hangup) = Supervised::start_by(command, script).ends();
    assert_eq!((state(&without_hangup, "SigBlk:"), state(&without_hangup, "SigIgn:") & 0x1fff), (0, 1));
}

#[test]
fn orphans_are_collected_while_command_runs() {
    // A zombie would stay in /proc, and this would not end.
    let script =
        "orphan=$(sleep 0.05 >/dev/null & echo $!); while [ -d /proc/$orphan ]; do sleep 0.01; done; exit 4";
    assert_eq!(Supervised::start(script).ends(), (Some(4), String::new()));
}

#[test]
fn before_command_runs_a_signal_asks_for_the_end() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let supervised = Supervised::start(BEFORE_COMMAND);
        supervised.signal(signal);
        assert_eq!(supervised.ends().0, Some(code));
    }
}

#[test]
fn a_program_that_is_not_there_is_told_apart() {
    let command = CommandLine::new("no-such-program".into(), Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(bridge_client::supervise(&command, Vec::new(), &[]));
    assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}
