//! Many logins at once. They keep a small machine busy, so they run at the lowest priority: otherwise tests that run in
//! parallel would time out.
#![cfg(target_os = "linux")]

use crate::support::BINARY;
use crate::support::require::require;
use crate::support::ssh::{SSH_SERVER, Scene, records};

#[test]
fn a_hundred_logins_at_once_all_succeed() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let bridge = scene.serve(&[]);
    let there = scene.destination_words(&scene.server);
    let script = format!(
        "for i in $(seq 100); do
             ssh {there} echo $i </dev/null &
         done
         wait"
    );
    // With few cores all of them end late: the usual limit is meant for a single operation.
    let mut exec = scene.program("nice", ["-n", "19", "timeout", "300", BINARY, "exec", "--sh", &script]);
    let output = exec.env("BRIDGE_CONF", &bridge.conf).output().unwrap();
    let (text, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stderr}");
    let mut logins: Vec<usize> = text.lines().map(|line| line.parse().unwrap()).collect();
    logins.sort_unstable();
    assert_eq!(logins, (1..=100).collect::<Vec<_>>(), "{stderr}");
    assert_eq!(records(&bridge, "agent-signature").len(), 100);
    assert!(records(&bridge, "agent-refused").is_empty());
}
