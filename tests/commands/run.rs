//! `run`: a bridge for the life of one COMMAND.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::thread;

use rustix::process::Signal;

use crate::support;
use crate::support::{BINARY, Home, Start as _};

fn run(home: &Home, options: &[&str], command: &[&str]) -> Command {
    let mut all = vec!["run", "--listen", "127.0.0.1:0"];
    all.extend(options);
    all.push("--");
    all.extend(command);
    home.command(all)
}

/// `sh -c SCRIPT` with secrets-bridge as `$0`.
fn script(text: &str) -> [&str; 4] {
    ["sh", "-c", text, BINARY]
}

#[test]
fn the_conf_is_in_both_variables_and_a_summary_follows() {
    let home = Home::new();
    let build = "test \"$FTP_PROXY\" = \"$BRIDGE_CONF\" && \"$0\" exec --no-mask -e TOKEN --sh 'echo $TOKEN' && \"$0\" print other";
    run(&home, &["--secret", "TOKEN=hunter2", "--secret", "other=value"], &script(build))
        .outcome()
        .succeeds()
        .prints("hunter2\nvalue")
        .says("secrets-bridge: 2 sessions, 2 keys read (TOKEN, other), 0 signatures, 0 refusals\n")
        .never_says("hunter2");
}

#[test]
fn the_conf_is_one_short_word_in_the_environment() {
    let home = Home::new();
    let conf = run(&home, &[], &["printenv", "FTP_PROXY"]).outcome().succeeds().text();
    let conf = conf.trim_end();
    assert!(conf.starts_with("sb1_"), "{conf}");
    assert!(conf.len() <= 200 && !conf.contains(char::is_whitespace), "{conf}");
}

#[test]
fn a_build_that_never_dials_is_reported() {
    let home = Home::new();
    run(&home, &["--secret", "TOKEN=hunter2"], &["true"]).outcome().succeeds().says(
        "no connection arrived: every step cached, or the build cannot reach this host (docs/REACH.md)",
    );
}

#[test]
fn refusals_are_counted() {
    let home = Home::new();
    run(&home, &["--secret", "TOKEN=hunter2"], &script("\"$0\" print missing; true"))
        .outcome()
        .succeeds()
        .says("1 session, 0 keys read, 0 signatures, 1 refusal");
}

#[test]
fn the_summary_may_be_json() {
    let home = Home::new();
    let outcome =
        run(&home, &["--format", "json", "--secret", "TOKEN=hunter2"], &script("\"$0\" print TOKEN; exit 3"))
            .outcome()
            .exits_with(3)
            .prints("hunter2");
    let last = outcome.stderr.lines().last().unwrap();
    let summary: serde_json::Value = serde_json::from_str(last).unwrap();
    assert_eq!(
        summary,
        serde_json::json!({
            "exit_code": 3, "connections": 1, "sessions": 1, "keys": ["TOKEN"],
            "signatures": 0, "refusals": 0, "handshakes_refused": 0, "http": {},
        })
    );
}

#[test]
fn every_exit_code_of_command_is_the_exit_code_of_run() {
    let home = Home::new();
    let check = |code: i32| {
        let script = format!("exit {code}");
        run(&home, &[], &["sh", "-c", &script]).outcome().exits_with(code);
    };
    thread::scope(|scope| {
        for first in 0..4 {
            let check = &check;
            scope.spawn(move || (first..=255).step_by(4).for_each(check));
        }
    });
}

#[test]
fn a_signal_that_ends_command_becomes_128_and_its_number() {
    let home = Home::new();
    for number in [1, 2, 3, 9, 11, 15] {
        let script = format!("kill -{number} $$");
        run(&home, &[], &["sh", "-c", &script])
            .outcome()
            .exits_with(128 + number)
            .says("no connection arrived");
    }
}

#[test]
fn a_missing_command_is_127_and_one_not_executable_is_126() {
    let home = Home::new();
    home.file("no-program", "just text");
    run(&home, &[], &["no-such-command"]).outcome().exits_with(127).says("cannot start no-such-command");
    run(&home, &[], &["./no-program"]).outcome().exits_with(126).says("cannot start ./no-program");
    home.command(["run", "--secret", "A=b"]).outcome().fails();
}

#[test]
fn command_reads_the_stdin_of_run() {
    run(&Home::new(), &[], &["cat"]).outcome_with("for COMMAND").succeeds().prints("for COMMAND");
}

#[test]
fn options_after_the_dashes_belong_to_command() {
    run(&Home::new(), &[], &["echo", "--secret", "-v", "--", "--help"])
        .outcome()
        .succeeds()
        .prints("--secret -v -- --help\n");
}

