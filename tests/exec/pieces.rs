//! Secrets that COMMAND writes in pieces, with pauses: time shows nothing of them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::{Bridge, Home, Start as _};

/// Characters of a secret that may be shown: a stream that pauses there may be a prompt.
const SHOWN: usize = 5;

const TOKEN: &str = "ghp_Zx81kQvNw3LrYtB6uJ0sHd9fMc2aPe5oTgI7";
const PASSWORD: &str = "k7'\"\\$&<>%+/ zQ!w";

fn bridge() -> Bridge {
    let home = Home::new();
    home.file("password", PASSWORD);
    Bridge::serve_in(home, ["--secret", &format!("TOKEN={TOKEN}"), "--secret", "id=PASSWORD,src=password"])
}

fn exec(bridge: &Bridge, script: &str) -> Command {
    bridge.client(["exec", "--leaks=off", "-e", "TOKEN", "-e", "PASSWORD", "--sh", script])
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn percent_encoded(text: &str) -> String {
    let encode =
        |c: char| if c.is_ascii_alphanumeric() { c.to_string() } else { format!("%{:02X}", c as u32) };
    text.chars().map(encode).collect()
}

/// Has COMMAND write `value` in two pieces, with `pause` seconds between them, for each of `splits`, and checks what is shown.
/// A character of the secret has at most `width` bytes in `value`.
fn check(
    bridge: &Bridge,
    (name, value, width): (&str, &str, usize),
    splits: impl Iterator<Item = usize>,
    pause: &str,
) {
    let hidden = (SHOWN + 1) * width;
    let mut script = String::new();
    let mut lines = 0;
    for split in splits {
        let (first, second) = (format!("{name}-{split}-1"), format!("{name}-{split}-2"));
        bridge.home.file(&first, &value[..split]);
        bridge.home.file(&second, format!("{}\n", &value[split..]));
        script += &format!("cat {first}; sleep {pause}; cat {second}\n");
        lines += 1;
    }
    let shown = exec(bridge, &script).outcome().succeeds().text();
    assert_eq!(shown.lines().count(), lines, "{shown}");
    for line in shown.lines() {
        let windows = value.as_bytes().windows(hidden);
        let found = windows.filter(|window| line.as_bytes().windows(hidden).any(|other| other == *window));
        assert_eq!(found.count(), 0, "{name}: {line}");
        assert!(line.contains("***"), "{name}: {line}");
    }
}

#[test]
fn a_pause_at_any_place_shows_nothing_of_a_secret() {
    let bridge = bridge();
    let values = [
        ("token", TOKEN.to_owned(), 1),
        ("password", PASSWORD.to_owned(), 1),
        ("base64", STANDARD.encode(TOKEN), 2),
        ("password-base64", STANDARD.encode(PASSWORD), 2),
        ("hex", hex(TOKEN), 2),
        ("password-percent", percent_encoded(PASSWORD), 3),
    ];
    std::thread::scope(|scope| {
        for (name, value, width) in &values {
            let bridge = &bridge;
            scope.spawn(move || check(bridge, (name, value, *width), 1..value.len(), "0.03"));
        }
        scope.spawn(|| check(&bridge, ("long", TOKEN, 1), [6, 20, 39].into_iter(), "1"));
    });
}

/// Nothing will show how the output would have gone on.
#[test]
fn a_command_killed_in_a_secret_shows_nothing_of_it() {
    let bridge = bridge();
    for (kept, shown) in [(5, &TOKEN[..5]), (6, "***"), (20, "***"), (39, "***")] {
        let script = format!("printf 'token: %.{kept}s' \"$TOKEN\"; kill -9 $$");
        exec(&bridge, &script).outcome().exits_with(137).prints(format!("token: {shown}"));
    }
}

/// Each step waits until the test has seen the output of the one before.
#[test]
fn prompts_and_progress_appear_at_once() {
    let bridge = bridge();
    // The last prompt ends like the secret begins.
    let script = "printf 'Password: '; read -r a; printf ' 10%%\\r'; read -r b; printf ' 20%%\\r'; read -r c
                  printf 'go on? ghp_Z'; read -r d; printf 'over'";
    let mut exec = exec(&bridge, script);
    let mut process = exec.stdin(Stdio::piped()).start();
    for shown in ["Password: ", " 10%\r", " 20%\r", "go on? ghp_Z"] {
        process.shows(shown);
        process.stdin.as_mut().unwrap().write_all(b"\n").unwrap();
    }
    process.ends().succeeds().prints("Password:  10%\r 20%\rgo on? ghp_Zover");
}
