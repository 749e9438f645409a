//! `exec`: COMMAND runs with its secrets as if it had been started by hand, or does not run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::thread;

use rustix::process::Signal;

use crate::support::{BINARY, Bridge, Home, Start as _};

fn bridge() -> Bridge {
    Bridge::serve(["--secret", "TOKEN=hunter2", "--secret", "ci/other=correct horse"])
}

#[test]
fn command_finds_secrets_in_the_requested_variables() {
    let script = "echo $TOKEN, $OTHER, $AGAIN";
    bridge()
        .client([
            "exec",
            "--no-mask",
            "--leaks=off",
            "-e",
            "TOKEN",
            "-e",
            "OTHER=ci/other",
            "-e",
            "AGAIN=TOKEN",
            "--",
            "sh",
            "-c",
            script,
        ])
        .outcome()
        .succeeds()
        .prints("hunter2, correct horse, hunter2\n");
}

#[test]
fn variables_in_an_sh_script_expand_to_secrets() {
    bridge()
        .client(["exec", "-e", "TOKEN", "--sh", "test -n \"$TOKEN\" && echo \"[${#TOKEN}]\""])
        .outcome()
        .succeeds()
        .prints("[7]\n");
}

#[test]
fn every_exit_code_of_command_is_the_exit_code_of_exec() {
    let bridge = bridge();
    let check = |code: i32| {
        let script = format!("exit {code}");
        bridge.client(["exec", "-e", "TOKEN", "--sh", &script]).outcome().exits_with(code);
    };
    thread::scope(|scope| {
        for first in 0..4 {
            let check = &check;
            scope.spawn(move || (first..=255).step_by(4).for_each(check));
        }
    });
}

#[test]
fn a_signal_that_ends_command_is_seen_by_the_caller_of_exec() {
    let bridge = bridge();
    for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::KILL, Signal::SEGV, Signal::TERM] {
        let number = signal.as_raw();
        let script = format!("kill -{number} $$");
        // The real wait status, and 128 + N for a shell.
        let outcome = bridge.client(["exec", "--sh", &script]).outcome();
        assert_eq!(outcome.signal(), Some(number));
        let outer = format!("{BINARY} exec --sh '{script}'; echo $?");
        bridge
            .home
            .program("sh", ["-c", &outer])
            .env("BRIDGE_CONF", &bridge.conf)
            .outcome()
            .prints(format!("{}\n", 128 + number));
    }
}

#[test]
fn command_reads_the_stdin_of_exec() {
    let input = vec![b'x'; 1 << 20];
    bridge()
        .client(["exec", "-e", "TOKEN", "--", "cat"])
        .outcome_with(input.clone())
        .succeeds()
        .prints(input);
}

#[test]
fn exec_adds_nothing_to_commands_stdout_and_stderr() {
    let options = ["exec", "-e", "TOKEN,leaks=off", "--sh", "printf out; printf err >&2"];
    let outcome = bridge().client(options).outcome().succeeds();
    assert_eq!((outcome.text().as_str(), outcome.stderr.as_str()), ("out", "err"));
}

#[test]
fn command_gets_its_arguments_and_directory_unchanged() {
    let bridge = bridge();
    bridge
        .client(["exec", "--", "printf", "[%s]", "a b", "", "-e", "--", "$HOME", "*"])
        .outcome()
        .succeeds()
        .prints("[a b][][-e][--][$HOME][*]");
    let directory = fs::canonicalize(bridge.home.path(".")).unwrap();
    bridge.client(["exec", "pwd"]).outcome().succeeds().prints(format!("{}\n", directory.display()));
}

#[test]
fn a_missing_command_is_127_and_one_not_executable_is_126() {
    let bridge = bridge();
    let home = &bridge.home;
    home.file("no-program", "just text");
    for missing in ["no-such-command", "./absent", "/nowhere/at/all"] {
        bridge
            .client(["exec", "-e", "TOKEN", "--", missing])
            .outcome()
            .exits_with(127)
            .says(&format!("cannot start {missing}"));
    }
    for unusable in ["./no-program", "/"] {
        bridge
            .client(["exec", "-e", "TOKEN", "--", unusable])
            .outcome()
            .exits_with(126)
            .says(&format!("cannot start {unusable}"));
    }
}

#[test]
fn command_is_searched_for_in_path() {
    let bridge = bridge();
    let bin = bridge.home.path("bin");
    fs::create_dir(&bin).unwrap();
    let tool = bridge.home.file("bin/the-tool", "#!/bin/sh\necho \"found with $TOKEN\"\n");
    bridge.client(["exec", "-e", "TOKEN", "the-tool"]).env("PATH", &bin).outcome().exits_with(126);
    fs::set_permissions(tool, fs::Permissions::from_mode(0o755)).unwrap();
    bridge
        .client(["exec", "-e", "TOKEN", "the-tool"])
        .env("PATH", &bin)
        .outcome()
        .succeeds()
        .prints("found with ***\n");
    bridge.client(["exec", "-e", "TOKEN", "the-tool"]).env("PATH", "/nowhere").outcome().exits_with(127);
}

#[test]
fn missing_secrets_stop_exec_and_all_of_them_are_named() {
    let outcome = bridge()
        .client([
            "exec",
            "-e",
            "TOKEN",
            "-e",
            "A=missing/one",
            "-e",
            "B=missing/two",
            "--",
            "echo",
            "started",
        ])
        .outcome()
        .fails()
        .says("2 secrets are not available")
        .says("missing/one: the bridge has no such secret")
        .says("missing/two: the bridge has no such secret")
        .says("`secrets-bridge test` lists the keys that the bridge offers");
    outcome.never_says("TOKEN").never_says("hunter2");
}

