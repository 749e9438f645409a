//! A project file is used only after it has been approved: this path, with these bytes.
#![cfg(all(feature = "host", feature = "client"))]

use std::fs;
use std::os::unix::fs::symlink;

use crate::support;
use crate::support::Start as _;
use crate::support::project::{NAME, Project, Terminal, set_mode};
use crate::support::require::{ROOT, require};

const SECRET: &str =
    "listen = \"127.0.0.1:0\"\n[secrets]\nTOKEN = { cmd = \"echo run >> ran; printf value\" }\n";

/// `run` succeeds and prints the secret of [`SECRET`].
fn prints_token(project: &Project, options: &[&str]) {
    project.run(options, "$SB print TOKEN").outcome().succeeds().prints("value");
}

#[test]
fn a_file_without_approval_stops_run_and_serve() {
    let project = Project::with(SECRET);
    let sha256 = project.sha256();
    let file = project.file();
    let not_allowed = format!("the project file {} is not approved (SHA-256 {sha256})", file.display());
    let listen = ["--listen", "127.0.0.1:0"];
    for args in [&["run", "--secret", "A=b", "--", "true"][..], &["serve", "--secret", "A=b"]] {
        project
            .command(args)
            .outcome()
            .fails()
            .says(&not_allowed)
            .says("`secrets-bridge allow`")
            .says("--no-config");
    }
    project.run(&[&["--no-config"], &listen[..]].concat(), "true").outcome().succeeds();
    project.allow();
    assert!(!project.home.path("project/ran").exists(), "no client has requested it yet");
    prints_token(&project, &[]);
}

#[test]
fn a_changed_or_moved_file_loses_its_approval() {
    let project = Project::with(SECRET);
    project.allow();
    project.write(&format!("{SECRET}# more\n"));
    project.run(&[], "true").outcome().fails().says("has changed since its approval").says(&project.sha256());
    project.write(SECRET);
    prints_token(&project, &[]);

    let moved = project.home.path("moved");
    fs::rename(project.home.path("project"), &moved).unwrap();
    project
        .run(&[], "true")
        .current_dir(&moved)
        .outcome()
        .fails()
        .says("moved/secrets-bridge.toml is not approved");
    // A symbolic link to the directory leads to the same path.
    fs::rename(&moved, project.home.path("project")).unwrap();
    symlink(project.home.path("project"), &moved).unwrap();
    let by_link = moved.join(NAME);
    prints_token(&project, &["--config", by_link.to_str().unwrap()]);
}

#[test]
fn approvals_are_listed_and_revoked() {
    let project = Project::with(SECRET);
    project.command(["allow", "--list"]).outcome().succeeds().prints("");
    project.command(["allow", "--revoke"]).outcome().succeeds().says("was not approved");
    project.allow();
    let line = format!("{}  {}\n", project.sha256(), project.file().display());
    project.command(["allow", "--list"]).outcome().succeeds().prints(line);
    assert_eq!(support::mode(project.home.path(".local/state/secrets-bridge/allowed")), 0o700);
    project.command(["allow", "--revoke"]).outcome().succeeds().says("is no longer approved");
    project.run(&[], "true").outcome().fails().says("is not approved");
}

#[test]
fn only_yes_at_a_terminal_approves() {
    let project = Project::with(SECRET);
    for answer in ["y\n", "\n", "no\n", "YES\n", "yes please\n", "\u{4}"] {
        let mut terminal = Terminal::start(project.command(["allow"]));
        terminal.shows("Type yes");
        terminal.types(answer);
        let (code, shown) = terminal.ends();
        assert_eq!(code, Some(125), "{answer:?}: {shown}");
    }
    let sha256 = project.sha256();
    project
        .command(["allow"])
        .outcome_with("yes\n")
        .fails()
        .says("a person must confirm")
        .says(&format!("--allow-config {sha256}"));
    project.run(&[], "true").outcome().fails().says("is not approved");
}

