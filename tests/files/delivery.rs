//! Secrets as files: COMMAND finds them where its tools look, and they are removed afterwards.
#![cfg(target_os = "linux")]

use std::fs;
use std::process::Stdio;

use rustix::process::Signal;

use crate::support;
use crate::support::{Bridge, Start as _};

const NETRC: &str = "machine git.example login me password hunter2";

fn bridge() -> Bridge {
    Bridge::serve(["--secret", &format!("netrc={NETRC}"), "--secret", "TOKEN=hunter2"])
}

#[test]
fn a_file_is_private_in_memory_and_gone_afterwards() {
    let bridge = bridge();
    let path = bridge.home.path("made/for/it/.netrc");
    let script =
        "cat \"$F\"; stat -L -c ' %a %u' \"$F\"; stat -L -f -c '%T' \"$F\"; readlink -f \"$F\" > where";
    let file = format!("netrc={}", path.display());
    let mut exec = bridge.client(["exec", "--no-mask", "--leaks=off", "--file", &file, "--sh", script]);
    let user = rustix::process::geteuid().as_raw();
    exec.env("F", &path).outcome().succeeds().prints(format!("{NETRC} 600 {user}\ntmpfs\n"));
    assert!(!bridge.home.path("made").exists(), "the directories made for it are removed");
    assert!(!fs::exists(bridge.home.read("where").trim()).unwrap());
}

#[test]
fn a_tilde_in_a_path_is_the_home_directory() {
    let bridge = bridge();
    bridge
        .client([
            "exec",
            "--no-mask",
            "--leaks=off",
            "--file",
            "netrc=~/.netrc,mode=0400",
            "--sh",
            "stat -L -c %a ~/.netrc; cat ~/.netrc",
        ])
        .outcome()
        .succeeds()
        .prints(format!("400\n{NETRC}"));
    assert!(fs::symlink_metadata(bridge.home.path(".netrc")).is_err());
}

#[test]
fn a_key_alone_gives_its_path_in_a_variable() {
    let bridge = bridge();
    let exec =
        bridge.client(["exec", "--no-mask", "--leaks=off", "--file", "netrc", "--sh", "cat \"$netrc\""]);
    { exec }.outcome().succeeds().prints(NETRC);
}

#[test]
fn an_existing_file_is_an_error_or_replaced_and_restored() {
    let bridge = bridge();
    let path = bridge.home.file("npmrc", "their own");
    let request = format!("TOKEN={}", path.display());
    bridge
        .client(["exec", "--file", &request, "--sh", "touch started"])
        .outcome()
        .exits_with(125)
        .says(&format!("cannot deliver TOKEN as a file: {} exists", path.display()));
    assert!(!bridge.home.path("started").exists());
    let script = "cat npmrc; rm npmrc; echo changed > npmrc";
    bridge
        .client(["exec", "--file", &format!("{request},replace"), "--sh", script])
        .outcome()
        .succeeds()
        .prints("***")
        .says("npmrc: it is now ");
    assert_eq!(bridge.home.read("npmrc"), "their own");
    assert_eq!(bridge.home.read("npmrc.sb-changed"), "changed\n");
    assert!(!bridge.home.path("npmrc.sb-original").exists());
}

#[test]
fn files_are_removed_when_a_signal_ends_the_step() {
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let bridge = bridge();
        let mut exec =
            bridge.client(["exec", "--file", "netrc=~/.netrc", "--sh", "readlink ~/.netrc; exec sleep 600"]);
        let exec = exec.stdout(Stdio::piped()).start();
        let inside = exec.prints_line();
        assert!(fs::exists(inside.trim()).unwrap());
        exec.signal(signal);
        assert_eq!(exec.ends().code(), Some(128 + signal.as_raw()));
        assert!(!fs::exists(inside.trim()).unwrap());
        assert!(fs::symlink_metadata(bridge.home.path(".netrc")).is_err());
    }
}

#[test]
fn after_sigkill_no_byte_of_a_secret_is_on_the_file_system() {
    let bridge = bridge();
    let script = "echo $$ $(readlink ~/.netrc); exec sleep 600";
    let mut exec = bridge.client(["exec", "--file", "netrc=~/.netrc", "--sh", script]);
    let exec = exec.stdout(Stdio::piped()).start();
    let line = exec.prints_line();
    let (id, inside) = line.split_once(' ').unwrap();
    let command = support::ForeignProcess::with_id(id);
    exec.signal(Signal::KILL);
    command.signal(Signal::KILL);
    exec.ends();
    // Only a link remains, and its target is in memory.
    assert!(fs::symlink_metadata(bridge.home.path(".netrc")).unwrap().is_symlink());
    assert!(
        inside.starts_with("/dev/shm/") || inside.starts_with("/run/") || inside.starts_with("/tmp/"),
        "{inside}"
    );
    fs::remove_dir_all(std::path::Path::new(inside.trim()).parent().unwrap()).unwrap();
}

#[test]
fn the_secret_option_of_buildkit_is_accepted() {
    let bridge = bridge();
    let path = bridge.home.path("npm/token");
    let request = format!("id=TOKEN,target={},env=NPM_TOKEN,mode=0440", path.display());
    let script = "cat npm/token; echo \" $NPM_TOKEN\"; stat -L -c %a npm/token";
    bridge
        .client([
            "exec",
            "--secret",
            &request,
            "--secret",
            "id=absent,env=ABSENT,required=false",
            "--sh",
            script,
        ])
        .outcome()
        .succeeds()
        .prints("*** ***\n440\n");
}

#[test]
fn a_missing_optional_secret_leaves_variable_and_file_out() {
    let bridge = bridge();
    let script = "test -z \"${ABSENT+set}\" && test ! -e absent && echo \"$TOKEN\"";
    let exec =
        ["exec", "-e", "ABSENT", "--optional=ABSENT", "--file", "other=absent,optional", "-e", "TOKEN"];
    bridge.client(exec.into_iter().chain(["--sh", script])).outcome().succeeds().prints("***\n");
    bridge
        .client(["exec", "-e", "ABSENT", "-e", "TOKEN", "--optional=TOKEN", "--sh", "touch started"])
        .outcome()
        .exits_with(125)
        .says("ABSENT: the bridge has no such secret");
    assert!(!bridge.home.path("started").exists());
}
