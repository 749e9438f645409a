//! Where the host gets git's credentials: from its secrets and from its own git.
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::credentials::{ONE, PASSWORD, git, server};
use crate::support::require::{GIT, HTTPS_SERVER, require};
use crate::support::{BINARY, Bridge, Home, Start as _};

#[test]
fn the_hosts_git_is_asked_on_demand_and_once() {
    require!(HTTPS_SERVER);
    let server = server(&[ONE]);
    server.repository("one/app.git", &[], &[]);
    let host = Home::new();
    let script = format!(
        "#!/bin/sh\necho \"$1\" >> \"$HOME/called\"; cat >> \"$HOME/called\"\n\
         [ \"$1\" = get ] && printf '%s\\n' username=bob 'password={}'\n",
        PASSWORD.replace('\'', r"'\''")
    );
    let helper = host.file("helper", script);
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    host.file(".gitconfig", format!("[credential]\n\thelper = {}\n", helper.display()));
    let scope = format!("localhost:{}/one", server.port);
    let bridge = Bridge::serve_in(host, ["--git-credential", &scope]);
    assert!(!bridge.home.path("called").exists(), "no build has asked yet");
    let home = Home::new();
    for _ in 0..2 {
        git(&home, &bridge, &server, &["ls-remote", &server.url("localhost", "one/app.git")]).succeeds();
    }
    let called = bridge.home.read("called");
    // No `store`: whether a build could log in does not change what the host stores.
    assert_eq!(called.matches("get\n").count(), 1, "{called}");
    assert!(
        called.contains(&format!("host=localhost:{}", server.port)) && !called.contains("store"),
        "{called}"
    );
}

#[test]
fn a_missing_entry_in_the_hosts_store_is_reported() {
    let host = Home::new();
    host.file(".gitconfig", "[credential]\n\thelper = store\n");
    host.file(".git-credentials", "https://bob:hunter2-of-bob@git.example\n");
    let options = ["--git-credential", "git.example"];
    let bridge = Bridge::serve_in(host, options);
    bridge.client(["print", "git-credentials"]).outcome().prints("https://bob:hunter2-of-bob@git.example\n");

    let host = Home::new();
    let bridge =
        Bridge::serve_in(host, ["--git-credential", "git.example", "--git-credential", "other.example"]);
    for _ in 0..2 {
        bridge
            .client(["exec", "--git-credentials", "--", "echo", "started"])
            .outcome()
            .fails()
            .says("git-credentials: its source failed on the host")
            .says("git.example: `git credential fill`: the command failed")
            .says("terminal prompts disabled");
    }
    let outcome = bridge.end().succeeds().says("secret git-credentials: git.example: `git credential fill`");
    assert_eq!(outcome.stderr.matches("terminal prompts disabled").count(), 1, "{}", outcome.stderr);
}

#[test]
fn a_repository_on_the_host_cannot_add_a_helper() {
    let host = Home::new();
    host.file(".gitconfig", "[credential]\n\thelper = store\n");
    host.file(".git-credentials", "https://bob:hunter2-of-bob@git.example\n");
    host.program("git", ["init", "--quiet"]).outcome().succeeds();
    let helper = r#"!f() { touch "$HOME/called"; echo username=eve; echo password=evil; }; f"#;
    host.program("git", ["config", "--local", "--add", "credential.helper", ""]).outcome().succeeds();
    host.program("git", ["config", "--local", "--add", "credential.helper", helper]).outcome().succeeds();
    let bridge = Bridge::serve_in(host, ["--git-credential", "git.example"]);
    bridge.client(["print", "git-credentials"]).outcome().prints("https://bob:hunter2-of-bob@git.example\n");
    assert!(!bridge.home.path("called").exists());
}

/// A home whose git has Bob's credential, and a repository in `home/clone` whose configuration names a helper of its own.
fn home_with_hostile_clone() -> Home {
    let host = Home::new();
    host.file(
        ".gitconfig",
        "[credential]\n\thelper = store\n[user]\n\tname = bob\n\temail = bob@git.example\n",
    );
    host.file(".git-credentials", "https://bob:hunter2-of-bob@git.example\n");
    host.program("git", ["init", "--quiet", "clone"]).outcome().succeeds();
    for helper in ["", EVIL] {
        let config = ["-C", "clone", "config", "--local", "--add", "credential.helper", helper];
        host.program("git", config).outcome().succeeds();
    }
    host
}

const EVIL: &str = r#"!f() { touch "$HOME/called"; echo username=eve; echo password=evil; }; f"#;
const BOB: &str = "https://bob:hunter2-of-bob@git.example\n";

