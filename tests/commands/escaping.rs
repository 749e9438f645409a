//! Promise 10: text from peers, files and the environment reaches terminals and logs escaped and cut to a limit.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::process::Command;

use crate::support::require::{PYTHON, require};
use crate::support::{Bridge, Home, Outcome, Start as _};

/// Escape sequences for colour, cursor and title; a bell; bidirectional controls; a zero-width space; three line ends;
/// fillers, a blank and a joiner that are no controls; a pile of marks.
const HOSTILE: &str = "\x1b[31mred\x1b[2J\x1b]0;title\x07\u{9b}2K\u{202e}drow\u{2066}\u{200b}\r\x08\x7f\u{2028}end\
     \u{3164}\u{2800}\u{34f}\u{115f}\u{ffa0}\u{e0041}\u{a0}\u{2003}i\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}";

/// The maximum length of a line in bytes: 3,200 characters, each at most 10 bytes when escaped.
const MAX_LINE: usize = 32 << 10;

#[track_caller]
fn assert_harmless(text: &str) {
    for line in text.lines() {
        assert!(line.len() < MAX_LINE, "{} bytes in a line: {line:.300}", line.len());
        let bad = line.chars().find(|c| {
            c.is_control()
                || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
                || "\u{3164}\u{2800}\u{34f}\u{115f}\u{ffa0}\u{e0041}\u{a0}\u{2003}".contains(*c)
        });
        assert_eq!(bad, None, "{line:?}");
        assert!(!line.contains(&"\u{301}".repeat(5)), "{line:?}");
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

/// Prints general category and bidirectional class of each character that this Python knows, one a line.
const CHARACTERS: &str = "
import unicodedata
for code in range(0x110000):
    category = unicodedata.category(chr(code))
    if category not in ('Cn', 'Cs'):
        print(code, category, unicodedata.bidirectional(chr(code)) or '-')
";

#[test]
fn python_agrees_on_what_is_not_drawn() {
    require!(PYTHON);
    // Not in the categories below, but Default_Ignorable_Code_Point, or blank in fonts.
    const OTHERS: [std::ops::RangeInclusive<u32>; 15] = [
        0x34f..=0x34f,
        0x115f..=0x1160,
        0x17b4..=0x17b5,
        0x180b..=0x180d,
        0x180f..=0x180f,
        0x2800..=0x2800,
        0x3164..=0x3164,
        0xfe00..=0xfe0f,
        0xffa0..=0xffa0,
        0xfffc..=0xfffc,
        0x13441..=0x13442,
        0x16fe4..=0x16fe4,
        0x1d159..=0x1d159,
        0xe0100..=0xe01ef,
        0xe0000..=0xe0fff,
    ];
    const MOVES: [&str; 10] = ["LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI", "BN"];
    let listed = Home::new().program("python3", ["-c", CHARACTERS]).outcome().succeeds().text();
    let mut wrong = Vec::new();
    for line in listed.lines() {
        let [code, category, class] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let code: u32 = code.parse().unwrap();
        let hidden = matches!(category, "Cc" | "Cf" | "Co" | "Zl" | "Zp" | "Zs") && code != 0x20
            || MOVES.contains(&class)
            || OTHERS.iter().any(|others| others.contains(&code));
        // Marks are shown after a character only.
        let text = format!("a{}", char::from_u32(code).unwrap());
        if (proto::escape(&text) != text) != hidden {
            wrong.push(line);
        }
    }
    assert!(listed.lines().count() > 200_000, "{}", listed.lines().count());
    assert_eq!(wrong, [""; 0]);
}
