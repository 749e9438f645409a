//! `exec` with an agent as a process: exit codes, signals, process 1, and what is left when it ends.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Stdio;

use rustix::process::{Signal, kill_process_group};

use crate::support::require::{PID_NAMESPACE, require};
use crate::support::ssh::{SSH_SERVER, Scene};
use crate::support::{BINARY, ForeignProcess, Start as _};

/// Prints the private directory, and runs until it gets a signal or its input ends.
const STAY: &str = "dirname \"$SSH_AUTH_SOCK\"; exec cat";

#[test]
fn signals_end_command_and_remove_the_private_directory() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let bridge = scene.serve(&[]);
    for (signal, to_group) in
        [(Signal::TERM, false), (Signal::INT, true), (Signal::INT, false), (Signal::HUP, true)]
    {
        let mut exec = scene.exec(&bridge.conf, ["--sh", STAY]);
        let process = exec.stdin(Stdio::piped()).process_group(0).start();
        let directory = process.prints_line();
        assert!(Path::new(&directory).join("agent.sock").exists(), "{directory}");
        if to_group {
            // As Ctrl-C does.
            kill_process_group(process.pid, signal).unwrap();
        } else {
            process.signal(signal);
        }
        process.ends().exits_with(128 + signal.as_raw());
        assert!(!Path::new(&directory).exists(), "{directory} stays after {signal:?}");
    }
}

/// The process id of the only child.
fn child_of(pid: i32) -> String {
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    children.trim().to_owned()
}

#[test]
fn a_signal_to_exec_ends_an_ssh_that_is_logged_in() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let bridge = scene.serve(&[]);
    let mut ssh = scene.exec(&bridge.conf, ["--", "ssh"]);
    ssh.args(scene.destination(&scene.server)).arg("echo in; exec cat").stdin(Stdio::piped());
    let process = ssh.start();
    process.prints("in");
    process.signal(Signal::TERM);
    process.ends().exits_with(255);
    scene.server.loses_all_connections();
}

#[test]
fn exec_with_an_agent_returns_the_exit_code_of_command() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let bridge = scene.serve(&[]);
    for code in [0, 1, 7, 125, 126, 127, 255] {
        scene.exec(&bridge.conf, ["--sh", &format!("exit {code}")]).outcome().exits_with(code);
    }
    for signal in [Signal::TERM, Signal::KILL, Signal::SEGV] {
        let number = signal.as_raw();
        scene.exec(&bridge.conf, ["--sh", &format!("kill -{number} $$")]).outcome().exits_with(128 + number);
    }
}

#[test]
fn exec_as_process_1_reaps_orphans_and_obeys_signals() {
    require!(SSH_SERVER, PID_NAMESPACE);
    let scene = Scene::new();
    let isolated = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let bridge = scene.serve(&[]);
    let there = scene.destination_words(&scene.server);
    // The inner shell becomes a child of process 1 when its parent ends, and process 1 has to reap it.
    let script = format!(
        "set -e
         test \"$PPID\" = 1
         (sh -c 'exit 3' & ) ; ssh {there} echo in
         until ! grep -q '^State:.*zombie' /proc/[0-9]*/status 2>/dev/null; do :; done
         echo collected
         exec cat"
    );
    let mut unshare = scene.program("unshare", isolated);
    unshare.args([BINARY, "exec", "--sh", &script]).env("BRIDGE_CONF", &bridge.conf);
    let process = unshare.stdin(Stdio::piped()).start();
    process.prints("in");
    process.prints("collected");
    let first = ForeignProcess::with_id(&child_of(process.pid.as_raw_nonzero().get()));
    first.signal(Signal::TERM);
    process.ends().exits_with(128 + Signal::TERM.as_raw());
}
