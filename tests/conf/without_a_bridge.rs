//! `exec` without a bridge: if no conf is found, it uses mounted secrets, so that one line serves both kinds of build.

use std::process::Command;

use crate::support::{Bridge, Home, Start as _};

fn exec(home: &Home, arguments: &[&str], script: &str) -> Command {
    let directory = home.path("secrets").display().to_string();
    let options = ["exec", "--secrets-dir", &directory];
    home.command(options.iter().chain(arguments).chain(&["--sh", script]))
}

fn home() -> Home {
    let home = Home::new();
    assert!(std::fs::create_dir(home.path("secrets")).is_ok());
    home.file("secrets/TOKEN", "mounted");
    home
}

#[test]
fn without_a_conf_mounted_secrets_are_used() {
    let home = home();
    exec(&home, &["-e", "TOKEN"], "echo $TOKEN")
        .outcome()
        .succeeds()
        .prints("***\n")
        .says("there is no bridge: taking secrets from");
}

#[test]
fn a_secret_that_is_not_mounted_is_an_error() {
    let home = home();
    exec(&home, &["-e", "OTHER"], "touch started")
        .outcome()
        .exits_with(125)
        .says("no bridge conf was found")
        .says("OTHER is not mounted: there is no");
    home.file("secrets/EMPTY", "");
    exec(&home, &["-e", "EMPTY", "--optional"], "touch started").outcome().exits_with(125).says("is empty");
    assert!(!home.path("started").exists());
}

#[test]
fn only_optional_secrets_and_no_conf_run_with_one_warning() {
    let home = home();
    let outcome = exec(&home, &["-e", "OTHER", "--optional"], "echo ${OTHER-unset}").outcome().succeeds();
    assert_eq!(outcome.stderr.matches("warning").count(), 1);
    outcome.prints("unset\n");
}

#[test]
fn a_key_cannot_lead_out_of_the_directory() {
    let home = home();
    home.file("outside", "secret");
    exec(&home, &["-e", "X=../outside"], "echo $X")
        .outcome()
        .exits_with(125)
        .says("its key is not a path below the directory");
}

#[test]
fn a_dead_bridge_is_an_error_despite_mounted_secrets() {
    let home = home();
    let bridge = Bridge::serve(["--secret", "TOKEN=given"]);
    let conf = bridge.conf.clone();
    bridge.sigkill();
    exec(&home, &["-c", &conf, "-e", "TOKEN"], "touch started")
        .outcome()
        .exits_with(125)
        .says("no endpoint of the bridge answered");
    assert!(!home.path("started").exists());
}

#[test]
fn a_refusal_is_an_error_despite_mounted_secrets() {
    let home = home();
    let bridge = Bridge::serve(["--secret", "OTHER=given"]);
    exec(&home, &["-c", &bridge.conf, "-e", "TOKEN"], "touch started")
        .outcome()
        .exits_with(125)
        .says("TOKEN: the bridge has no such secret");
    assert!(!home.path("started").exists());
}

#[test]
fn no_fallback_makes_a_missing_conf_an_error() {
    let home = home();
    home.command(["exec", "--no-fallback", "-e", "TOKEN", "--", "true"])
        .outcome()
        .exits_with(125)
        .says("no bridge conf was found");
}

#[test]
fn without_a_bridge_an_inherited_agent_stays() {
    let home = home();
    let mut exec = exec(&home, &["-e", "TOKEN"], "echo $SSH_AUTH_SOCK");
    exec.env("SSH_AUTH_SOCK", "/run/buildkit/ssh_agent.0").outcome().prints("/run/buildkit/ssh_agent.0\n");
}
