//! `serve -d`: the bridge runs in the background, and the command returns when it is ready.
#![cfg(target_os = "linux")]

use std::net::TcpListener;

use rustix::process::Signal;

use super::serve::{is_conf, with};
use crate::support::{BINARY, ForeignProcess, Home, Outcome, Start as _, mode};

/// The background process that `outcome` names.
fn background(outcome: &Outcome) -> ForeignProcess {
    let (_, rest) = outcome.stderr.split_once("the bridge runs in the background as process ").unwrap();
    ForeignProcess::with_id(rest.split(';').next().unwrap())
}

#[test]
fn d_returns_when_the_bridge_is_ready_and_keeps_running() {
    let home = Home::new();
    let outcome = home.serve(with(&["-d", "bridge.log"])).outcome().succeeds();
    let background = background(&outcome);
    let conf = outcome.text().trim_end().to_owned();
    assert!(is_conf(&conf), "{conf}");
    home.command(["print", "TOKEN", "-c", &conf]).outcome().succeeds().prints("hunter2");
    assert!(background.is_running());
    home.command(["kill", "-c", &conf]).outcome().succeeds();
    background.ends();
    assert_eq!(mode(home.path("bridge.log")), 0o600);
    let log = home.read("bridge.log");
    assert!(log.contains("the bridge has stopped: a client ran `kill`"), "{log}");
    assert!(!log.contains("hunter2") && !log.contains(&conf), "{log}");
}

#[test]
fn command_substitution_captures_the_conf() {
    let home = Home::new();
    let script = "CONF=$(\"$0\" serve --listen 127.0.0.1:0 -d bridge.log --secret TOKEN=hunter2) || exit
        \"$0\" print TOKEN -c \"$CONF\" && \"$0\" kill -c \"$CONF\"";
    let outcome = home.program("sh", ["-c", script, BINARY]).outcome().succeeds().prints("hunter2");
    // The background process may have ended already, so only its message is checked.
    assert!(outcome.stderr.contains("as process "), "{}", outcome.stderr);
}

#[test]
fn the_background_process_has_a_session_of_its_own() {
    // The bridge must outlive the terminal and the script that started it.
    let home = Home::new();
    let outcome = home.serve(with(&["-d", "bridge.log"])).outcome().succeeds();
    let background = background(&outcome);
    assert_eq!(rustix::process::getsid(Some(background.pid)).unwrap(), background.pid);
    background.signal(Signal::TERM);
    background.ends();
    assert!(home.read("bridge.log").contains("it was shut down on the host"));
}

#[test]
fn standard_input_is_a_source_in_the_background_too() {
    let home = Home::new();
    let outcome =
        home.serve(["-d", "bridge.log", "--secret", "TOKEN=-"]).outcome_with("from stdin").succeeds();
    let _background = background(&outcome);
    home.command(["print", "TOKEN", "-c", outcome.text().trim()]).outcome().succeeds().prints("from stdin");
}

#[test]
fn w_and_d_go_together() {
    let home = Home::new();
    let outcome = home.serve(with(&["-w", "-d", "bridge.log"])).outcome().succeeds().prints("");
    let _background = background(&outcome);
    assert_eq!(mode(home.path(".bridge-conf")), 0o600);
    home.command(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
}

#[test]
fn the_timeout_ends_the_background_process() {
    let home = Home::new();
    let outcome = home.serve(with(&["-d", "bridge.log", "-t", "1"])).outcome().succeeds();
    background(&outcome).ends();
    assert!(home.read("bridge.log").contains("its timeout has passed"));
}

#[test]
fn a_failure_in_the_background_is_reported_in_the_foreground() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap().to_string();
    home.serve(with(&["-d", "bridge.log", "--listen", &at]))
        .outcome()
        .fails()
        .says(&format!("cannot listen on {at}"))
        .says("Address already in use");
    home.serve(["-d", "bridge.log", "--secret", "UNSET"])
        .outcome()
        .fails()
        .says("secret UNSET: the environment variable UNSET is not set");
    home.serve(["-d", "bridge.log", "--secret", "a key=hunter2"])
        .outcome()
        .fails()
        .says("--secret: invalid key: only the characters");
    home.serve(with(&["-d", "no/such/directory/log"]))
        .outcome()
        .fails()
        .says("cannot open no/such/directory/log");
}
