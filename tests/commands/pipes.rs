//! Output to a pipe whose reader has ended, as with `| head`.

use std::process::{Command, Stdio};

use crate::support::{Bridge, Home};

/// The exit code and the messages of `command` when its standard output is a pipe without a reader.
fn without_reader(command: &mut Command) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn help_and_version_end_quietly() {
    let home = Home::new();
    for args in [&["--help"][..], &["serve", "--help"], &["exec", "-h"], &["--version"]] {
        assert_eq!(without_reader(&mut home.command(args)), (Some(0), String::new()), "{args:?}");
    }
}

#[test]
fn a_report_ends_quietly_and_keeps_its_exit_code() {
    let bridge = Bridge::serve(["--secret", "TOKEN=value"]);
    assert_eq!(without_reader(&mut bridge.client(["test"])), (Some(0), String::new()));
    let mut json = bridge.client(["test", "--format", "json"]);
    assert_eq!(without_reader(&mut json), (Some(0), String::new()));
}

#[test]
fn print_ends_quietly_with_the_code_of_sigpipe() {
    let bridge = Bridge::serve(["--secret", "TOKEN=value"]);
    assert_eq!(without_reader(&mut bridge.client(["print", "TOKEN"])), (Some(141), String::new()));
    assert_eq!(without_reader(&mut bridge.client(["print", "b64:TOKEN"])), (Some(141), String::new()));
}

#[test]
fn serve_without_a_reader_of_the_conf_is_an_error() {
    let (code, messages) = without_reader(&mut Home::new().serve(["--secret", "TOKEN=value"]));
    assert_eq!(code, Some(125));
    assert!(messages.contains("cannot write the conf to standard output"), "{messages}");
}