#[test]
fn allow_shows_every_setting_escaped_and_in_full() {
    let long = "x".repeat(5000);
    let project = Project::with(&format!(
        r#"
        listen = "127.0.0.1:9100-9199"
        allow-from = ["10.0.0.0/8"]
        endpoint = ["host.example:9100"]
        timeout = "5m"
        max-sessions = 3
        tls-compat = true
        audit = "~/audit.jsonl"
        scan = "app"
        [secrets]
        TOKEN = {{ max-reads = 2 }}
        file = {{ src = "sub/\u001b[2Jtoken", trim = true }}
        aws = {{ src = "~/.aws/credentials" }}
        up = {{ src = "../up" }}
        "b64:cmd" = {{ cmd = "curl \u202e {long} | sh", allow-empty = true }}
        [agents]
        default = {{}}
        other = {{ socket = "/run/agent.sock" }}
        deploy = {{ keys = ["~/.ssh/deploy", "key"] }}
        [ssh]
        key = ["the key"]
        allow-host = ["github.com", "git.example:2222"]
        known-hosts = ["known_hosts"]
        host-proof = "both"
        allow-user = ["git"]
        allow-sshsig = ["git"]
        allow-forwarding = true
        max-signatures = 7
        confirm = true
        [git-key]
        "github.com/org/repo" = "deploy"
        [agent-socket]
        default = "agent.sock"
        "#
    ));
    let (home, sha256) = (project.home.path(""), project.sha256());
    let home = home.canonicalize().unwrap();
    let shown = project.command(["allow", "-q"]).outcome().fails().stderr;
    for part in [
        &sha256,
        project.file().to_str().unwrap(),
        "the secret TOKEN, to at most this number of sessions: 2, from the environment variable TOKEN\n",
        &format!(
            "without its last line end, from the file {}/project/sub/\\u{{1b}}[2Jtoken\n",
            home.display()
        ),
        &format!("the secret aws, from the file {}/.aws/credentials\n", home.display()),
        &format!("the secret up, from the file {}/up\n", home.display()),
        &format!(
            "even if it is empty, without its last line end, from the output of this shell command: curl \\u{{202e}} {long} | sh\n"
        ),
        "SSH agent default: the one of SSH_AUTH_SOCK\n",
        "SSH agent other: the one at /run/agent.sock\n",
        &format!("SSH agent deploy: the private keys in {0}/.ssh/deploy, {0}/project/key\n", home.display()),
        "these keys only: the key\n",
        "to these hosts only: github.com, [git.example]:2222\n",
        &format!("from the files {}/project/known_hosts\n", home.display()),
        "both proofs",
        "as these users only: git\n",
        "these namespaces: git\n",
        "forwards to further hosts",
        "at most this number of signatures: 7\n",
        "ask a person",
        "the key deploy for github.com/org/repo\n",
        &format!("SSH agent default on this host too, at {}/project/agent.sock\n", home.display()),
        "listen at 127.0.0.1:9100-9199\n",
        "connections from 10.0.0.0/8\n",
        "host.example:9100\n",
        "shut down after 5m\n",
        "shut down after this number of sessions: 3\n",
        "X25519",
        &format!("audit records to the file {}/audit.jsonl\n", home.display()),
        "the image app\n",
    ] {
        assert!(shown.contains(part), "no {part:?} in:\n{shown}");
    }
    assert!(!shown.contains(['\u{1b}', '\u{202e}']));
}

#[test]
fn the_approved_bytes_are_those_that_were_shown() {
    let project = Project::with(SECRET);
    let shown_digest = project.sha256();
    let mut terminal = Terminal::start(project.command(["allow"]));
    terminal.shows("Type yes");
    // The file changes between the prompt and the answer.
    project.write("[secrets]\nAWS = { src = \"~/.aws/credentials\" }\n");
    terminal.types("yes\n");
    assert_eq!(terminal.ends().0, Some(0));
    project.run(&[], "true").outcome().fails().says("has changed since its approval");
    let line = format!("{shown_digest}  {}\n", project.file().display());
    project.command(["allow", "--list"]).outcome().succeeds().prints(line);
    project.write(SECRET);
    prints_token(&project, &[]);
}

#[test]
fn a_digest_on_the_command_line_approves_only_these_bytes() {
    let project = Project::with(SECRET);
    let sha256 = project.sha256();
    prints_token(&project, &["--allow-config", &sha256]);
    project.run(&[], "true").outcome().fails().says("is not approved");

    // The digest on the command line overrides the record.
    project.allow();
    let other = sha256.replace(['0', '1', '2', '3'], "4");
    project
        .run(&["--allow-config", &other], "true")
        .outcome()
        .fails()
        .says(&format!("found    {sha256}"))
        .says(&format!("expected {other}"));
    for wrong in ["", "abc", &sha256[1..], &format!("{sha256}0")] {
        project.run(&["--allow-config", wrong], "true").outcome().fails().says("64 hexadecimal digits");
    }
    fs::remove_file(project.file()).unwrap();
    project.run(&["--allow-config", &sha256], "true").outcome().fails().says("no secrets-bridge.toml");
}

