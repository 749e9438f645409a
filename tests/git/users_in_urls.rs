//! git finds its credential by any spelling of a URL that people use: with users in front of the host, other cases of the host,
//! and under the settings that images have.
#![cfg(target_os = "linux")]

use std::fs::{self, Permissions};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::git::credentials::exec;
use crate::support::git_server::{Account, GitServer};
use crate::support::require::{GIT_LFS, HTTPS_SERVER, NPM, PIP, require};
use crate::support::{Bridge, Home, Start as _};

const TOKEN: &str = "glpat-hunter2hunter2";

/// A server on which each user has the token, below a path of its own.
fn server(users: &[(&'static str, &'static str)]) -> GitServer {
    let accounts: Vec<Account> =
        users.iter().map(|(path, user)| Account { path, user, password: TOKEN }).collect();
    GitServer::start(IpAddr::V4(Ipv4Addr::LOCALHOST), &["localhost"], &accounts)
}

/// A bridge with `value` as the credential of `server`.
fn serve(server: &GitServer, value: &str) -> Bridge {
    let home = Home::new();
    let mut command =
        home.serve(["--secret", "ONE", "--git-credential", &format!("localhost:{}=ONE", server.port)]);
    command.env("ONE", value);
    Bridge::start(home, command)
}

/// `https://USER@HOST:PORT/PATH`.
fn url(server: &GitServer, user: &str, host: &str, path: &str) -> String {
    format!("https://{user}@{host}:{}/{path}", server.port)
}

#[test]
fn a_token_without_a_user_logs_in_the_user_of_the_url() {
    require!(HTTPS_SERVER);
    let users = [
        ("/a/", "git"),
        ("/b/", "oauth2"),
        ("/c/", "x-access-token"),
        ("/d/", "gitlab+deploy-token-1"),
        ("/e/", "bob"),
    ];
    let server = server(&users);
    let (bridge, home) = (serve(&server, TOKEN), Home::new());
    for (path, user) in users {
        let path = format!("{}app.git", &path[1..]);
        server.repository(&path, &[], &[]);
        let url = url(&server, user, "localhost", &path);
        exec(&home, &bridge, &server, &["--", "git", "ls-remote", &url]).outcome().succeeds();
    }
    // Without a user in the URL it is that of the token.
    let plain = server.url("localhost", "c/app.git");
    exec(&home, &bridge, &server, &["--", "git", "ls-remote", &plain]).outcome().succeeds();
    let requests = server.requests();
    for (_, user) in users {
        assert!(requests.iter().any(|request| request.user == user), "{user}");
    }
}

#[test]
fn a_placeholder_in_the_url_gets_the_user_that_the_host_named() {
    require!(HTTPS_SERVER);
    let server = server(&[("/a/", "bob")]);
    server.repository("a/app.git", &[], &[]);
    let (bridge, home) = (serve(&server, &format!("bob:{TOKEN}")), Home::new());
    for user in ["git", "oauth2", "x-access-token", "gitlab-ci-token", "bob"] {
        let url = url(&server, user, "localhost", "a/app.git");
        exec(&home, &bridge, &server, &["--", "git", "ls-remote", &url]).outcome().succeeds();
    }
    let url = url(&server, "eve", "localhost", "a/app.git");
    exec(&home, &bridge, &server, &["--", "git", "ls-remote", &url])
        .outcome()
        .exits_with(128)
        .says("and the user in the URL, but for another user")
        .never_says(TOKEN);
    // git itself tries the user of a URL with an empty password first.
    let of_bob = format!("Basic {}", STANDARD.encode(format!("bob:{TOKEN}")));
    for request in server.requests() {
        let is_empty =
            request.authorization == format!("Basic {}", STANDARD.encode(format!("{}:", request.user)));
        assert!(
            request.authorization.is_empty() || is_empty || request.authorization == of_bob,
            "{request:?}"
        );
    }
}

#[test]
fn spellings_of_the_host_and_settings_of_the_image_do_not_matter() {
    require!(HTTPS_SERVER);
    let server = server(&[("/a/", "git")]);
    let lib = server.repository("a/lib.git", &[], &[]);
    let lib_url = url(&server, "git", "localhost", "a/lib.git");
    server.repository("a/app.git", &[], &[("lib", &lib, &lib_url)]);
    let (bridge, home) = (serve(&server, TOKEN), Home::new());
    let ask = home.file("ask", "#!/bin/sh\necho asked >> \"$ASKED\"\necho wrong\n");
    fs::set_permissions(&ask, Permissions::from_mode(0o755)).unwrap();
    let port = server.port;
    let config = format!(
        "[credential]\n\thelper = {ask}\n\tuseHttpPath = true\n\tusername = eve\n\
         [credential \"https://localhost:{port}/a\"]\n\thelper = {ask}\n\
         [credential \"https://git@localhost:{port}\"]\n\thelper = {ask}\n\
         [core]\n\taskPass = {ask}\n",
        ask = ask.display()
    );
    home.file(".gitconfig", config);
    for (number, host) in ["localhost", "LOCALHOST", "LocalHost"].into_iter().enumerate() {
        let url = url(&server, "git", host, "a/app.git");
        let directory = format!("clone{number}");
        let clone = ["--", "git", "clone", "--quiet", "--recurse-submodules", &url, &directory];
        let mut clone = exec(&home, &bridge, &server, &clone);
        clone.env("GIT_ASKPASS", &ask).env("ASKED", home.path("asked")).outcome().succeeds();
        assert_eq!(home.read(&format!("{directory}/lib/file")), "a/lib.git\n");
    }
    assert!(!home.path("asked").exists());
}

