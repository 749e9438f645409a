//! `exec --mask`: secrets in COMMAND's output are replaced, and nothing else is touched.
#![cfg(target_os = "linux")]

use std::io::Write as _;
use std::process::Stdio;

mod support;

use support::{Bridge, Start as _};

fn bridge() -> Bridge {
    Bridge::serve([
        "--secret",
        "TOKEN=hunter2-is-a-secret",
        "--secret",
        "netrc=machine h login me password swordfish99",
    ])
}

#[test]
fn values_and_their_encodings_are_replaced_on_both_streams() {
    let bridge = bridge();
    let script = "echo a $TOKEN b; echo $TOKEN >&2; printf %s \"$TOKEN\" | base64; cut -d' ' -f5- $netrc";
    let outcome =
        bridge.client(["exec", "--mask", "-e", "TOKEN", "--file", "netrc", "--sh", script]).outcome();
    let outcome =
        outcome.succeeds().says("***").never_says("hunter2").never_says("aHVudGVyMi1pcy1hLXNlY3JldA");
    outcome.prints("a *** b\n***\npassword ***\n");
}

#[test]
fn a_secret_in_pieces_is_masked_and_a_prompt_is_not_held_back() {
    let bridge = bridge();
    let script =
        "printf 'name? '; read -r name; printf hunter; read -r go; printf '2-is-a-'; printf secret; exit 7";
    let mut exec = bridge.client(["exec", "--mask", "-e", "TOKEN", "--sh", script]);
    let mut exec = exec.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut prompt = [0; 6];
    std::io::Read::read_exact(exec.stdout.as_mut().unwrap(), &mut prompt).unwrap();
    assert_eq!(&prompt, b"name? ");
    exec.stdin.as_mut().unwrap().write_all(b"me\ngo\n").unwrap();
    let output = exec.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("2-is-a-secret"), "{text}");
}

#[test]
fn other_output_comes_as_it_was() {
    let bridge = bridge();
    let script = "i=0; while [ $i -lt 256 ]; do printf \"\\\\$(printf %o $i)\"; i=$((i+1)); done; head -c 300000 /dev/zero";
    let every_byte: Vec<u8> = (0..=255).chain(std::iter::repeat_n(0, 300_000)).collect();
    bridge.client(["exec", "--mask", "-e", "TOKEN", "--sh", script]).outcome().succeeds().prints(every_byte);
}

#[test]
fn a_child_that_lives_on_does_not_hold_the_step() {
    let bridge = bridge();
    let script = "sleep 600 & echo $!";
    let outcome = bridge.client(["exec", "--mask", "-e", "TOKEN", "--sh", script]).outcome().succeeds();
    let id = outcome.text();
    support::Stranger::with_id(id.lines().next().unwrap_or_default().trim())
        .signal(rustix::process::Signal::KILL);
}

#[test]
fn without_it_output_is_not_touched() {
    bridge().client(["exec", "-e", "TOKEN", "--sh", "echo $TOKEN"]).outcome().prints("hunter2-is-a-secret\n");
}
