//! `exec --http` as users write it.

use std::fs;
use std::process::Command;

use crate::support::{BINARY, Home, Start as _};

/// `run --secret OTHER -- sh -c SCRIPT`, without a rule; `$SB` is the program.
fn without_rules(home: &Home, script: &str) -> Command {
    let mut command =
        home.command(["run", "--listen", "127.0.0.1:0", "--secret", "OTHER", "--", "sh", "-c", script]);
    command.env("OTHER", "value").env("SB", BINARY);
    command
}

#[test]
fn http_without_a_rule_is_an_error_unless_optional() {
    let home = Home::new();
    without_rules(&home, "$SB exec --http -- touch started")
        .outcome()
        .exits_with(125)
        .says("the bridge has no rule for HTTP requests")
        .says("--http-credential HOST=VARIABLE");
    assert!(!home.path("started").exists());
    for word in ["--http=required", "--http"] {
        without_rules(&home, &format!("$SB exec {word} -- true")).outcome().exits_with(125);
    }
    without_rules(&home, "$SB exec --http=optional --sh 'echo \"<$HTTPS_PROXY>\"'")
        .outcome()
        .succeeds()
        .prints("<>\n");
}

#[test]
fn http_without_a_conf_is_an_error_unless_optional() {
    let home = Home::new();
    home.command(["exec", "--http", "--", "touch", "started"])
        .outcome()
        .exits_with(125)
        .says("no bridge conf")
        .says("--http");
    home.command(["exec", "--http=optional", "--", "echo", "ran"]).outcome().succeeds().prints("ran\n");
    home.command(["exec", "--http=optional", "--no-fallback", "--", "true"]).outcome().exits_with(125);
    assert!(!home.path("started").exists());
}

#[test]
fn mounted_secrets_are_for_optional_http_only() {
    let home = Home::new();
    fs::create_dir(home.path("mounted")).unwrap();
    home.file("mounted/TOKEN", "hunter2");
    let exec = |http: &str| {
        let arguments =
            ["exec", http, "--secrets-dir", "mounted", "--no-mask", "-e", "TOKEN", "--sh", "echo $TOKEN"];
        home.command(arguments).outcome()
    };
    exec("--http=optional").succeeds().prints("hunter2\n");
    exec("--http").exits_with(125).says("--http cannot be used with --secrets-dir: it needs a bridge");
}

#[test]
fn wrong_options_are_usage_errors() {
    let home = Home::new();
    for (options, message) in [
        (&["--http=yes"][..], "invalid --http: must be required or optional"),
        (&["--http", "--http"], "--http[=<required|optional>] is given more than once"),
        (&["--http-placeholder", "A"], "invalid --http-placeholder: needs --http"),
        (&["--http-listen", "npm.example=A"], "invalid --http-listen: needs --http"),
        (
            &["--http", "--http-placeholder", "1A"],
            "invalid --http-placeholder: 1A is not a valid variable name",
        ),
        (&["--http", "--http-listen", "npm.example"], "--http-listen: must be HOST[:PORT]=VAR"),
        (&["--http", "--http-listen", "npm.example/x=A"], "--http-listen: invalid origin npm.example/x"),
        (&["--http", "-e", "A=k", "--http-placeholder", "A"], "the variable A is set twice"),
    ] {
        let arguments = [&["exec"], options, &["--", "true"]].concat();
        home.command(arguments).outcome().exits_with(125).says(message);
    }
}
