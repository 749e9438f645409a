//! The program for Windows, as a client of a bridge on Linux. wine stands in for Windows.

#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Output, Stdio};

/// With what URLs, shells and console code pages treat in their own ways.
const TOKEN: &str = "npm_+/?&%~=ä";

#[test]
#[ignore = "needs wine: cargo xtask test"]
fn print_writes_exactly_the_bytes_of_the_secret() {
    let bridge = Bridge::start();
    let output = bridge.exe(&["print", "TOKEN"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), TOKEN),
        "{}",
        text(&output.stderr)
    );
    let output = bridge.exe(&["print", "b64:TOKEN"]);
    assert_eq!(text(&output.stdout), "bnBtXysvPyYlfj3DpA==");
}

#[test]
#[ignore = "needs wine: cargo xtask test"]
fn exec_gives_the_secret_to_its_command_and_returns_its_code() {
    let bridge = Bridge::start();
    // cmd expands %T% itself, so what it prints is what is in its environment.
    let output = bridge.exe(&[
        "exec",
        "--no-mask",
        "-e",
        "T=PLAIN",
        "--",
        "cmd",
        "/c",
        "echo [%T%] [%BRIDGE_CONF%]& exit 7",
    ]);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    // A variable that is not set is left as it stands.
    assert_eq!(text(&output.stdout).trim(), "[hunter2] [%BRIDGE_CONF%]");
}

#[test]
#[ignore = "needs wine: cargo xtask test"]
fn a_missing_secret_and_a_dead_conf_are_failures_of_ours() {
    let bridge = Bridge::start();
    let output = bridge.exe(&["exec", "-e", "ABSENT", "--", "cmd", "/c", "echo started"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(125), ""));
    assert!(
        text(&output.stderr).contains("ABSENT: the bridge has no such secret"),
        "{}",
        text(&output.stderr)
    );

    let conf = bridge.conf.clone();
    drop(bridge);
    let output = exe(&conf, &["exec", "-e", "TOKEN", "--", "cmd", "/c", "echo started"]);
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(125), ""));
    let said = text(&output.stderr);
    assert!(said.contains("no endpoint of the bridge answered"), "{said}");
    assert!(said.contains("is `serve` still running on the host?"), "{said}");
}

/// A bridge on this machine. Dropping it kills it.
struct Bridge {
    process: Child,
    conf: String,
}

impl Bridge {
    fn start() -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_secrets-bridge"))
            .args(["serve", "--secret", "TOKEN", "--secret", "PLAIN"])
            .envs([("TOKEN", TOKEN), ("PLAIN", "hunter2")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // The conf comes when the bridge accepts connections.
        let mut conf = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut conf).unwrap();
        Self { process, conf: conf.trim().to_owned() }
    }

    fn exe(&self, arguments: &[&str]) -> Output {
        exe(&self.conf, arguments)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// secrets-bridge.exe with `conf` in its environment.
fn exe(conf: &str, arguments: &[&str]) -> Output {
    Command::new(setting("SECRETS_BRIDGE_TEST_WINE"))
        .arg(setting("SECRETS_BRIDGE_TEST_EXE"))
        .args(arguments)
        .env("BRIDGE_CONF", conf)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// What `cargo xtask test` says.
fn setting(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: `cargo xtask test` runs these tests"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