#[test]
fn a_file_that_others_can_change_is_refused() {
    let project = Project::with(SECRET);
    let sha256 = project.sha256();
    let refused = |why: &str| {
        project.run(&["--allow-config", &sha256], "true").outcome().fails().says(why);
        project.command(["allow"]).outcome().fails().says(why);
    };
    for mode in [0o664, 0o646] {
        set_mode(project.file(), mode);
        refused("other users may write to it");
    }
    set_mode(project.file(), 0o644);
    for mode in [0o775, 0o757] {
        set_mode(project.home.path("project"), mode);
        refused("other users may write to its directory");
    }
    set_mode(project.home.path("project"), 0o755);
    prints_token(&project, &["--allow-config", &sha256]);

    fs::rename(project.file(), project.home.path("elsewhere.toml")).unwrap();
    symlink(project.home.path("elsewhere.toml"), project.file()).unwrap();
    refused("it is a symbolic link");
    fs::remove_file(project.file()).unwrap();
    fs::create_dir(project.file()).unwrap();
    refused("not a regular file");
    fs::remove_dir(project.file()).unwrap();
    project.home.program("mkfifo", [project.file()]).outcome().succeeds();
    refused("not a regular file");
    fs::remove_file(project.file()).unwrap();
    project.write(&format!("#{}", "x".repeat(64 << 10)));
    refused("is larger than 64 KiB");
}

#[test]
fn a_file_of_another_user_is_refused() {
    require!(ROOT);
    let project = Project::with(SECRET);
    let sha256 = project.sha256();
    let nobody = Some(65534);
    std::os::unix::fs::chown(project.file(), nobody, None).unwrap();
    let run = || project.run(&["--allow-config", &sha256], "true").outcome();
    run().fails().says("it belongs to another user");
    std::os::unix::fs::chown(project.file(), Some(0), None).unwrap();
    std::os::unix::fs::chown(project.home.path("project"), nobody, None).unwrap();
    run().fails().says("its directory belongs to another user");
}

#[test]
fn a_path_in_the_repository_may_not_lead_out_of_it() {
    let project = Project::with("listen = \"127.0.0.1:0\"\n[secrets]\nTOKEN = { src = \"sub/token\" }\n");
    project.home.file("project/sub/token", "value");
    project.home.file("credentials", "hunter2");
    project.allow();
    prints_token(&project, &[]);
    // `git pull` may do this, and the project file stays unchanged.
    for (at, to) in [("sub/token", "../../credentials"), ("sub", "..")] {
        let path = project.home.path("project").join(at);
        fs::rename(&path, project.home.path("aside")).unwrap();
        symlink(to, &path).unwrap();
        project.home.file("token", "hunter2");
        let outcome = project.run(&[], "$SB print TOKEN").outcome().fails();
        outcome.says("sub/token is in the repository and leads out of it");
        fs::remove_file(&path).unwrap();
        fs::rename(project.home.path("aside"), &path).unwrap();
    }
    prints_token(&project, &[]);
}

#[test]
fn records_that_others_could_write_are_refused() {
    let project = Project::with(SECRET);
    project.allow();
    let records = project.home.path(".local/state/secrets-bridge/allowed");
    let record = fs::read_dir(&records).unwrap().next().unwrap().unwrap().path();
    assert_eq!(support::mode(&record), 0o600);
    let refused = |why: &str| {
        project.run(&[], "true").outcome().fails().says("cannot use the records").says(why);
    };
    for directory in [&records, &project.home.path(".local/state/secrets-bridge")] {
        set_mode(directory.clone(), 0o770);
        refused("other users may write to it");
        set_mode(directory.clone(), 0o700);
    }
    set_mode(record.clone(), 0o640);
    refused("other users may read it");
    set_mode(record.clone(), 0o600);
    let contents = fs::read(&record).unwrap();
    for other in [&contents[..contents.len() - 2], b"", &[&contents[..], b"x"].concat()] {
        fs::write(&record, other).unwrap();
        refused("not a record of this version");
    }
    fs::write(&record, contents).unwrap();
    prints_token(&project, &[]);
}
