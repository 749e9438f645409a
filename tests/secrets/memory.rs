//! Promise 6: freed heap memory is wiped. These tests read the memory of running processes.
#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::process::Stdio;

use rustix::process::Pid;

use crate::support::require::{PTRACE, require};
use crate::support::{Bridge, Home, Start as _};

/// Long enough that the pointers, which an allocator writes into freed memory, leave most of a copy.
const VALUE: &str = "kT7xQ2mN9vB4cZ1p-8sLw3dRf6yHj0aUe5gXo-QzWsEdCrFvTgByHnUjMiKoLp";

/// What is searched for: not the whole value, so that a copy whose start was overwritten is found too.
fn needle() -> &'static [u8] {
    &VALUE.as_bytes()[24..56]
}

/// How often the process has the value in memory that it may write to, stacks excepted: nothing is promised of those.
fn copies(pid: Pid) -> usize {
    let pid = pid.as_raw_nonzero();
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let mut bytes = 0;
    let mut copies = 0;
    for line in maps.lines() {
        let mut fields = line.split_ascii_whitespace();
        let (range, permissions) = (fields.next().unwrap(), fields.next().unwrap());
        let name = fields.nth(3).unwrap_or_default();
        if !permissions.starts_with("rw") || name == "[stack]" {
            continue;
        }
        let (start, end) = range.split_once('-').unwrap();
        let [start, end] = [start, end].map(|address| u64::from_str_radix(address, 16).unwrap());
        let mut region = vec![0; usize::try_from(end - start).unwrap()];
        // Pages that cannot be read hold nothing: a region may have been unmapped since it was listed.
        let Ok(length) = memory.read_at(&mut region, start) else { continue };
        bytes += length;
        copies += memchr::memmem::find_iter(&region[..length], needle()).count();
    }
    // An unreadable memory must not pass for an empty one.
    assert!(bytes > 100_000, "only {bytes} bytes of memory can be read");
    copies
}

/// A home with the value in a file, and a command source that prints it.
fn home() -> Home {
    let home = Home::new();
    home.file("value", VALUE);
    home
}

/// Waits for the end of this many sessions: until then their buffers are in use.
fn ended(bridge: &Bridge, sessions: usize) {
    while bridge.process.stderr().matches("\"session-ended\"").count() < sessions {
        // Any line: the bridge writes one for each `test`.
        bridge.client(["test"]).outcome().succeeds();
    }
}

#[test]
fn the_bridge_has_one_copy_of_a_secret_after_it_was_sent() {
    require!(PTRACE);
    let secrets = ["--secret", "id=FILE,src=value", "--secret", "id=COMMAND,cmd=cat value"];
    let bridge = Bridge::serve_in(home(), secrets.iter().chain(&["--audit", "-"]));
    assert_eq!(copies(bridge.process.pid), 1, "of the file, read at the start");
    bridge.client(["print", "FILE"]).outcome().succeeds().prints(VALUE);
    ended(&bridge, 1);
    assert_eq!(copies(bridge.process.pid), 1, "after the file was sent");
    bridge.client(["print", "COMMAND"]).outcome().succeeds().prints(VALUE);
    let script = "printf '%s%s' \"$FILE\" \"$COMMAND\"";
    let mut exec =
        bridge.client(["exec", "--no-mask", "--leaks=off", "-e", "FILE", "-e", "COMMAND", "--sh", script]);
    exec.outcome().succeeds().prints(VALUE.repeat(2));
    ended(&bridge, 3);
    assert_eq!(copies(bridge.process.pid), 2, "one of each source");
}

#[test]
fn exec_has_no_copy_of_what_it_handed_over() {
    require!(PTRACE);
    let bridge = Bridge::serve_in(home(), ["--secret", "id=FILE,src=value"]);
    // It stays because of the file.
    let mut exec = bridge.client(["exec", "--no-mask", "--leaks=off", "--file", "FILE=made", "-e", "V=FILE"]);
    exec.args(["--sh", "cat made; echo; printf '%s\\n' \"$V\"; read -r line"]);
    let mut process = exec.stdin(Stdio::piped()).start();
    process.prints(VALUE);
    assert_eq!(copies(process.pid), 0);
    drop(process.stdin.take());
    process.ends();
}
