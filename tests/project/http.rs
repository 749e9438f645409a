//! Rules for HTTP credentials in the project file.
#![cfg(all(feature = "host", feature = "client"))]

use std::fs;

use crate::support::Start as _;
use crate::support::https::authority::Authority;
use crate::support::project::{Project, Terminal};

const TOKEN: &str = "npm_xK9hunter2Qw7Tz4";

const RULES: &str = r#"
listen = "127.0.0.1:0"
[http."npm.example"]
env = "NPM_TOKEN"
[http."git.example:8443/org"]
cmd = "echo run >> ran; echo token"
"git+push" = true
lfs = true
ca = "ca.pem"
own = "keep"
[http."old.example:8080"]
src = "token"
scheme = "http"
auth = "header:X-Api-Key"
methods = ["GET", "POST"]
plain = "pass"
"#;

fn project() -> Project {
    let project = Project::with(RULES);
    fs::write(project.home.path("project/ca.pem"), Authority::new().pem).unwrap();
    project.home.file("project/token", "value\n");
    project
}

#[test]
fn allow_shows_what_each_rule_permits() {
    let project = project();
    let mut terminal = Terminal::start(project.command(["allow"]));
    terminal.shows("Type yes");
    terminal.types("no\n");
    let (_, shown) = terminal.ends();
    let base = project.home.path("project").canonicalize().unwrap();
    let base = base.display();
    for line in [
        "HTTP npm.example: permit requests with GET, HEAD, and add a credential as Bearer token, from the environment variable NPM_TOKEN",
        "HTTP git.example:8443/org: permit git clone, fetch and push, git LFS downloads and uploads, and add a credential as password of the user x-access-token, from the output of this shell command: echo run >> ran; echo token",
        "HTTP git.example:8443/org: WRITES: builds may push to the repositories",
        "HTTP git.example:8443/org: RUNS A COMMAND when a build first needs the credential",
        "HTTP git.example:8443/org: a request with an Authorization of its own keeps it, and gets no credential",
        &format!(
            "HTTP git.example:8443/org: trust the CAs in the file {base}/ca.pem instead of those of the system"
        ),
        &format!(
            "HTTP old.example:8080: permit requests with GET, POST, and add a credential in the header field X-Api-Key, from the file {base}/token"
        ),
        "HTTP old.example:8080: WRITES: builds may change what the server has",
        "HTTP old.example:8080: UNENCRYPTED: the credential goes to the server over plain http",
        "HTTP old.example:8080: plain http:// requests to the host go out of the build, without a credential",
        "shell commands run in the directory where `run` or `serve` is started",
        &format!("ca.pem is {base}/ca.pem (SHA-256 "),
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
    assert!(!project.home.path("project/ran").exists());
}

#[test]
fn a_changed_ca_file_needs_a_new_approval() {
    let project = project();
    project.allow();
    let run = || project.run(&[], "$SB exec -- true").env("NPM_TOKEN", TOKEN).outcome();
    run().succeeds().says("git.example:8443/org: no request");
    let ca = project.home.path("project/ca.pem");
    let approved = fs::read(&ca).unwrap();
    fs::write(&ca, Authority::new().pem).unwrap();
    run()
        .fails()
        .says("ca (ca.pem) of the project file")
        .says("has changed since its approval")
        .says("SHA-256");
    fs::remove_file(&ca).unwrap();
    run().fails().says("which does not exist");
    fs::write(&ca, approved).unwrap();
    run().succeeds();
    // The credential's own file may change: it is rotated without a new approval.
    project.home.file("project/token", "rotated\n");
    run().succeeds();
}

#[test]
fn a_ca_file_of_the_repository_cannot_be_used_with_a_digest() {
    let project = project();
    let sha256 = project.sha256();
    let with_digest = |sha256: &str| {
        project.run(&["--allow-config", sha256], "$SB exec -- true").env("NPM_TOKEN", TOKEN).outcome()
    };
    with_digest(&sha256)
            .fails()
            .says("ca.pem came with the repository, and --allow-config does not cover what it holds: name a file outside");
    fs::rename(project.home.path("project/ca.pem"), project.home.path("ca.pem")).unwrap();
    project.write(&RULES.replace("\"ca.pem\"", "\"~/ca.pem\""));
    with_digest(&project.sha256()).succeeds().says("npm.example: no request");
}

#[test]
fn an_option_replaces_the_rule_for_the_same_place() {
    let project = Project::with(
        "listen = \"127.0.0.1:0\"\n[http.\"npm.example\"]\nenv = \"NO_SUCH\"\n[http.\"npm.example/org\"]\nsrc = \"token\"\n",
    );
    project.home.file("project/token", "value");
    project.allow();
    project.run(&[], "true").outcome().fails().says("NO_SUCH is not set");
    let options = ["--http-credential", "NPM.example:443=NPM_TOKEN"];
    let outcome = project.run(&options, "$SB exec -- true").env("NPM_TOKEN", TOKEN).outcome().succeeds();
    outcome.says("npm.example: no request").says("npm.example/org: no request");
}

#[test]
fn command_does_not_get_the_variables_of_the_file() {
    let project = Project::with("listen = \"127.0.0.1:0\"\n[http.\"npm.example\"]\nenv = \"NPM_TOKEN\"\n");
    project.allow();
    project.run(&[], "echo \"<$NPM_TOKEN>\"").env("NPM_TOKEN", TOKEN).outcome().succeeds().prints("<>\n");
}