#[test]
fn the_conf_is_not_in_commands_environment() {
    let bridge = bridge();
    let show = "echo ${BRIDGE_CONF-gone} ${FTP_PROXY-gone} ${ftp_proxy-gone}";
    bridge
        .client(["exec", "--sh", show])
        .env("FTP_PROXY", &bridge.conf)
        .env("ftp_proxy", &bridge.conf)
        .outcome()
        .succeeds()
        .prints("gone gone gone\n");
    // Also a mangled conf, and one that `exec` did not use.
    bridge
        .client(["exec", "--sh", show, "-c", &bridge.conf])
        .env("BRIDGE_CONF", "")
        .env("FTP_PROXY", "sb1_mangled")
        .outcome()
        .succeeds()
        .prints("gone gone gone\n");
}

#[test]
fn a_real_ftp_proxy_stays_in_commands_environment() {
    let proxy = "http://proxy.example:3128";
    bridge()
        .client(["exec", "--sh", "echo ${BRIDGE_CONF-gone} $FTP_PROXY ${ftp_proxy-gone}"])
        .env("FTP_PROXY", proxy)
        .outcome()
        .succeeds()
        .prints(format!("gone {proxy} gone\n"));
}

#[test]
fn command_inherits_the_environment_and_secrets_win_over_it() {
    bridge()
        .client(["exec", "-e", "TOKEN", "--sh", "echo $OTHER $TOKEN"])
        .env("OTHER", "kept")
        .env("TOKEN", "from the image")
        .outcome()
        .succeeds()
        .prints("kept ***\n");
}

#[test]
fn command_cannot_dump_core() {
    bridge().client(["exec", "--sh", "ulimit -S -c; ulimit -H -c"]).outcome().succeeds().prints("0\n0\n");
}

#[test]
fn command_replaces_exec_when_nothing_follows_it() {
    let bridge = bridge();
    let mut command =
        bridge.client(["exec", "--no-mask", "--leaks=off", "-e", "TOKEN", "--sh", "echo $$; read line"]);
    let mut process = command.stdin(Stdio::piped()).start();
    assert_eq!(process.prints_line(), process.pid.as_raw_nonzero().to_string());
    drop(process.stdin.take());
    process.ends();
}

#[test]
fn exec_leaves_no_file_behind() {
    let bridge = bridge();
    let tmp = bridge.home.path("tmp");
    fs::create_dir(&tmp).unwrap();
    let entries =
        |path: &Path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
    let before = entries(&bridge.home.path("."));
    for script in ["true", "exit 1", "kill -TERM $$", "ls \"$TMPDIR\""] {
        bridge.client(["exec", "-e", "TOKEN", "--sh", script]).env("TMPDIR", &tmp).outcome().prints("");
    }
    assert_eq!((entries(&bridge.home.path(".")), entries(&tmp)), (before, vec![]));
}

#[test]
fn signals_reach_command() {
    let bridge = bridge();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::USR1, Signal::QUIT] {
        let number = signal.as_raw();
        let script = format!("trap 'echo got {number}; exit 7' {number}; echo ready; read line");
        let process = bridge.client(["exec", "-e", "TOKEN", "--sh", &script]).stdin(Stdio::piped()).start();
        process.prints("ready");
        process.signal(signal);
        process.prints(&format!("got {number}"));
        process.ends().exits_with(7);
    }
}

#[test]
fn a_signal_while_fetching_ends_exec_before_command_starts() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        // `cat` waits for a writer of this pipe, and there is none: the source runs until the test ends it.
        let home = Home::new();
        home.program("mkfifo", ["never"]).outcome().succeeds();
        let bridge = Bridge::serve_in(home, ["--secret", "id=SLOW,cmd=exec cat never", "--audit", "-"]);
        let process = bridge.client(["exec", "-e", "SLOW", "--", "echo", "started"]).start();
        process.says("waiting for SLOW");
        process.signal(signal);
        let outcome = process.ends();
        assert_eq!((outcome.signal(), outcome.text().as_str()), (Some(signal.as_raw()), ""));
        bridge.process.says("\"session-ended\"");
    }
}

#[test]
fn invalid_arguments_are_reported_before_the_bridge_is_dialled() {
    let home = Home::new();
    for (arguments, message) in [
        (&["exec"][..], "missing COMMAND: exec [OPTIONS] -- COMMAND"),
        (&["exec", "-e", "TOKEN"], "missing COMMAND"),
        (&["exec", "-e", "ci/npm", "true"], "-e: ci/npm is not a valid variable name: write -e VAR=KEY"),
        (&["exec", "-e", "1A=k", "true"], "invalid -e: 1A is not a valid variable name"),
        (&["exec", "-e", "A=", "true"], "-e: invalid key: empty"),
        (
            &["exec", "-e", "A=b32:k", "true"],
            "-e: invalid key: unknown prefix (known: b64: b64u: rb64: rb64u:)",
        ),
        (&["exec", "-e", "A=x", "-e", "A=y", "true"], "-e: the variable A is set twice"),
        (&["print", "a b"], "KEY: invalid key: only the characters A-Z a-z 0-9 . _ / - are allowed"),
        (&["print"], "KEY"),
    ] {
        home.command(arguments).outcome().fails().says(message);
    }
    home.command(["exec", "--sh", "true", "--", "true"]).outcome().fails();
}