#[test]
fn a_git_hook_does_not_bring_the_helper_of_its_repository() {
    require!(GIT);
    let host = home_with_hostile_clone();
    // In a worktree, git sets GIT_DIR to an absolute path for its hooks.
    let commit = ["-C", "clone", "commit", "--quiet", "--allow-empty", "--message", "first"];
    host.program("git", commit).outcome().succeeds();
    host.program("git", ["-C", "clone", "worktree", "add", "--quiet", "../tree"]).outcome().succeeds();
    let script = format!(
        "#!/bin/sh\nenv | grep ^GIT_DIR= > \"$HOME/variables\"\n\
         '{BINARY}' run --no-config --listen 127.0.0.1:0 --git-credential git.example \\\n\
         --secret id=ENV,cmd=env -- sh -c '\"$0\" print git-credentials; \"$0\" print ENV; env' '{BINARY}' > \"$HOME/got\"\n"
    );
    fs::create_dir_all(host.path("clone/.git/hooks")).unwrap();
    let hook = host.file("clone/.git/hooks/pre-commit", script);
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).unwrap();
    let commit = ["-C", "tree", "commit", "--quiet", "--allow-empty", "--message", "second"];
    host.program("git", commit).outcome().succeeds();
    assert!(host.read("variables").starts_with("GIT_DIR=/"), "{}", host.read("variables"));
    let got = host.read("got");
    assert!(got.starts_with(BOB), "{got}");
    assert!(!host.path("called").exists());
    // The source command has no GIT_DIR; COMMAND has it as ever.
    assert_eq!(got.matches("\nGIT_DIR=/").count(), 1, "{got}");
    assert_eq!(got.matches("\nHOME=").count(), 2, "{got}");
}

#[test]
fn variables_of_git_do_not_reach_the_hosts_git() {
    require!(GIT);
    let host = home_with_hostile_clone();
    let (clone, tree) = (host.path("clone/.git"), host.path("clone"));
    let parameters = format!("'credential.helper'='' 'credential.helper'='{EVIL}'");
    for variables in [
        &[("GIT_DIR", clone.to_str().unwrap())][..],
        &[("GIT_DIR", clone.to_str().unwrap()), ("GIT_WORK_TREE", tree.to_str().unwrap())],
        &[("GIT_COMMON_DIR", clone.to_str().unwrap()), ("GIT_DIR", clone.to_str().unwrap())],
        &[
            ("GIT_CONFIG_COUNT", "2"),
            ("GIT_CONFIG_KEY_0", "credential.helper"),
            ("GIT_CONFIG_VALUE_0", ""),
            ("GIT_CONFIG_KEY_1", "credential.helper"),
            ("GIT_CONFIG_VALUE_1", EVIL),
        ],
        &[("GIT_CONFIG_PARAMETERS", &parameters)],
    ] {
        let script = format!("'{BINARY}' print git-credentials");
        let options = ["run", "--no-config", "--listen", "127.0.0.1:0", "--git-credential", "git.example"];
        let mut run = host.command([&options[..], &["--", "sh", "-c", &script]].concat());
        run.current_dir(host.path("clone")).envs(variables.iter().copied());
        run.outcome().succeeds().prints(BOB);
        assert!(!host.path("called").exists(), "{variables:?}");
    }
}

#[test]
fn a_temporary_directory_in_a_repository_does_not_matter() {
    require!(GIT);
    let host = home_with_hostile_clone();
    fs::create_dir(host.path("clone/tmp")).unwrap();
    // A git and an askpass program of the repository, by relative directories in PATH.
    for name in ["git", "git-credential-store"] {
        let fake = host.file(&format!("clone/{name}"), "#!/bin/sh\ntouch \"$HOME/called\"\n");
        fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let script = format!("'{BINARY}' print git-credentials");
    let options = ["run", "--no-config", "--listen", "127.0.0.1:0", "--git-credential", "git.example"];
    let mut run = host.command([&options[..], &["--", "sh", "-c", &script]].concat());
    run.current_dir(host.path("clone"))
        .env("TMPDIR", host.path("clone/tmp"))
        .env("PATH", format!(".::{}", std::env::var("PATH").unwrap()));
    run.outcome().succeeds().prints(BOB);
    assert!(!host.path("called").exists());
    assert_eq!(fs::read_dir(host.path("clone/tmp")).unwrap().count(), 0, "it removes what it makes");
}

#[test]
fn an_invalid_credential_stops_serve() {
    let home = Home::new();
    let serve = |options: &[&str], value: &str| {
        let mut command = home.serve(options);
        command.env("KEY", value).outcome()
    };
    let with_key = ["--secret", "KEY", "--git-credential", "git.example=KEY"];
    for (value, problem) in [
        ("hunter2\nhunter2", "its password contains a line end"),
        ("hunter2:", "its password is empty"),
        (":hunter2", "its user is empty"),
        ("username=hunter2\n", "it has no password"),
        ("host=hunter2\npassword=hunter2", "its host is not the one that was asked for"),
    ] {
        serve(&with_key, value)
            .fails()
            .says("secret git-credentials: git.example: ")
            .says(problem)
            .never_says("hunter2");
    }
    serve(&["--git-credential", "git.example=KEY"], "x").fails().says("there is no secret KEY");
    serve(&["--git-credential", "bob:hunter2@git.example"], "x").fails().never_says("hunter2");
    let both = [&with_key[..], &["--secret", "id=git-credentials,env=KEY"]].concat();
    serve(&both, "x").fails().says("exists already");
}

#[test]
fn a_read_limit_of_a_secret_applies_to_its_git_credential() {
    let home = Home::new();
    let options = ["--secret", "id=KEY,max-reads=1", "--git-credential", "git.example=KEY"];
    let mut command = home.serve(options);
    command.env("KEY", "token");
    let bridge = Bridge::start(home, command);
    bridge
        .client(["print", "git-credentials"])
        .outcome()
        .prints("https://x-access-token:token@git.example\n");
    for key in ["git-credentials", "KEY"] {
        bridge.client(["print", key]).outcome().fails().says(&format!("{key}: "));
    }
}
