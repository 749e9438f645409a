//! The limit of open descriptors: a bridge raises its own, and the programs that it starts have the original one.
#![cfg(target_os = "linux")]

use std::ffi::OsStr;
use std::fs;
use std::process::Command;

use crate::peer::Client;
use crate::support::{BINARY, Bridge, Home, Start as _};

/// The soft limit that these tests start the program with.
const ORIGINAL: &str = "64";

/// `secrets-bridge ARGS`, started with a soft limit of [`ORIGINAL`] descriptors.
fn limited(home: &Home, args: &[&str]) -> Command {
    limited_by(home, &format!("ulimit -Sn {ORIGINAL}"), args)
}

/// `secrets-bridge ARGS`, started by a shell that runs `limit` first.
fn limited_by(home: &Home, limit: &str, args: &[&str]) -> Command {
    let script = format!("{limit} && exec \"$0\" \"$@\"");
    home.program("sh", [&["-c", &script, BINARY], args].concat().iter().map(OsStr::new))
}

fn serve(args: &[&str]) -> Bridge {
    let home = Home::new();
    let command = limited(&home, &[&["serve", "--listen", "127.0.0.1:0"], args].concat());
    Bridge::start(home, command)
}

/// The soft and the hard limit of the bridge itself.
fn limits_of(bridge: &Bridge) -> (u64, u64) {
    let pid = bridge.process.pid.as_raw_nonzero();
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut numbers = line.split_whitespace().skip(3).map(|number| number.parse().unwrap());
    (numbers.next().unwrap(), numbers.next().unwrap())
}

#[test]
fn a_bridge_raises_its_limit_of_descriptors() {
    let bridge = serve(&["--secret", "TOKEN=hunter2"]);
    let (soft, hard) = limits_of(&bridge);
    assert_eq!(soft, hard.min(65_536));
    // A client that waits for COMMAND does not.
    let home = Home::new();
    let mut exec = limited(&home, &["exec", "--leaks=off", "-e", "TOKEN", "--", "sh", "-c", "ulimit -Sn"]);
    exec.env("BRIDGE_CONF", &bridge.conf).outcome().succeeds().prints(format!("{ORIGINAL}\n"));
}

#[test]
fn programs_of_the_bridge_get_the_original_limit() {
    let home = Home::new();
    let script = home.file("limits.sh", "ulimit -Sn; ulimit -Hn");
    let before = home.program("sh", [OsStr::new("-c"), OsStr::new("ulimit -Hn")]).outcome().text();
    let command = ["run", "--secret", "T=x", "--", "sh", script.to_str().unwrap()];
    limited(&home, &command).outcome().succeeds().prints(format!("{ORIGINAL}\n{before}"));

    home.file(
        "helper",
        "#!/bin/sh\n[ \"$1\" = get ] && echo username=u && echo password=limit-$(ulimit -Sn)\n",
    );
    fs::set_permissions(home.path("helper"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    home.file(".gitconfig", format!("[credential]\nhelper = {}\n", home.path("helper").display()));
    let git = "git.example";
    let args =
        ["serve", "--listen", "127.0.0.1:0", "--secret", "id=soft,cmd=ulimit -Sn", "--git-credential", git];
    let command = limited(&home, &args);
    let bridge = Bridge::start(home, command);
    bridge.client(["print", "soft"]).outcome().succeeds().prints(ORIGINAL);
    bridge
        .client(["print", "git-credentials"])
        .outcome()
        .succeeds()
        .prints(format!("https://u:limit-{ORIGINAL}@{git}\n"));
}

#[test]
fn the_limit_is_original_with_more_descriptors_open() {
    let bridge = serve(&["--secret", "id=soft,cmd=ulimit -Sn", "--secret", "id=again,cmd=ulimit -Sn"]);
    let sessions: Vec<Client> = (0..100).map(|_| Client::begin(&bridge.conf, &[]).0).collect();
    bridge.client(["print", "soft"]).outcome().succeeds().prints(ORIGINAL);
    drop(sessions);
    bridge.client(["print", "again"]).outcome().succeeds().prints(ORIGINAL);
    let (soft, hard) = limits_of(&bridge);
    assert_eq!(soft, hard.min(65_536), "the bridge's own limit after it started programs");
}
