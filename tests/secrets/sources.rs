//! Where the host gets a secret: literal, environment, file, standard input, command.

use std::process::Stdio;

use crate::support::{Bridge, Home, Start as _};

#[test]
fn every_source_gives_its_bytes() {
    let home = Home::new();
    let file = home.file("token.txt", "from a file\n");
    home.file("ca.pem", "by its own name");
    let mut command = home.serve([
        "--secret",
        "LITERAL=from=the=command=line",
        "--secret",
        "NAMED_LIKE_ITS_VARIABLE",
        "--secret",
        "id=ci/token,env=OTHER_VARIABLE",
        "--secret",
        &format!("id=file,src={}", file.display()),
        "--secret",
        "id=command,cmd=printf 'from a %s' command",
        "--secret",
        "STDIN=-",
        "--secret-from-file",
        "from-file=token.txt",
        "--secret-from-file",
        "ca.pem",
    ]);
    command.env("NAMED_LIKE_ITS_VARIABLE", "from its variable").env("OTHER_VARIABLE", "from another one");
    let mut process = command.stdin(Stdio::piped()).start();
    std::io::Write::write_all(&mut process.stdin.take().unwrap(), b"from standard input\n").unwrap();
    let conf = process.prints_line();

    for (key, value) in [
        ("LITERAL", "from=the=command=line"),
        ("NAMED_LIKE_ITS_VARIABLE", "from its variable"),
        ("ci/token", "from another one"),
        ("file", "from a file\n"),
        ("command", "from a command"),
        ("STDIN", "from standard input\n"),
        ("from-file", "from a file\n"),
        ("ca.pem", "by its own name"),
    ] {
        home.command(["print", key, "-c", &conf]).outcome().succeeds().prints(value);
    }
}

#[test]
fn a_value_on_the_command_line_gives_a_warning_without_it() {
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2"]);
    bridge
        .end()
        .succeeds()
        .says("--secret TOKEN=…: its value is visible in the process list")
        .never_says("hunter2");
}

#[test]
fn a_source_command_runs_once_at_the_first_read() {
    let bridge = Bridge::serve(["--secret", "id=TOKEN,cmd=echo run >> runs; printf value"]);
    bridge.client(["test"]).outcome().succeeds();
    assert!(!bridge.home.path("runs").exists(), "the command ran before the first read");
    for _ in 0..3 {
        bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("value");
    }
    assert_eq!(bridge.home.read("runs"), "run\n");
}

#[test]
fn a_failing_source_command_shows_its_stderr_and_not_its_stdout() {
    let bridge = Bridge::serve([
        "-vv",
        "--secret",
        "id=TOKEN,cmd=echo run >> runs; echo hunter2; echo vault is locked >&2; exit 3",
    ]);
    for _ in 0..2 {
        bridge
            .client(["-vv", "print", "TOKEN"])
            .outcome()
            .fails()
            .says("TOKEN: its source failed on the host (not run again for ")
            .says("vault is locked")
            .says("exit status: 3")
            .never_says("hunter2");
    }
    // The failure is remembered for a while: a build that tries again must not hammer a password manager.
    assert_eq!(bridge.home.read("runs"), "run\n");
    bridge
        .end()
        .succeeds()
        .says("secret TOKEN: the command failed")
        .says("vault is locked")
        .never_says("hunter2");
}

#[test]
fn a_failing_source_stops_exec_before_its_command_starts() {
    let bridge = Bridge::serve(["--secret", "GOOD=value", "--secret", "id=BAD,cmd=exit 1"]);
    bridge
        .client(["exec", "-e", "GOOD", "-e", "BAD", "--", "echo", "started"])
        .outcome()
        .fails()
        .says("BAD: its source failed on the host");
}

#[test]
fn a_source_command_without_output_is_an_empty_source() {
    let bridge = Bridge::serve(["--secret", "id=TOKEN,cmd=true"]);
    bridge
        .client(["print", "TOKEN"])
        .outcome()
        .fails()
        .says("the source is empty (allow-empty permits an empty value)");
}

#[test]
fn max_reads_counts_sessions() {
    let bridge = Bridge::serve(["--secret", "id=TOKEN,env=HOME,max-reads=2", "--secret", "OTHER=value"]);
    for _ in 0..2 {
        bridge.client(["print", "TOKEN"]).outcome().succeeds();
    }
    bridge.client(["print", "TOKEN"]).outcome().fails().says("TOKEN: its max-reads is used up");
    bridge.client(["print", "OTHER"]).outcome().succeeds();
    // In one session a secret is read once, for any number of variables.
    let bridge = Bridge::serve(["--secret", "id=TOKEN,env=HOME,max-reads=1"]);
    bridge.client(["exec", "-e", "A=TOKEN", "-e", "B=TOKEN", "--", "true"]).outcome().succeeds();
}

#[test]
fn an_empty_source_stops_serve_unless_that_is_allowed() {
    let home = Home::new();
    home.file("empty", "");
    for option in ["LITERAL=", "id=file,src=empty", "id=variable,env=EMPTY", "STDIN=-"] {
        home.serve(["--secret", option])
            .env("EMPTY", "")
            .outcome()
            .fails()
            .says("the source is empty (allow-empty permits an empty value)");
    }

    let bridge = Bridge::serve_in(home, ["--secret", "id=file,src=empty,allow-empty"]);
    bridge.client(["print", "file"]).outcome().succeeds().prints("");
    bridge
        .client(["exec", "-e", "E=file", "--sh", "echo ${E+set} ${E:-empty}"])
        .outcome()
        .succeeds()
        .prints("set empty\n");
}

