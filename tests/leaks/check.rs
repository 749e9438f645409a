//! The leak check: files that COMMAND wrote are searched for its secrets, and a match fails the step.
//!
//! The tests use a scratch root, a small file system of its own: on this machine's root file system the check would be
//! slow, and would find what other tests write.
#![cfg(target_os = "linux")]

use rustix::process::Signal;

use super::scratch_root::{SCRATCH_ROOT, Scene, assert_leaks};
use crate::support::Start as _;
use crate::support::require::require;

#[test]
fn a_secret_in_a_new_file_fails_the_step_and_is_named() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    // In every directory, not only in the working directory or the user's home.
    assert_leaks(
        scene.exec("cd /app; mkdir -p deep/er; printf 'url = https://x:%s@host\n' $TOKEN > deep/er/config"),
        &["/app/deep/er/config: TOKEN (raw)"],
    );
    assert_leaks(
        scene.exec("echo \"Authorization: $TOKEN\" >> /var/lib/tool/log"),
        &["/var/lib/tool/log: TOKEN (raw)"],
    );
}

#[test]
fn encoded_secrets_are_found() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    for before in ["", "a", "ab"] {
        assert_leaks(
            scene.exec(&format!("printf {before}%s $TOKEN | base64 > /tmp/header")),
            &["/tmp/header: TOKEN (base64)"],
        );
    }
    assert_leaks(
        scene.exec("echo https://h/?t=$TOKEN | sed 's,\\([^/]\\)/Q,\\1%2FQ,; s,+,%2B,' > /tmp/url"),
        &["/tmp/url: TOKEN (url-encoded)"],
    );
    assert_leaks(
        scene.exec("printf %s $TOKEN | od -An -v -tx1 | tr -d ' \n' > /tmp/hex"),
        &["/tmp/hex: TOKEN (hex)"],
    );
    assert_leaks(
        scene.exec("printf '{\"token\":\"%s\"}' $TOKEN | sed 's,/,\\\\/,' > /tmp/json"),
        &["/tmp/json: TOKEN (json)"],
    );
}

#[test]
fn each_value_in_a_file_of_secrets_is_searched_for() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    assert_leaks(
        scene.exec_with(&["--file", "netrc=~/.netrc"], "sed 's/.* //' ~/.netrc > /app/copied"),
        &["/app/copied: netrc (a part of it, raw)"],
    );
}

#[test]
fn a_copy_in_place_of_a_delivered_file_is_found() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    let file = ["--file", "TOKEN=/app/token"];
    scene.exec_with(&file, "grep -q xK9 /app/token").succeeds();
    assert!(!scene.root.join("app/token").exists());
    // As `sed -i` and many editors do.
    assert_leaks(
        scene.exec_with(&file, "cp /app/token /app/new && mv /app/new /app/token"),
        &["/app/token: TOKEN (raw)"],
    );
}

#[test]
fn names_and_link_targets_are_searched_and_paths_show_no_secret() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    let script =
        "cd /app; ln -s \"nowhere/$PW\" link; mkdir \"$PW\"; echo $PW > \"$PW/a\"; mkfifo \"$PW/$PW\"";
    let script = format!("PW=${{NETRC##* }}; {script}");
    assert_leaks(
        scene.exec_with(&["-e", "NETRC=netrc"], &script),
        &[
            "/app/***: netrc (a part of it, raw, in the name)",
            "/app/***/***: netrc (a part of it, raw, in the name)",
            "/app/***/a: netrc (a part of it, raw)",
            "/app/link: netrc (a part of it, raw, in the target of the link)",
        ],
    );
}

#[test]
fn links_are_not_followed_and_special_files_do_not_block() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    let script = "cd /app; ln -s / root; ln -s /run away; echo $TOKEN > away/file; ln -s gone dangling; \
                  mkfifo fifo; echo $TOKEN > one; ln one two; truncate -s 100G holes; echo ok >> holes";
    let outcome = scene.exec(script).exits_with(125);
    // A file with several hard links is reported once, by any of them.
    let reported: Vec<&str> = outcome.stderr.lines().filter(|line| line.starts_with("  ")).collect();
    assert!(
        matches!(reported.as_slice(), ["  /app/one: TOKEN (raw)" | "  /app/two: TOKEN (raw)"]),
        "{}",
        outcome.stderr
    );
    // Data between the holes of a sparse file is searched.
    assert_leaks(
        scene
            .exec("cd /app; rm -f one two; truncate -s 1G holes; echo $TOKEN >> holes; truncate -s 2G holes"),
        &["/app/holes: TOKEN (raw)"],
    );
}

#[test]
fn the_exit_code_of_command_stays_and_the_leak_is_reported() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    scene
        .exec("echo $TOKEN > /app/f; exit 7")
        .exits_with(7)
        .says("warning: COMMAND wrote a secret to a file: /app/f: TOKEN (raw)");
    scene.exec("echo $TOKEN > /app/f; kill -KILL $$").exits_with(137).says("/app/f: TOKEN (raw)");
}

#[test]
fn the_check_can_warn_or_be_off_for_all_or_one_key() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    let script = "echo $TOKEN > /app/f";
    let options = ["-e", "TOKEN", "--leaks", "warn"];
    scene
        .exec_with(&options, script)
        .succeeds()
        .says("warning: COMMAND wrote a secret to a file: /app/f: TOKEN");
    let outcome = scene.exec_with(&["-e", "TOKEN", "--leaks", "off"], script).succeeds();
    assert_eq!(outcome.stderr, "");
    scene.exec_with(&["-e", "TOKEN,leaks=off"], script).succeeds().never_says("TOKEN");
    let one = ["-e", "TOKEN,leaks=off", "--file", "netrc=/app/netrc"];
    assert_leaks(
        scene.exec_with(&one, &format!("{script}; cp -L /app/netrc /app/g")),
        &["/app/g: netrc (raw)"],
    );
    scene
        .exec_with(&["-e", "TOKEN", "--leaks", "maybe"], script)
        .fails()
        .says("invalid --leaks: must be fail, warn or off");
}

#[test]
fn a_clean_step_prints_nothing_without_verbose() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    let outcome = scene.exec("echo harmless > /app/f").succeeds();
    assert_eq!(outcome.stderr, "");
    scene
        .exec_with(&["-v", "-e", "TOKEN"], "echo harmless > /app/f")
        .says("leak check of the file system of / (possibly not a container): ")
        .says(" files checked, ");
}

#[test]
fn command_replaces_exec_if_no_secret_can_be_searched_for() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    // Each program on the way to `exec` is replaced by the next one. If COMMAND replaces `exec` too, it is a child of
    // this test.
    let is_our_child = |key| {
        let outcome =
            scene.exec_with(&["--no-mask", "-e", key], "echo $PPID; echo $SHORT > /app/f").succeeds();
        outcome.text().trim() == std::process::id().to_string()
    };
    assert!(is_our_child("SHORT"));
    assert!(!is_our_child("TOKEN"));
}

#[test]
fn a_signal_ends_the_check() {
    require!(SCRATCH_ROOT);
    let scene = Scene::new();
    // Blocks that are allocated and not written: reading them takes the check longer than this test.
    let script = "fallocate -l 3G /app/large || { rm -f /app/large; echo no room; }";
    let process = scene.command(&["exec", "-e", "TOKEN", "--sh", script]).start();
    process.says("searching what COMMAND wrote for secrets");
    process.signal(Signal::TERM);
    process.ends().exits_with(128 + Signal::TERM.as_raw());
}
