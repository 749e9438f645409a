//! Secrets of any bytes arrive unchanged, and a value that a variable cannot hold is an error.

use std::fs::File;
use std::io::Read as _;

use crate::support::{Bridge, Home, Start as _};

#[test]
fn print_writes_every_byte_unchanged() {
    let every: Vec<u8> = (0..=255).collect();
    for value in
        [&b"a\0b"[..], b"\0", b"\n", b"line\r\nline\n\n", b" spaces \t", "日本 🔑".as_bytes(), &every]
    {
        let home = Home::new();
        home.file("value", value);
        let bridge = Bridge::serve_in(home, ["--secret", "id=K,src=value"]);
        bridge.client(["print", "K"]).outcome().succeeds().prints(value);
    }
}

#[test]
fn a_variable_holds_everything_but_nul() {
    let every: Vec<u8> = (1..=255).collect();
    let home = Home::new();
    home.file("value", &every);
    let bridge = Bridge::serve_in(home, ["--secret", "id=K,src=value"]);
    bridge
        .client(["exec", "--no-mask", "--leaks=off", "-e", "K", "--sh", "printf %s \"$K\""])
        .outcome()
        .succeeds()
        .prints(&every);
}

#[test]
fn a_value_that_ends_with_a_line_end_gets_a_warning() {
    let home = Home::new();
    home.file("value", "token\n");
    let bridge = Bridge::serve_in(home, ["--secret", "id=K,src=value"]);
    bridge
        .client(["exec", "-e", "T=K", "--sh", "printf %s \"$T\""])
        .outcome()
        .succeeds()
        .prints("token\n")
        .says("the value of T ends with a newline (`trim` at its source removes it)");
}

#[test]
fn a_hundred_megabytes_arrive_whole() {
    let home = Home::new();
    let mut value = Vec::new();
    File::open("/dev/urandom").unwrap().take(100 << 20).read_to_end(&mut value).unwrap();
    home.file("value", &value);
    let bridge = Bridge::serve_in(home, ["--secret", "id=K,src=value"]);
    let outcome = bridge.client(["print", "K"]).outcome().succeeds();
    assert_eq!(outcome.stdout.len(), value.len());
    // `assert_eq` would show both.
    assert!(outcome.stdout == value, "the bytes differ");
    // The bridge also ends cleanly: large secrets have memory of their own, which is freed before the rest.
    bridge.end().succeeds();
}

#[test]
fn five_hundred_secrets_with_the_longest_keys_come_in_one_exec() {
    let home = Home::new();
    let keys: Vec<String> = (0..500).map(|number| format!("{number:0>128}")).collect();
    let secrets = keys.iter().flat_map(|key| ["--secret".to_owned(), format!("{key}=value of {key}")]);
    let command = home.serve(secrets.chain(["--once".to_owned()]));
    let bridge = Bridge::start(home, command);

    let options = (0..).zip(&keys).flat_map(|(number, key)| ["-e".to_owned(), format!("V{number}={key}")]);
    let arguments = ["exec", "--no-mask", "--leaks=off"]
        .map(str::to_owned)
        .into_iter()
        .chain(options)
        .chain(["--".to_owned(), "env".to_owned()]);
    let outcome = bridge.client(arguments).outcome().succeeds();
    let text = outcome.text();
    let mut found: Vec<&str> = text.lines().filter(|line| line.contains("=value of ")).collect();
    let mut expected: Vec<String> =
        (0..).zip(&keys).map(|(number, key)| format!("V{number}=value of {key}")).collect();
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    // All of them came in one session.
    bridge.process.ends().succeeds().says("the last session that it admits has ended");
}

#[test]
fn a_nul_byte_in_a_variable_is_refused_with_an_alternative() {
    let home = Home::new();
    home.file("value", "a\0b");
    let bridge = Bridge::serve_in(home, ["--secret", "id=K,src=value"]);
    bridge
        .client(["exec", "-e", "K", "--", "echo", "started"])
        .outcome()
        .fails()
        .says("K contains a NUL byte")
        .says("`secrets-bridge print K`")
        .says("`--file`");
    bridge.client(["exec", "-e", "K=b64:K", "--sh", "printf %s $K"]).outcome().succeeds().prints("YQBi");
}

#[test]
fn a_variable_holds_as_many_bytes_as_the_kernel_allows() {
    let home = Home::new();
    // NAME=VALUE and its NUL are 128 KiB (execve(2), MAX_ARG_STRLEN with pages of 4 KiB).
    let longest = (128 << 10) - "K=".len() - 1;
    home.file("fits", "x".repeat(longest));
    home.file("long", "x".repeat(longest + 1));
    let bridge = Bridge::serve_in(home, ["--secret", "id=fits,src=fits", "--secret", "id=long,src=long"]);
    bridge
        .client(["exec", "--leaks=off", "-e", "K=fits", "--sh", "echo ${#K}"])
        .outcome()
        .succeeds()
        .prints(format!("{longest}\n"));
    bridge
        .client(["exec", "-e", "K=long", "--", "echo", "started"])
        .outcome()
        .fails()
        .says(&format!(
            "long has {} bytes, but an environment variable of this system can hold only {longest}",
            longest + 1
        ))
        .says("`secrets-bridge print long` or `--file`");
    // In base64 the shorter one is too long as well.
    bridge.client(["exec", "-e", "K=b64:fits", "--", "echo", "started"]).outcome().fails().says("`--file`");
}

#[test]
fn a_value_too_long_for_a_variable_is_refused_by_its_length() {
    let home = Home::new();
    home.file("value", vec![b'x'; 64 << 20]);
    let bridge = Bridge::serve_in(home, ["--secret", "id=K,src=value", "--audit", "-"]);
    bridge.client(["exec", "-e", "K", "--", "echo", "started"]).outcome().fails().says("`--file`");
    let record = bridge.process.says("\"secret-sent\"");
    let record: serde_json::Value = serde_json::from_str(&record).unwrap();
    assert_eq!(record["outcome"], "cut", "{record}");
    // Part of the value was in the socket buffers of both sides already.
    assert!(record["bytes"].as_u64().unwrap() < 32 << 20, "{record}");
}
