//! Promise 10: text from peers, files and the environment reaches terminals and logs escaped and cut to a limit.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::Command;

use crate::support::{Bridge, Home, Outcome, Start as _};

/// Escape sequences for colour, cursor and title; a bell; bidirectional controls; a zero-width space; three line ends.
const HOSTILE: &str =
    "\x1b[31mred\x1b[2J\x1b]0;title\x07\u{9b}2K\u{202e}drow\u{2066}\u{200b}\r\x08\x7f\u{2028}end";

/// The maximum length of a line in bytes: 3,200 characters, each at most 10 bytes when escaped.
const MAX_LINE: usize = 32 << 10;

#[track_caller]
fn assert_harmless(text: &str) {
    for line in text.lines() {
        assert!(line.len() < MAX_LINE, "{} bytes in a line: {line:.300}", line.len());
        let bad = line.chars().find(|c| {
            c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        });
        assert_eq!(bad, None, "{line:?}");
    }
}

#[track_caller]
fn harmless_outcome(command: &mut Command) -> Outcome {
    let outcome = command.outcome();
    assert!(!outcome.stderr.is_empty(), "no message on stderr, {:?}", outcome.status);
    assert_harmless(&outcome.stderr);
    outcome
}

#[test]
fn stderr_of_a_source_is_escaped_and_cut_on_both_sides() {
    let home = Home::new();
    home.file("short", HOSTILE);
    home.file("long", format!("{HOSTILE}{}", "A".repeat(1 << 20)));
    let bridge = Bridge::serve_in(
        home,
        [
            "-vv",
            "--audit",
            "-",
            "--secret",
            "id=A,cmd=cat short >&2; exit 1",
            "--secret",
            "id=B,cmd=cat long >&2; exit 1",
        ],
    );
    for key in ["A", "B"] {
        harmless_outcome(&mut bridge.client(["print", "-vv", key]))
            .fails()
            .says("\\u{1b}[31mred")
            .says("\\u{202e}drow");
    }
    // A message that was cut ends with its full length.
    harmless_outcome(&mut bridge.client(["exec", "-e", "A", "-e", "B", "true"]))
        .fails()
        .says("bytes in all)");
    let outcome = bridge.end().succeeds().says("\\u{1b}[31mred").says("\\u{202e}drow");
    assert_harmless(&outcome.stderr);
}

#[test]
fn names_of_files_commands_and_variables_are_escaped() {
    let home = Home::new();
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2"]);
    for name in [HOSTILE.to_owned(), "x".repeat(100_000), format!("{}{HOSTILE}", "\u{202e}".repeat(20_000))] {
        let option = |before: &str| format!("{before}{name}");
        for command in [
            &mut home.serve(["--secret", &option("id=K,src=")]),
            &mut home.serve(["--secret", &option("id=K,env=")]),
            &mut home.serve(["--secret-from-file", &option("K=")]),
            &mut home.serve(["--secret-from-file", &name]),
            &mut home.serve(["--secret", &name]),
            &mut home.serve(["--secret", &option("id=K,")]),
            &mut home.serve(["--audit", &option("absent/")]),
            &mut home.serve(["--ca-key-store", &option("absent/")]),
            &mut home.serve(["-w", "-f", &option("absent/")]),
            &mut home.serve(["-d", &option("absent/")]),
            &mut home.serve(["--listen", &name]),
            &mut home.serve(["--timeout", &name]),
            &mut home.serve(["--format", &name]),
            &mut home.serve([option("--")]),
            &mut home.serve([option("-")]),
            &mut home.serve([&name]),
            &mut home.command([&name]),
            &mut home.command(["image", &option("--")]),
            &mut bridge.client(["print", &name]),
            &mut bridge.client(["print", &option("b64:")]),
            &mut bridge.client(["exec", "-e", &name, "true"]),
            &mut bridge.client(["exec", "-e", &option("A=")]),
            &mut bridge.client(["exec", "-e", &format!("-{name}=TOKEN"), "true"]),
            &mut bridge.client(["print", "TOKEN", "--endpoint", &name]),
            &mut bridge.client(["print", "TOKEN", "-c", &name]),
            &mut home.command(["print", "TOKEN"]).env("BRIDGE_CONF", &name),
            &mut home.command(["print", "TOKEN"]).env("FTP_PROXY", &name),
        ] {
            harmless_outcome(command).fails();
        }
        harmless_outcome(&mut bridge.client(["exec", "--", &name])).says("cannot start ");
        harmless_outcome(&mut home.command(["run", "--listen", "127.0.0.1:0", "--", &name]))
            .says("cannot start ");
    }
}

#[test]
fn names_that_are_not_utf_8_are_escaped() {
    let home = Home::new();
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2"]);
    let name = OsString::from_vec(b"\xff\x1b[31m\xc2\x9b\xe2\x80".to_vec());
    let mut in_a_path = OsString::from("absent/");
    in_a_path.push(&name);
    for command in [
        home.command(["print"]).arg(&name),
        home.serve(["--secret"]).arg(&name),
        home.serve(["--audit"]).arg(&in_a_path),
        bridge.client(["exec", "--"]).arg(&name),
        home.command(["print", "TOKEN", "-c"]).arg(&name),
        home.command(["exec", "-e"]).arg(&name),
        &mut home.command([&name]),
    ] {
        harmless_outcome(command);
    }
}

#[test]
fn file_names_are_escaped_in_messages_about_success() {
    let home = Home::new();
    let file = |name: &str| format!("{name}-{HOSTILE}");
    let outcome = harmless_outcome(&mut {
        let mut command = home.command(["run", "-vv", "--listen", "127.0.0.1:0"]);
        command.args(["--ca-key-store", &file("store"), "--audit", &file("audit"), "--", "true"]);
        command
    });
    outcome.succeeds().says("as long as store-\\");
}

#[test]
fn the_bytes_of_a_secret_are_never_escaped() {
    let home = Home::new();
    home.file("value", HOSTILE);
    let bridge = Bridge::serve_in(home, ["--secret", "id=K,src=value"]);
    bridge.client(["print", "K"]).outcome().succeeds().prints(HOSTILE);
    bridge
        .client(["exec", "--no-mask", "--leaks=off", "-e", "K", "--sh", "printf %s \"$K\""])
        .outcome()
        .succeeds()
        .prints(HOSTILE);
}