#[test]
fn git_logs_in_without_a_home_and_with_one_that_cannot_be_written() {
    require!(HTTPS_SERVER);
    let server = server(&[("/a/", "git")]);
    server.repository("a/app.git", &[], &[]);
    let (bridge, home) = (serve(&server, TOKEN), Home::new());
    let url = url(&server, "git", "localhost", "a/app.git");
    let list = ["--", "git", "ls-remote", &url];
    exec(&home, &bridge, &server, &list).env_remove("HOME").outcome().succeeds();
    exec(&home, &bridge, &server, &list).env("HOME", "/proc").outcome().succeeds();
    exec(&home, &bridge, &server, &list).env("HOME", "/nonexistent").outcome().succeeds();
    // Without its environment, git cannot know: what has to be passed on is in the documents.
    let cleared = ["--", "env", "-i", "git", "ls-remote", &url];
    exec(&home, &bridge, &server, &cleared).outcome().exits_with(128);
    let script = format!(
        "env -i PATH=\"$PATH\" GIT_SSL_CAINFO=\"$GIT_SSL_CAINFO\" $(env | grep ^SECRETS_BRIDGE_GIT_) \
         git -c credential.helper= -c credential.helper=\"$(env | sed -n 's/^GIT_CONFIG_VALUE_1=//p')\" ls-remote {url}"
    );
    exec(&home, &bridge, &server, &["--sh", &script]).outcome().succeeds();
}

#[test]
fn git_lfs_logs_in_with_the_same_credential() {
    require!(HTTPS_SERVER, GIT_LFS);
    let server = server(&[("/a/", "git")]);
    let oid = "0".repeat(64);
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize 3\n");
    let files = [(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n"), ("x.bin", &pointer)];
    server.repository("a/app.git", &files, &[]);
    let (bridge, home) = (serve(&server, TOKEN), Home::new());
    let url = url(&server, "git", "localhost", "a/app.git");
    let script =
        format!("GIT_LFS_SKIP_SMUDGE=1 git clone -q {url} app && cd app && git lfs fetch origin main");
    // The server has no LFS. What counts is that the request logs in.
    let outcome = exec(&home, &bridge, &server, &["--sh", &script]).outcome();
    let requests = server.requests();
    let batch =
        |request: &&crate::support::git_server::Request| request.line.contains("/info/lfs/objects/batch");
    let found = requests.iter().filter(batch).any(|request| request.user == "git");
    assert!(found, "{requests:?}\n{}", outcome.stderr);
}

#[test]
fn pip_and_npm_get_dependencies_by_urls_with_a_user() {
    require!(HTTPS_SERVER, PIP, NPM);
    let server = server(&[("/a/", "git"), ("/b/", "oauth2")]);
    let setup = "from setuptools import setup\nsetup(name='private-demo', version='1.2.3', py_modules=[])\n";
    server.repository("a/demo.git", &[("setup.py", setup)], &[]);
    server.repository(
        "b/private.git",
        &[("package.json", r#"{"name": "private", "version": "1.2.3"}"#)],
        &[],
    );
    let (bridge, home) = (serve(&server, TOKEN), Home::new());
    let url_of_pip = format!("git+{}", url(&server, "git", "localhost", "a/demo.git"));
    let pip = ["--", "pip", "download", "--no-deps", "--no-build-isolation", "--no-cache-dir", &url_of_pip];
    let outcome = exec(&home, &bridge, &server, &pip).outcome();
    let url_of_npm = url(&server, "oauth2", "localhost", "b/private.git");
    home.file("package.json", format!(r#"{{"dependencies": {{"private": "git+{url_of_npm}"}}}}"#));
    let npm = ["--", "npm", "install", "--no-audit", "--no-fund", "--no-update-notifier"];
    exec(&home, &bridge, &server, &npm).outcome().succeeds();
    assert!(home.read("node_modules/private/package.json").contains("1.2.3"));
    let requests = server.requests();
    let cloned = requests.iter().any(|request| request.user == "git" && request.status == 200);
    assert!(cloned, "{requests:?}\n{}", outcome.stderr);
}
