//! What is said about secrets that are not what a build expects, or that cannot be masked or searched for.
#![cfg(all(target_os = "linux", feature = "host"))]

use super::scratch_root::{SCRATCH_ROOT, Scene};
use crate::support::require::require;
use crate::support::{Bridge, Home, Outcome, Start as _};

const TOKEN: &str = "xK9-hunter2-Qw7-mark";

/// The lines of stderr that contain `text`.
fn count(outcome: &Outcome, text: &str) -> usize {
    outcome.stderr.lines().filter(|line| line.contains(text)).count()
}

fn utf16(text: &str) -> Vec<u8> {
    format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect()
}

#[test]
fn a_byte_order_mark_is_warned_of_once_with_its_key() {
    let home = Home::new();
    home.file("marked", format!("\u{feff}{TOKEN}\r\n"));
    home.file("wide", utf16(&format!("{TOKEN}\r\n")));
    home.file("plain", TOKEN);
    let options =
        ["--secret-from-file", "marked", "--secret-from-file", "wide", "--secret-from-file", "plain"];
    let commands = ["--secret", "id=command,cmd=cat marked"];
    let bridge = Bridge::serve_in(home, options.into_iter().chain(commands));
    bridge.process.says("warning: secret marked begins with a UTF-8 byte order mark");
    bridge.process.says("warning: secret wide is text in UTF-16");
    for _ in 0..2 {
        bridge.client(["print", "command"]).outcome().succeeds().prints(format!("\u{feff}{TOKEN}"));
    }
    bridge.process.says("warning: secret command begins with a UTF-8 byte order mark");
    let outcome = bridge.end();
    for (key, count_of) in
        [("secret marked ", 1), ("secret wide ", 1), ("secret plain ", 0), ("secret command ", 1)]
    {
        assert_eq!(count(&outcome, key), count_of, "{key}: {}", outcome.stderr);
    }
    outcome.never_says(TOKEN);
}

#[test]
fn a_value_counts_without_its_byte_order_mark() {
    require!(SCRATCH_ROOT);
    let home = Home::new();
    let marked = home.file("marked", format!("\u{feff}{TOKEN}\r\n"));
    let wide = home.file("wide", utf16(&format!("{TOKEN}\r\n")));
    for file in [marked, wide] {
        let scene = Scene::serving("plain", &["--secret-from-file", &format!("KEY={}", file.display())]);
        let exec = |script: &str| scene.exec_with(&["--file", "KEY=/app/key"], script);
        exec(&format!("echo the token {TOKEN} shown")).succeeds().prints("the token *** shown\n");
        exec(&format!("echo token={TOKEN} > /app/written")).exits_with(125).says("/app/written: KEY (raw)");
    }
}

#[test]
fn a_value_that_cannot_be_masked_or_searched_for_is_named_once() {
    require!(SCRATCH_ROOT);
    let options = ["--secret", "PIN=1234", "--secret", "SHORT=hunter2", "--secret", "LONG=xK9-hunter2-Qw7"];
    let scene = Scene::serving("plain", &options);
    let neither = "secret PIN is too short or too common to be masked in output or searched for in files";
    let unsearched = "secret SHORT is too short or too common to be searched for in files";
    scene.bridge.process.says(neither);
    scene.bridge.process.says(unsearched);
    let all = ["-e", "PIN", "-e", "PIN2=PIN", "--file", "PIN=/app/pin", "-e", "SHORT", "-e", "LONG"];
    let outcome = scene.exec_with(&all, "true").succeeds();
    assert_eq!((count(&outcome, neither), count(&outcome, unsearched)), (1, 1), "{}", outcome.stderr);
    assert_eq!(count(&outcome, "LONG"), 0);
    // What is not wanted is not missed.
    let outcome = scene.exec_with(&["--no-mask", "--leaks", "off", "-e", "PIN"], "true").succeeds();
    assert_eq!(outcome.stderr, "");
    scene.exec_with(&["--leaks", "off", "-e", "SHORT"], "true").succeeds().never_says("SHORT");
    scene.exec_with(&["-e", "SHORT,leaks=off"], "true").succeeds().never_says("SHORT");
    let outcome = scene.command(&["-q", "exec", "-e", "PIN", "--sh", "true"]).outcome().succeeds();
    assert_eq!(outcome.stderr, "");
    let outcome = scene.bridge.end();
    let counts = ["PIN", "SHORT", "LONG"].map(|key| count(&outcome, &format!("secret {key} is")));
    assert_eq!(counts, [1, 1, 0], "{}", outcome.stderr);
}
