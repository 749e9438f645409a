//! git in a build logs in over https with credentials of the host: only to the servers and paths that
//! `--git-credential` names.
#![cfg(target_os = "linux")]

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support;
use crate::support::git_server::{Account, GitServer, Request};
use crate::support::require::{HTTPS_SERVER, NPM, require};
use crate::support::{Bridge, Home, Outcome, Start as _};

/// Has characters with a meaning in URLs, shells and git's protocol.
pub(super) const PASSWORD: &str = "p:@/%#= ä'\"!$x-one";
const OTHER_PASSWORD: &str = "hunter2-of-two";
pub(super) const ONE: Account = Account { path: "/one/", user: "bob", password: PASSWORD };
const TWO: Account = Account { path: "/two/", user: "x-access-token", password: OTHER_PASSWORD };
const VARIABLE: &str = "SECRETS_BRIDGE_GIT_CREDENTIALS";

pub(super) fn server(accounts: &[Account]) -> GitServer {
    GitServer::start(IpAddr::V4(Ipv4Addr::LOCALHOST), &["localhost", "127.0.0.1"], accounts)
}

/// A bridge with the passwords of both accounts, and `options`.
fn serve(options: &[&str]) -> Bridge {
    let home = Home::new();
    let mut command = home.serve(["--secret", "ONE", "--secret", "TWO"].iter().chain(options));
    command.env("ONE", format!("bob:{PASSWORD}")).env("TWO", format!("{OTHER_PASSWORD}\n"));
    Bridge::start(home, command)
}

/// `exec --git-credentials ARGUMENTS` in `home`. The leak check is off: the server's log, on the same file system, has
/// the password.
pub(super) fn exec(home: &Home, bridge: &Bridge, server: &GitServer, arguments: &[&str]) -> Command {
    let mut command = home.command(["exec", "--leaks=off", "--git-credentials"].iter().chain(arguments));
    command.env("BRIDGE_CONF", &bridge.conf).env("GIT_SSL_CAINFO", server.ca());
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Test").env(format!("GIT_{role}_EMAIL"), "test@example.com");
    }
    command
}

pub(super) fn git(home: &Home, bridge: &Bridge, server: &GitServer, arguments: &[&str]) -> Outcome {
    exec(home, bridge, server, &[&["--", "git"], arguments].concat()).outcome()
}

/// The header that git sends for `account`.
fn basic(account: Account) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", account.user, account.password)))
}

#[track_caller]
fn assert_no_credential_sent(requests: &[Request]) {
    assert!(!requests.is_empty());
    assert!(requests.iter().all(|request| request.authorization.is_empty()), "{requests:?}");
}

/// No file below `directory` has one of `texts` in its name or contents.
fn assert_absent(directory: &Path, texts: &[&str]) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let is_directory = path.symlink_metadata().unwrap().is_dir();
        let bytes = if is_directory { Vec::new() } else { fs::read(&path).unwrap() };
        for text in texts {
            let found = memchr::memmem::find(&bytes, text.as_bytes()).is_some();
            assert!(!found && !path.to_string_lossy().contains(text), "{text} in {}", path.display());
        }
        if is_directory {
            assert_absent(&path, texts);
        }
    }
}

