//! ssh, scp, sftp and git inside COMMAND use the bridge's known hosts and the right deploy key without any
//! configuration.
//!
//! There is no network here. A script replaces ssh and acts as the forge: it serves a repository only to a client that
//! presents the key of that repository.
#![cfg(feature = "client")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use bridge_client::PrivateDir;
use bridge_client::ssh::tools::{self, SshSetup};
use proto::agent::GitKey;

use crate::support::{BINARY, Home, Outcome, Start as _};

/// Logs its arguments to `ssh.log`, and serves git.
const FORGE: &str = r#"#!/bin/bash
{ printf '[%s]' "${0##*/}" "$@"; echo; } >> "$HOME/ssh.log"
for word in "$@"; do
    case $word in IdentityFile=*) key=$(cut -d' ' -f2 "${word#*=}");; esac
done
eval "set -- ${!#}"
service=$1 path=${2%.git}; path=/${path#/}
if [ -z "$key" ] || [ "$(cat "$HOME/forge$path.key")" != "$key" ]; then
    echo "ERROR: Repository not found." >&2
    exit 1
fi
exec "$service" "$HOME/forge$path.git"
"#;

struct Build {
    home: Home,
    directory: PrivateDir,
    variables: Vec<(String, String)>,
}

impl Build {
    /// With a forge that has these repositories, and a git key for each.
    fn with(repositories: &[&str]) -> Self {
        let home = Home::new();
        fs::create_dir(home.path("real")).unwrap();
        for name in ["ssh", "scp", "sftp"] {
            let path = home.file(&format!("real/{name}"), FORGE);
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut git_keys = Vec::new();
        for (number, path) in (1_u8..).zip(repositories) {
            let git_key = key(path, number);
            let bare = home.path(&format!("forge/{path}.git"));
            let init = ["init", "-q", "--bare", "-b", "main", bare.to_str().unwrap()];
            home.program("git", init).outcome().succeeds();
            home.file(&format!("forge/{path}.key"), base64_of(&git_key.key));
            git_keys.push(git_key);
        }
        let setup =
            SshSetup { known_hosts: vec!["git.invalid ssh-ed25519 AAAA comment".parse().unwrap()], git_keys };
        Self::set_up(home, &setup)
    }

    fn set_up(home: Home, setup: &SshSetup) -> Self {
        let directory = PrivateDir::create().unwrap();
        let variables = tools::install(setup, &directory, Path::new(BINARY)).unwrap();
        let variables = variables.into_iter().map(|(name, value)| (name, value.into_string().unwrap()));
        // The forge's programs come before the system's in PATH.
        let real = home.path("real");
        let variables = variables.map(|(name, value)| match (name.as_str(), value.split_once(':')) {
            ("PATH", Some((bin, rest))) => (name, format!("{bin}:{}:{rest}", real.display())),
            _ => (name, value),
        });
        let variables = variables.collect();
        Self { home, directory, variables }
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = self.home.program(program, arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command.env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_GLOBAL", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "n").env(format!("GIT_{role}_EMAIL"), "e");
        }
        command
    }

    fn sh(&self, script: &str) -> Outcome {
        self.command("bash", &["-e", "-c", script]).outcome()
    }

    /// Fills the repository `path`, through our own git.
    fn push(&self, path: &str, script: &str) {
        let url = format!("https://git.invalid/{path}");
        self.sh(&format!(
            "git init -q -b main work && cd work && {script} && git add . && git commit -qm one && \
             git commit -q --allow-empty -m two && git push -q {url} main && cd .. && rm -rf work"
        ))
        .succeeds();
    }

    /// The calls of ssh since the last time that this was called.
    fn calls(&self) -> Vec<String> {
        let log = self.home.path("ssh.log");
        let text = fs::read_to_string(&log).unwrap_or_default();
        let _ = fs::remove_file(log);
        text.lines().map(str::to_owned).collect()
    }

    fn trust(&self) -> String {
        format!(
            "[-o][GlobalKnownHostsFile={}/known_hosts /etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2]\
             [-o][StrictHostKeyChecking=yes][-o][UpdateHostKeys=no]",
            self.directory.path().display()
        )
    }

    fn identity(&self, number: usize) -> String {
        format!(
            "[-o][IdentitiesOnly=yes][-o][IdentityFile={}/key{number}.pub]",
            self.directory.path().display()
        )
    }
}

/// Expects any exit code but 0: which one is up to git.
fn exits_nonzero(outcome: Outcome) -> Outcome {
    assert_ne!(outcome.code(), Some(0), "{}", outcome.text());
    outcome
}

fn key(path: &str, number: u8) -> GitKey {
    let blob = [b"\0\0\0\x0bssh-ed25519".as_slice(), b"\0\0\0\x01", &[number]].concat();
    GitKey { repository: format!("git.invalid/{path}").parse().unwrap(), key: blob }
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[test]
fn ssh_gets_the_known_hosts_and_all_arguments() {
    let build = Build::with(&[]);
    exits_nonzero(build.command("ssh", &["-p", "22", "u@h", "exit 0; \'a b\'"]).outcome());
    assert_eq!(build.calls(), [format!("[ssh]{}[-p][22][u@h][exit 0; 'a b']", build.trust())]);
    let by_path = build.directory.path().join("bin/ssh");
    exits_nonzero(build.command(by_path.to_str().unwrap(), &["-V"]).outcome());
    assert_eq!(build.calls(), [format!("[ssh]{}[-V]", build.trust())]);
}

#[test]
fn scp_and_sftp_start_the_ssh_wrapper() {
    let build = Build::with(&[]);
    let ssh = build.directory.path().join("bin/ssh");
    for name in ["scp", "sftp"] {
        exits_nonzero(build.command(name, &["-q", "h:f", "."]).outcome());
        assert_eq!(build.calls(), [format!("[{name}][-S][{}][-q][h:f][.]", ssh.display())]);
    }
}

#[test]
fn without_known_hosts_ssh_gets_no_options() {
    let build = Build::set_up(
        Build::with(&[]).home,
        &SshSetup { git_keys: vec![key("o/r", 1)], ..SshSetup::default() },
    );
    exits_nonzero(build.command("ssh", &["h"]).outcome());
    assert_eq!(build.calls(), ["[ssh][h]"]);
}

#[test]
fn a_missing_program_is_exit_code_127() {
    let build = Build::with(&[]);
    let bin = build.directory.path().join("bin");
    let outcome = build.command("ssh", &["h"]).env("PATH", &bin).outcome();
    outcome.exits_with(127).says("ssh was not found");
}

#[test]
fn every_spelling_of_a_repository_is_opened_with_its_own_key() {
    let build = Build::with(&["org/app", "org/app2"]);
    build.push("org/app", "echo app > f");
    build.push("org/app2.git", "echo app2 > f");
    build.calls();
    for (path, number) in [("org/app", 0), ("org/app2", 1)] {
        for url in [
            format!("https://git.invalid/{path}"),
            format!("https://git.invalid/{path}.git"),
            format!("git@git.invalid:{path}.git"),
            format!("ssh://git@git.invalid/{path}"),
        ] {
            build.sh(&format!("rm -rf c && git clone -q --depth 1 {url} c && cat c/f")).succeeds();
            let calls = build.calls();
            let expected = format!("[ssh]{}{}", build.trust(), build.identity(number));
            assert!(calls.len() == 1 && calls.iter().all(|call| call.starts_with(&expected)), "{calls:?}");
            // The clone keeps the URL that was typed.
            build.sh("git -C c config remote.origin.url").succeeds().prints(format!("{url}\n"));
        }
    }
}

#[test]
fn fetch_unshallow_archive_and_push_work_over_a_rewritten_url() {
    let build = Build::with(&["org/app"]);
    build.push("org/app", "echo app > f");
    let script = "git clone -q --depth 1 https://git.invalid/org/app c && cd c && git rev-list --count HEAD && \
                  git fetch -q --unshallow && git rev-list --count HEAD && git commit -q --allow-empty -m x && \
                  git push -q && git ls-remote -q origin main | cut -f2 && \
                  git archive --remote=https://git.invalid/org/app.git main | tar t";
    build.sh(script).succeeds().prints("1\n2\nrefs/heads/main\nf\n");
}

#[test]
fn submodules_are_opened_each_with_its_own_key() {
    let build = Build::with(&["org/super", "org/lib", "org/lib-b"]);
    build.push("org/lib", "echo lib > f");
    build.push("org/lib-b", "echo lib-b > f");
    let script = r#"
        module() {
            git config -f .gitmodules submodule.$1.path $1
            git config -f .gitmodules submodule.$1.url $2
            git update-index --add --cacheinfo 160000,$(git ls-remote -q $3 main | cut -f1),$1
        }
        module a https://git.invalid/org/lib https://git.invalid/org/lib
        module b ../lib-b.git https://git.invalid/org/lib-b
        module c git@git.invalid:org/lib.git https://git.invalid/org/lib; mkdir a b c"#;
    build.push("org/super", script);
    build.calls();
    for options in ["", "--depth 1 --shallow-submodules"] {
        let clone = format!(
            "rm -rf c; git clone -q --recurse-submodules {options} https://git.invalid/org/super.git c"
        );
        build.sh(&format!("{clone} && cat c/a/f c/b/f c/c/f")).succeeds().prints("lib\nlib-b\nlib\n");
        let calls = build.calls();
        for number in 0..3 {
            assert!(calls.iter().any(|call| call.contains(&build.identity(number))), "{calls:?}");
        }
    }
}

#[test]
fn a_repository_without_a_key_stays_on_https() {
    let build = Build::with(&["org/app"]);
    for url in
        ["https://git.invalid/org/app2", "https://git.invalid/org/app.github.io", "https://git.invalid/x/y"]
    {
        let outcome = build.sh(&format!("git clone {url}"));
        exits_nonzero(outcome).says(&format!("unable to access '{url}/'"));
    }
    assert!(build.calls().is_empty());
}

#[test]
fn an_unknown_repository_gets_no_key() {
    let build = Build::with(&["org/app"]);
    exits_nonzero(build.sh("git clone git@git.invalid:org/other.git")).says("Repository not found");
    assert!(build.calls().iter().all(|call| !call.contains("Identit")));
}

#[test]
fn git_ssh_command_of_the_user_is_kept() {
    let build = Build::with(&["org/app"]);
    build.push("org/app", "echo app > f");
    build.calls();
    build.sh("GIT_SSH_COMMAND='ssh -o BatchMode=yes' git ls-remote https://git.invalid/org/app").succeeds();
    let calls = build.calls();
    let expected = format!("{}{}[-o][BatchMode=yes]", build.trust(), build.identity(0));
    assert!(calls.iter().all(|call| call.contains(&expected)), "{calls:?}");
}

#[test]
fn the_remote_helper_accepts_only_https() {
    let build = Build::with(&["org/app"]);
    for url in ["sb::ext::sh -c true", "sb::ssh://git@git.invalid/org/app", "sb::-x"] {
        exits_nonzero(build.command("git", &["ls-remote", url]).outcome()).says("the URL is not HTTPS");
    }
}