#[test]
fn one_line_end_is_trimmed_from_commands_and_on_request() {
    let home = Home::new();
    home.file("lines", "value\n\n");
    let bridge = Bridge::serve_in(
        home,
        [
            "--secret",
            "id=command,cmd=cat lines",
            "--secret",
            "id=untrimmed,cmd=cat lines,trim=false",
            "--secret",
            "id=file,src=lines",
            "--secret",
            "id=trimmed,src=lines,trim",
        ],
    );
    for (key, value) in
        [("command", "value\n"), ("untrimmed", "value\n\n"), ("file", "value\n\n"), ("trimmed", "value\n")]
    {
        bridge.client(["print", key]).outcome().succeeds().prints(value);
    }
}

#[test]
fn base64_prefixes_decode_on_the_host_and_encode_in_the_build() {
    let home = Home::new();
    let bytes = [0xfb, 0xff, 0xfe, 0x01];
    home.file("raw", bytes);
    // Wrapped, and with a line end, as base64(1) writes it.
    home.file("b64", "+//+\nAQ==\n");
    let bridge = Bridge::serve_in(
        home,
        [
            "--secret",
            "id=raw,src=raw",
            "--secret",
            "id=b64:b64,src=b64",
            "--secret",
            "b64u:b64u=-__-AQ==",
            "--secret",
            "rb64:rb64=+//+AQ",
            "--secret",
            "id=rb64u:rb64u,cmd=echo -__-AQ",
        ],
    );
    for key in ["raw", "b64", "b64u", "rb64", "rb64u"] {
        bridge.client(["print", key]).outcome().succeeds().prints(bytes);
    }
    for (prefix, written) in
        [("b64", "+//+AQ=="), ("b64u", "-__-AQ=="), ("rb64", "+//+AQ"), ("rb64u", "-__-AQ")]
    {
        bridge.client(["print", &format!("{prefix}:raw")]).outcome().succeeds().prints(written);
        let option = format!("V={prefix}:raw");
        bridge.client(["exec", "-e", &option, "--sh", "printf %s $V"]).outcome().succeeds().prints(written);
    }
}

#[test]
fn a_value_that_is_not_valid_base64_stops_serve() {
    let home = Home::new();
    home.serve(["--secret", "b64:TOKEN=hunter2!"])
        .outcome()
        .fails()
        .says("secret TOKEN: its value is not valid base64")
        .never_says("hunter2");
}

#[test]
fn fields_may_be_quoted_as_buildkit_reads_them() {
    let bridge = Bridge::serve([
        "--secret",
        "type=env,id=a,src=PATH",
        "--secret",
        "id=b,\"cmd=printf '%s,%s' 1 \"\"2\"\"\"",
    ]);
    bridge.client(["print", "a"]).outcome().succeeds();
    bridge.client(["print", "b"]).outcome().succeeds().prints("1,2");
}

#[test]
fn a_key_given_twice_stops_serve() {
    let home = Home::new();
    home.serve(["--secret", "TOKEN=hunter2", "--secret", "id=b64:TOKEN,cmd=true"])
        .outcome()
        .fails()
        .says("secret TOKEN is given twice")
        .never_says("hunter2");
    home.serve(["--secret", "A=-", "--secret", "B=-"])
        .outcome()
        .fails()
        .says("standard input can be the source of one secret only");
}

#[test]
fn an_unreadable_source_stops_serve_and_run_at_once() {
    let home = Home::new();
    std::fs::create_dir(home.path("directory")).unwrap();
    for (option, message) in [
        ("id=K,src=absent", "secret K: cannot read absent: No such file"),
        ("id=K,src=directory", "secret K: cannot read directory: Is a directory"),
        ("UNSET", "secret UNSET: the environment variable UNSET is not set"),
        ("id=K,env=UNSET", "secret K: the environment variable UNSET is not set"),
    ] {
        home.serve(["--secret", option]).outcome().fails().says(message);
        home.command(["run", "--secret", option, "--", "echo", "started"]).outcome().fails().says(message);
    }
    home.serve(["--secret-from-file", "absent"]).outcome().fails().says("secret absent: cannot read absent");
}

#[test]
fn invalid_forms_of_secret_are_reported_with_the_reason() {
    let home = Home::new();
    for (option, message) in [
        ("=value", "--secret: invalid key: empty"),
        ("a key=value", "--secret: invalid key: only the characters A-Z a-z 0-9 . _ / - are allowed"),
        ("b32:K=value", "--secret: invalid key: unknown prefix (known: b64: b64u: rb64: rb64u:)"),
        ("id=K,src=a,env=b", "invalid --secret: K: needs one of src=FILE, env=VARIABLE and cmd=COMMAND"),
        ("id=K,max-reads=0", "invalid --secret: max-reads must be a number, at least 1"),
        ("id=K,allow-empty=maybe", "invalid --secret: allow-empty must be true or false"),
        ("id=K,sauce=f", "invalid --secret: unknown field 2; known fields are id, src, env, cmd"),
        ("id=K,type=file", "invalid --secret: K: missing src=FILE"),
        ("id=K,\"src=f", "invalid --secret: unclosed quote"),
    ] {
        home.serve(["--secret", option]).outcome().fails().says(message);
    }
    home.serve(["--secret", &format!("{}=value", "k".repeat(129))])
        .outcome()
        .fails()
        .says("--secret: invalid key: longer than 128 characters");
}