#[test]
fn git_clones_fetches_and_pushes_and_stores_nothing() {
    require!(HTTPS_SERVER);
    let server = server(&[ONE]);
    server.repository("one/app.git", &[], &[]);
    let bridge = serve(&["--git-credential", &format!("localhost:{}=ONE", server.port)]);
    let home = Home::new();
    let url = server.url("localhost", "one/app.git");
    git(&home, &bridge, &server, &["clone", "--quiet", &url, "app"]).succeeds();
    assert_eq!(home.read("app/file"), "one/app.git\n");
    let in_clone = |arguments: &[&str]| {
        git(&home, &bridge, &server, &[&["-C", "app"], arguments].concat()).succeeds().text()
    };
    in_clone(&["commit", "--quiet", "--allow-empty", "-m", "two"]);
    in_clone(&["push", "--quiet", "origin", "main"]);
    in_clone(&["fetch", "--quiet", "origin"]);
    let listed = in_clone(&["ls-remote", "origin", "main"]);
    assert!(listed.starts_with(in_clone(&["rev-parse", "HEAD"]).trim()), "{listed}");

    let conf = bridge.conf.as_str();
    assert_absent(&home.path("."), &[PASSWORD, "x-one", "credential", VARIABLE, conf]);
    let entries: Vec<_> =
        fs::read_dir(home.path(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(entries, ["app"]);
    let requests = server.requests();
    assert!(requests.iter().any(|request| request.line.starts_with("POST /one/app.git/git-receive-pack")));
    let expected = basic(ONE);
    assert!(requests.iter().all(|request| ["", &expected].contains(&request.authorization.as_str())));
}

#[test]
fn submodules_on_other_paths_have_their_own_credentials() {
    require!(HTTPS_SERVER);
    let server = server(&[ONE, TWO]);
    let two = server.repository("two/lib.git", &[], &[]);
    let url = server.url("localhost", "two/lib.git");
    server.repository("one/app.git", &[], &[("lib", &two, &url)]);
    let scope = format!("localhost:{}", server.port);
    let bridge = serve(&[
        "--git-credential",
        &format!("{scope}/one=ONE"),
        "--git-credential",
        &format!("https://{scope}/two/lib=TWO"),
    ]);
    let home = Home::new();
    let app = server.url("localhost", "one/app");
    let arguments = ["clone", "--quiet", "--recurse-submodules", &app, "app"];
    git(&home, &bridge, &server, &arguments).succeeds();
    assert_eq!(home.read("app/lib/file"), "two/lib.git\n");
    let requests = server.requests();
    for Request { line, authorization, .. } in &requests {
        let path = line.split(' ').nth(1).unwrap();
        let expected = basic(if path.starts_with("/two/") { TWO } else { ONE });
        assert!(authorization.is_empty() || *authorization == expected, "{line}: {authorization}");
    }
    assert!(requests.iter().any(|request| request.user == TWO.user));
}

#[test]
fn cargo_gets_private_dependencies_by_git() {
    require!(HTTPS_SERVER);
    let server = server(&[ONE]);
    let cargo = "[package]\nname = \"private\"\nversion = \"1.2.3\"\nedition = \"2021\"\n";
    let files = [("Cargo.toml", cargo), ("src/lib.rs", "")];
    server.repository("one/private.git", &files, &[]);
    let url = server.url("localhost", "one/private.git");
    let bridge = serve(&["--git-credential", &format!("localhost:{}=ONE", server.port)]);
    let home = Home::new();
    let dependency = format!("\n[dependencies]\nprivate = {{ git = {url:?} }}\n");
    home.file("Cargo.toml", cargo.replace("private", "app") + &dependency);
    fs::create_dir(home.path("src")).unwrap();
    home.file("src/lib.rs", "");
    let mut command = exec(&home, &bridge, &server, &["--", env!("CARGO"), "generate-lockfile"]);
    command.env("CARGO_HOME", home.path("cargo")).env("CARGO_NET_GIT_FETCH_WITH_CLI", "true");
    command.outcome().succeeds();
    assert!(home.read("Cargo.lock").contains("1.2.3"));
    assert_absent(&home.path("."), &["x-one"]);
    assert!(server.requests().iter().any(|request| request.user == "bob"));
}

#[test]
fn npm_gets_private_dependencies_by_git() {
    require!(HTTPS_SERVER, NPM);
    let server = server(&[ONE]);
    let package = r#"{"name": "private", "version": "1.2.3"}"#;
    server.repository("one/private.git", &[("package.json", package)], &[]);
    let url = server.url("localhost", "one/private.git");
    let bridge = serve(&["--git-credential", &format!("localhost:{}=ONE", server.port)]);
    let home = Home::new();
    home.file("package.json", format!(r#"{{"dependencies": {{"private": "git+{url}"}}}}"#));
    let install = ["--", "npm", "install", "--no-audit", "--no-fund", "--no-update-notifier"];
    exec(&home, &bridge, &server, &install).outcome().succeeds();
    assert!(home.read("node_modules/private/package.json").contains("1.2.3"));
    assert_absent(&home.path("."), &["x-one"]);
    assert!(server.requests().iter().any(|request| request.user == "bob"));
}

#[test]
fn a_server_that_is_not_named_gets_no_credential() {
    require!(HTTPS_SERVER);
    let server = server(&[ONE]);
    let other = GitServer::start(IpAddr::V4(Ipv4Addr::LOCALHOST), &["localhost"], &[ONE]);
    server.repository("one/app.git", &[], &[]);
    let bridge = serve(&["--git-credential", &format!("127.0.0.1:{}/one/app=ONE", server.port)]);
    let home = Home::new();
    // The same server by another name, at another port, and another path.
    let urls = [
        (&server, server.url("localhost", "one/app.git")),
        (&other, other.url("127.0.0.1", "one/app.git")),
        (&server, server.url("127.0.0.1", "one/application.git")),
    ];
    for (server, url) in &urls {
        let mut clone =
            exec(&home, &bridge, server, &["--", "git", "-c", "http.sslVerify=false", "clone", url, "app"]);
        let outcome = clone.outcome().exits_with(128).says("terminal prompts disabled");
        let named = url.contains("application");
        assert_eq!(outcome.stderr.contains("the bridge has no git credential for https://127.0.0.1"), named);
    }
    assert_no_credential_sent(&server.requests());
    assert_no_credential_sent(&other.requests());
}

#[test]
fn a_redirect_to_another_server_carries_no_credential() {
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    require!(HTTPS_SERVER);
    let target = server(&[ONE]);
    target.repository("one/app.git", &[], &[]);
    let url = target.url("localhost", "").trim_end_matches('/').to_owned();
    let from = GitServer::with_redirect(loopback, &["127.0.0.1"], &[ONE], Some(&url));
    let bridge = serve(&["--git-credential", &format!("127.0.0.1:{}=ONE", from.port)]);
    let home = Home::new();
    for path in ["moved/one/app.git", "moved-behind-login/one/app.git"] {
        let url = from.url("127.0.0.1", path);
        let arguments = ["-c", "http.sslVerify=false", "clone", &url, "app"];
        git(&home, &bridge, &from, &arguments).exits_with(128);
    }
    let requests = target.requests();
    assert_eq!(requests.iter().filter(|request| request.status == 401).count(), 2, "{requests:?}");
    assert_no_credential_sent(&requests);
    assert!(
        from.requests().iter().any(|request| request.authorization == basic(ONE) && request.status == 302)
    );
}

#[test]
fn a_wrong_password_fails_at_once() {
    let wrong = Account { password: "another one", ..ONE };
    require!(HTTPS_SERVER);
    let server = server(&[wrong]);
    server.repository("one/app.git", &[], &[]);
    let bridge = serve(&["--git-credential", &format!("localhost:{}=ONE", server.port)]);
    let home = Home::new();
    let url = server.url("localhost", "one/app.git");
    git(&home, &bridge, &server, &["clone", &url, "app"])
        .exits_with(128)
        .says("Authentication failed")
        .never_says(PASSWORD);
    assert_eq!(server.requests().iter().filter(|request| request.status == 401).count(), 2);
}

#[test]
fn helpers_of_the_image_serve_only_other_servers() {
    require!(HTTPS_SERVER);
    let server = server(&[ONE]);
    server.repository("one/app.git", &[], &[]);
    let bridge = serve(&["--git-credential", &format!("localhost:{}=ONE", server.port)]);
    let home = Home::new();
    let helper = home.file("helper", "#!/bin/sh\necho \"$1\" >> \"$HOME/called\"\ncat >> \"$HOME/called\"\n");
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let (helper, port) = (helper.display(), server.port);
    let config = format!(
        "[credential]\n\thelper = {helper}\n\thelper = store\n[credential \"https://localhost:{port}\"]\n\thelper = {helper}\n"
    );
    home.file(".gitconfig", config);
    git(&home, &bridge, &server, &["ls-remote", &server.url("localhost", "one/app.git")]).succeeds();
    assert!(!home.path("called").exists() && !home.path(".git-credentials").exists());
    git(&home, &bridge, &server, &["ls-remote", &server.url("127.0.0.1", "one/app.git")]).exits_with(128);
    let called = home.read("called");
    assert!(called.starts_with("get\n") && called.contains(&format!("host=127.0.0.1:{port}")), "{called}");
    assert!(!called.contains("x-one"));
}

#[test]
fn existing_git_settings_are_kept() {
    require!(HTTPS_SERVER);
    let server = server(&[ONE]);
    server.repository("one/app.git", &[], &[]);
    let bridge = serve(&["--git-credential", &format!("localhost:{}=ONE", server.port)]);
    let home = Home::new();
    let own = server.url("localhost", "one/");
    let mut exec = exec(&home, &bridge, &server, &["--", "git", "ls-remote", "mine:app.git"]);
    exec.env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", format!("url.{own}.insteadOf"))
        .env("GIT_CONFIG_VALUE_0", "mine:");
    exec.outcome().succeeds();
    exec.env("GIT_CONFIG_COUNT", "many").outcome().fails().says("invalid GIT_CONFIG_COUNT");
}

#[test]
fn credentials_are_in_a_private_file_that_ends_with_command() {
    let bridge = serve(&["--git-credential", "git.example=ONE"]);
    let script = format!(
        "stat -L -c %a ${VARIABLE}; stat -f -c %T ${VARIABLE}; echo ${VARIABLE}; env | grep -c x-one; true"
    );
    let outcome =
        bridge.client(["exec", "--leaks=off", "--git-credentials", "--sh", &script]).outcome().succeeds();
    let text = outcome.text();
    let [mode, kind, path, found] = text.lines().collect::<Vec<_>>()[..] else { panic!("{text}") };
    assert_eq!((mode, kind, found), ("600", "tmpfs", "0"));
    assert!(!Path::new(path).exists());
}

#[test]
fn passwords_are_masked_in_the_output_of_command() {
    let bridge = serve(&["--git-credential", "git.example=ONE", "--git-credential", "git.example/two=TWO"]);
    let script = format!("cat ${VARIABLE}; printf '%s\\n' \"$SAID\" {OTHER_PASSWORD}");
    let mut exec = bridge.client(["exec", "--git-credentials", "--leaks=off", "--sh", &script]);
    let outcome = exec.env("SAID", PASSWORD).outcome().succeeds();
    let text = outcome.text();
    assert!(!text.contains("x-one") && !text.contains("hunter2"), "{text}");
    assert!(text.contains("***"), "{text}");
}

#[test]
fn the_helper_speaks_gits_protocol() {
    let bridge = serve(&["--git-credential", "git.example=ONE", "--git-credential", "git.example/two=TWO"]);
    let ask = |operation: &str, request: &str| {
        let script = format!("{} git-credential {operation}", support::BINARY);
        bridge
            .client(["exec", "--no-mask", "--leaks=off", "--git-credentials", "--sh", &script])
            .outcome_with(request)
    };
    let known = "capability[]=authtype\nprotocol=https\nhost=git.example\nwwwauth[]=Basic realm=x\n\n";
    ask("get", known).succeeds().prints(format!("username=bob\npassword={PASSWORD}\n"));
    ask("get", "protocol=https\nhost=GIT.example:443\npath=two/lib.git\n")
        .succeeds()
        .prints(format!("username=x-access-token\npassword={OTHER_PASSWORD}\n"));
    for operation in ["store", "erase", "capability", "whatever"] {
        ask(operation, known).succeeds().prints("");
    }
    ask("get", "protocol=http\nhost=git.example\n").succeeds().prints("");
    ask("get", "protocol=https\nhost=git.example:8443\n").succeeds().prints("");
    ask("get", "protocol=https\nhost=git.example\npath=two/../two/lib\n").succeeds().prints("");
    let named = "protocol=https\nhost=git.example\nusername=";
    ask("get", &format!("{named}eve\n"))
        .succeeds()
        .prints("")
        .says("but for another user: take the user out of");
    ask("get", &format!("{named}git\n")).succeeds().prints(format!("username=bob\npassword={PASSWORD}\n"));
    ask("get", &format!("{named}eve\npath=two/lib\n"))
        .succeeds()
        .prints(format!("username=eve\npassword={OTHER_PASSWORD}\n"));
    ask("get", "protocol=https\nhost=other.example\npath=\u{1b}[2J\n")
        .succeeds()
        .prints("")
        .never_says("\u{1b}");
    ask("get", "protocol=https\nhost=a\nhost=b\n").fails().says("line 3 is not an attribute");
    ask("get", &"x=y\n".repeat(20_000)).fails().says("longer than 64 KiB");
    bridge.home.command(["git-credential", "get"]).outcome_with(known).fails().says("is not set");
}

#[test]
fn mounted_credentials_work_without_a_bridge() {
    let home = Home::new();
    fs::create_dir(home.path("secrets")).unwrap();
    home.file(
        "secrets/git-credentials",
        "https://bob:hunter2@git.example\nhttp://bob:hunter2@plain.example\n",
    );
    let exec = |arguments: &[&str]| {
        let options = ["exec", "--no-mask", "--leaks=off", "--git-credentials", "--secrets-dir", "secrets"];
        home.command(options.iter().chain(arguments)).outcome()
    };
    let ask = |host: &str| {
        format!("printf 'protocol=https\\nhost={host}\\n' | git credential fill | grep password")
    };
    exec(&["--sh", &ask("git.example")])
        .succeeds()
        .prints("password=hunter2\n")
        .says("git-credentials: credentials for http:// are not used (lines: 1)");
    exec(&["--sh", &ask("plain.example")]).exits_with(1).prints("");
    home.file("secrets/git-credentials", "https://git.example\nhunter2\n");
    exec(&["--", "touch", "started"]).fails().says("line 1 is not of the form").never_says("hunter2");
    fs::remove_file(home.path("secrets/git-credentials")).unwrap();
    exec(&["--", "touch", "started"]).fails().says("git-credentials is not mounted");
    assert!(!home.path("started").exists());
    exec(&["--optional=git-credentials", "--sh", "echo ${GIT_CONFIG_COUNT-unset}"])
        .succeeds()
        .prints("unset\n");
}