#[test]
fn the_bridge_is_dead_when_run_has_returned() {
    let home = Home::new();
    let conf =
        run(&home, &["--secret", "TOKEN=hunter2"], &["printenv", "BRIDGE_CONF"]).outcome().succeeds().text();
    home.command(["print", "TOKEN", "-c", conf.trim()])
        .outcome()
        .fails()
        .says("no endpoint of the bridge answered");
}

#[test]
fn a_build_cannot_end_the_bridge_of_run() {
    let home = Home::new();
    let build = "\"$0\" kill; echo $?; \"$0\" print TOKEN";
    run(&home, &["--secret", "TOKEN=hunter2"], &script(build))
        .outcome()
        .succeeds()
        .prints("125\nhunter2")
        .says("this bridge does not let clients end it");
}

#[test]
fn a_bridge_that_ends_before_command_gives_a_warning() {
    let home = Home::new();
    let build = "\"$0\" print TOKEN; until ! \"$0\" test >/dev/null 2>&1; do :; done";
    run(&home, &["--once", "--secret", "TOKEN=hunter2"], &script(build))
        .outcome()
        .succeeds()
        .prints("hunter2")
        .says("the bridge has stopped before COMMAND: the last session that it admits has ended");
}

#[test]
fn a_push_with_a_build_arg_carrier_gives_a_warning() {
    let home = Home::new();
    let warning = "provenance (mode=max) records build-args";
    for build in [
        &["true", "buildx", "build", "--push", "--build-arg", "FTP_PROXY", "."][..],
        &["true", "buildx", "build", "--build-arg=BRIDGE_CONF", "--output", "type=registry", "."],
    ] {
        run(&home, &[], build).outcome().succeeds().says(warning);
    }
    for build in [
        &["true", "build", "--build-arg", "FTP_PROXY", "."][..],
        &["true", "buildx", "build", "--push", "--secret", "id=bridge_conf,env=BRIDGE_CONF", "."],
    ] {
        run(&home, &[], build).outcome().succeeds().never_says(warning);
    }
}

#[test]
fn replacing_a_real_ftp_proxy_gives_a_warning() {
    let home = Home::new();
    run(&home, &[], &["printenv", "FTP_PROXY"])
        .env("FTP_PROXY", "http://proxy.example:3128")
        .outcome()
        .succeeds()
        .says("FTP_PROXY is set; COMMAND gets the bridge conf in its place");
}

#[test]
fn quiet_leaves_only_the_summary() {
    let home = Home::new();
    let outcome =
        run(&home, &["-q", "--secret", "TOKEN=hunter2"], &script("\"$0\" print TOKEN")).outcome().succeeds();
    assert_eq!(outcome.stderr, "secrets-bridge: 1 session, 1 key read (TOKEN), 0 signatures, 0 refusals\n");
}

#[cfg(target_os = "linux")]
mod signals {
    use support::ForeignProcess;

    use super::*;

    /// Starts `run` in a process group of its own, as a shell starts a job. A signal to the process `run` reaches COMMAND
    /// only if `run` forwards it.
    fn start(home: &Home, build: &str) -> (support::Process, ForeignProcess) {
        let process = run(home, &["--secret", "TOKEN=hunter2"], &script(build))
            .process_group(0)
            .stdin(Stdio::piped())
            .start();
        let child = process.prints("ready ");
        let child = ForeignProcess::with_id(child.strip_prefix("ready ").unwrap());
        (process, child)
    }

    #[test]
    fn signals_reach_command_and_its_exit_code_is_that_of_run() {
        let home = Home::new();
        for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT, Signal::USR1, Signal::USR2] {
            let number = signal.as_raw();
            // The bridge still serves COMMAND's handler of the signal.
            let build = format!("trap '\"$0\" print TOKEN; echo; exit 7' {number}; echo ready $$; read line");
            let (process, child) = start(&home, &build);
            process.signal(signal);
            process.prints("hunter2");
            process.ends().exits_with(7).says("1 session, 1 key read (TOKEN)");
            child.ends();
        }
    }

    #[test]
    fn a_signal_that_command_does_not_catch_ends_both() {
        let home = Home::new();
        for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
            let (process, child) = start(&home, "echo ready $$; read line");
            process.signal(signal);
            process.ends().exits_with(128 + signal.as_raw()).says("no connection arrived");
            child.ends();
        }
    }

    #[test]
    fn a_signal_that_command_ignores_leaves_both_running() {
        let home = Home::new();
        let build =
            "trap '' TERM; trap 'echo still here' USR1; echo ready $$; read line; read line; echo done";
        let (mut process, child) = start(&home, build);
        process.signal(Signal::TERM);
        process.signal(Signal::USR1);
        process.prints("still here");
        assert!(child.is_running() && process.is_running());
        drop(process.stdin.take());
        process.prints("done");
        process.ends().succeeds();
    }
}
