//! `exec` on Windows (here wine): the arguments, files and output of COMMAND, and how it ends.

use crate::support::{Bridge, Home, Start as _};
use crate::wine;
use crate::wine::{exec, relay_path, temporary_files};
use rustix::process::Signal;

/// Its secrets are masked (6 bytes or more), but too short for the leak check (less than 8), which would walk all files of
/// this machine: see [`exec`].
fn bridge() -> Bridge {
    let home = Home::new();
    let mut command = home.serve(["--secret", "TOKEN", "--secret", "LINES"]);
    command.env("TOKEN", "hunter2").env("LINES", "a\r\nmore");
    Bridge::start(home, command)
}

#[test]
fn command_gets_the_secret_and_exec_has_its_exit_code() {
    let bridge = bridge();
    // cmd expands %T% from its own environment, and leaves the name of an unset variable as it is.
    let script = "echo [%T%] [%BRIDGE_CONF%]& exit 7";
    let outcome = exec(&bridge, ["--no-mask", "-e", "T=TOKEN", "--", "cmd", "/c", script]).outcome();
    outcome.exits_with(7).prints("[hunter2] [%BRIDGE_CONF%]\r\n");
    exec(&bridge, ["--", "no-such-program"]).outcome().exits_with(127);
}

#[test]
fn exec_keeps_all_32_bits_of_an_exit_code() {
    let bridge = bridge();
    // Linux keeps only the low byte, so a Windows shell prints the whole code.
    let inner = wine::path(std::path::Path::new(&wine::setting("SECRETS_BRIDGE_TEST_EXE")));
    bridge.home.file(
        "inner.cmd",
        format!("@{inner} exec -A -q -c conf -- cmd /c exit %1\r\n@echo %errorlevel%\r\n@exit /b 0\r\n"),
    );
    bridge.home.file("conf", &bridge.conf);
    for code in ["305419896", "-1073741510"] {
        let outcome = exec(&bridge, ["-A", "--", r".\inner", code]).outcome();
        outcome.succeeds().prints(format!("{code}\r\n"));
    }
}

#[test]
fn a_script_of_sh_is_passed_unchanged() {
    let bridge = bridge();
    let outcome = exec(&bridge, ["-e", "TOKEN", "--sh", "echo \"%TOKEN%\" ^& \"b\""]).outcome();
    outcome.succeeds().prints("\"***\" & \"b\"\r\n");
}

#[test]
fn npm_is_found_as_a_batch_file() {
    let bridge = bridge();
    let home = &bridge.home;
    std::fs::create_dir(home.path("tools")).unwrap();
    home.file("tools/npm.cmd", "@echo off\r\necho npm %1 %2 [%TOKEN%]\r\nexit /b 5\r\n");
    let run = |words: &[&str]| {
        let mut command = exec(&bridge, [&["-e", "TOKEN", "--"], words].concat());
        command.env("WINEPATH", wine::path(&home.path("tools"))).outcome()
    };
    run(&["npm", "ci", "a b&c"]).exits_with(5).prints("npm ci \"a b&c\" [***]\r\n");
    run(&["npm.cmd", "ci"]).exits_with(5).prints("npm ci  [***]\r\n");
    run(&["tools\\npm", "ci"]).exits_with(5).prints("npm ci  [***]\r\n");
    // The standard library refuses to pass a newline to a batch file: cmd would end the line there.
    run(&["npm", "a\nb"]).exits_with(126);
    // The working directory is not searched.
    home.file("yarn.cmd", "@echo wrong\r\n");
    run(&["yarn"]).exits_with(127);
}

#[test]
fn files_exist_only_while_command_runs() {
    let bridge = bridge();
    let before = temporary_files();
    bridge.home.file("npmrc", "old");
    let files = ["--file", r"TOKEN=sub\netrc", "--file", "TOKEN=npmrc,replace", "--file", "TOKEN"];
    let script = r"type sub\netrc& type npmrc& type %TOKEN%& echo.& echo %TOKEN%& set /p x=";
    let words = [&["--no-mask"], &files[..], &["--sh", script]].concat();
    let mut process = exec(&bridge, words).stdin(std::process::Stdio::piped()).start();
    let path = process.prints(r"\sb-");
    assert_eq!(process.prints("hunter2").trim_end(), "hunter2".repeat(3));
    assert!(path.trim_end().ends_with("-TOKEN"), "{path}");
    let created: Vec<_> = temporary_files().into_iter().filter(|file| !before.contains(file)).collect();
    assert!(!created.is_empty());
    drop(process.stdin.take());
    process.ends();
    assert!(!bridge.home.path("sub").exists());
    assert_eq!(bridge.home.read("npmrc"), "old");
    assert!(created.iter().all(|directory| !directory.exists()));

    exec(&bridge, ["--file", "TOKEN=npmrc", "--", "cmd", "/c", "echo started"])
        .outcome()
        .fails()
        .says("npmrc exists");
    assert_eq!(bridge.home.read("npmrc"), "old");
}

#[test]
fn a_file_that_command_replaced_stays_with_a_warning() {
    let bridge = bridge();
    let words = ["--file", "TOKEN=netrc", "--sh", "ren netrc moved& echo own> netrc"];
    exec(&bridge, words).outcome().succeeds().says("COMMAND put something else at");
    assert_eq!(bridge.home.read("netrc"), "own\r\n");
}

#[test]
fn secrets_are_masked_on_both_streams_without_delay() {
    let bridge = bridge();
    let script = "echo [%TOKEN%]& echo err %TOKEN% 1>&2& echo a& set /p x=";
    let words = ["-e", "TOKEN", "-e", "LINES", "--sh", script];
    let mut process = exec(&bridge, words).stdin(std::process::Stdio::piped()).start();
    assert_eq!(process.prints("[").trim_end(), "[***]");
    assert_eq!(process.says("err").trim_end(), "err ***");
    // The other secret begins with this line. It is shown nevertheless if nothing follows.
    process.prints("a");
    drop(process.stdin.take());
    process.exits();
}

#[test]
fn children_of_command_end_with_it_and_with_exec() {
    let bridge = bridge();
    // Not masked, so that the sleeping process has the stdout of the test: `outcome` and `ends` wait for its end, too.
    let script = format!("start /b {} sleep& exit 3", relay_path());
    exec(&bridge, ["--no-mask", "-e", "TOKEN", "--sh", &script]).outcome().exits_with(3);

    let process = exec(&bridge, ["--no-mask", "-e", "TOKEN", "--", &relay_path(), "sleep"]).start();
    process.prints("asleep");
    process.signal(Signal::KILL);
    process.ends();
}
