//! `secrets-bridge.toml`: where it is searched for, what its settings do, and how options override it.
#![cfg(all(feature = "host", feature = "client"))]

use std::fs;

use crate::support;
use crate::support::project::{NAME, Project, set_mode};
use crate::support::require::{MOUNT_NAMESPACE, require};
use crate::support::{BINARY, Start as _};

/// A file that stops `run` if it is found, because it is not approved.
const UNAPPROVED: &str = "once = true\n";

#[test]
fn run_takes_all_settings_from_the_file() {
    let project = Project::with(
        r#"
        listen = "127.0.0.1:0"
        audit = "audit.jsonl"
        [secrets]
        TOKEN = {}
        renamed = { env = "OTHER" }
        file = { src = "sub/token.txt", trim = true }
        mine = { src = "~/mine.txt" }
        "ci/token" = { cmd = "printf 'from a %s' command" }
        [agents]
        default = { keys = ["sub/key"] }
        [ssh]
        allow-host = ["[git.example]:2222=SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU"]
        max-signatures = 1
        "#,
    );
    project.home.file("project/sub/token.txt", "from a file\n");
    project.home.file("mine.txt", "from the home directory");
    let key = project.home.path("project/sub/key");
    let generate = ["-q", "-t", "ed25519", "-N", "", "-C", "the project's key", "-f", key.to_str().unwrap()];
    project.home.program("ssh-keygen", generate).outcome().succeeds();
    project.allow();
    let script =
        "for key in TOKEN renamed file mine ci/token; do $SB print $key; echo; done; $SB exec -- ssh-add -l";
    let mut run = project.run(&[], script);
    run.current_dir(project.home.path("project/sub/deep"));
    let outcome = run.env("TOKEN", "from a variable").env("OTHER", "from another").outcome().succeeds();
    let lines = outcome.text();
    let values = "from a variable\nfrom another\nfrom a file\nfrom the home directory\nfrom a command\n";
    assert!(lines.starts_with(values) && lines.contains("the project's key"), "{lines}");
    assert!(project.home.read("project/audit.jsonl").contains("ci/token"));
}

#[test]
fn serve_in_the_background_uses_the_file() {
    let project = Project::with("listen = \"127.0.0.1:0\"\n[secrets]\nTOKEN = { src = \"token\" }\n");
    project.home.file("project/token", "value");
    project.allow();
    let conf = project.command(["serve", "-d", "log"]).outcome().succeeds().text();
    project.command(["print", "TOKEN", "-c", conf.trim()]).outcome().succeeds().prints("value");
    project.command(["kill", "-c", conf.trim()]).outcome().succeeds();
}

#[test]
fn scan_uses_the_secrets_of_the_file() {
    let project = Project::with("[secrets]\nA = { src = \"a\" }\nB = { src = \"b\" }\n");
    project.home.file("project/a", "xK9-hunter2-Qw7_one");
    project.home.file("project/b", "xK9-hunter2-Qw7_two");
    project.home.file("project/b2", "xK9-hunter2-Qw7_three");
    let layer = tar(&[("x", b"xK9-hunter2-Qw7_one xK9-hunter2-Qw7_two")]);
    let manifest = br#"[{"Config":"c.json","RepoTags":null,"Layers":["l.tar"]}]"#;
    let image = tar(&[("manifest.json", manifest), ("c.json", b"{}"), ("l.tar", &layer)]);
    project.home.file("project/image.tar", image);
    project.command(["scan", "image.tar"]).outcome().fails().says("is not approved");
    project.allow();
    let found = project.command(["scan", "image.tar"]).outcome().exits_with(1).text();
    assert!(found.contains("x: A (raw)") && found.contains("x: B (raw)"), "{found}");
    let found = project.command(["scan", "--secret-from-file", "B=b2", "image.tar"]).outcome().exits_with(1);
    assert!(found.text().contains("x: A (raw)") && !found.text().contains("x: B"), "{}", found.text());

    // `run` scans the image that the file names.
    project.write("scan = \"./image.tar\"\nlisten = \"127.0.0.1:0\"\n[secrets]\nA = { src = \"a\" }\n");
    project.allow();
    assert!(project.run(&[], "true").outcome().exits_with(1).text().contains("x: A (raw)"));
}

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, path, *content).unwrap();
    }
    builder.into_inner().unwrap()
}

#[test]
fn options_override_the_file() {
    let project = Project::with(
        r#"
        listen = "192.0.2.1:1"
        timeout = "1s"
        once = true
        [secrets]
        A = { cmd = "echo never run > ran" }
        B = { cmd = "printf 'b of the file'" }
        [agents]
        default = {}
        [ssh]
        allow-host = ["unknown.example"]
        "#,
    );
    project.allow();
    project.home.file("a", "a of the option");
    let key = project.home.path("key");
    let generate = ["-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()];
    project.home.program("ssh-keygen", generate).outcome().succeeds();
    let (a, agent) =
        (format!("A={}", project.home.path("a").display()), format!("default={}", key.display()));
    let listen = ["--listen", "127.0.0.1:0", "--timeout", "0", "--max-sessions", "2"];
    let host = "git.example=SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU";
    let ours = ["--secret-from-file", &a, "--ssh", &agent, "--ssh-allow-host", host];
    // Each of these settings of the file would have stopped it: the address, the agent without SSH_AUTH_SOCK, the host
    // without a known key.
    project
        .run(&[&listen[..], &ours].concat(), "$SB print A; $SB print B")
        .outcome()
        .succeeds()
        .prints("a of the optionb of the file");
    assert!(!project.home.path("project/ran").exists());
}

#[test]
fn the_search_goes_upwards_and_ends_at_the_repositorys_root() {
    let project = Project::without();
    project.home.file(NAME, UNAPPROVED);
    project.run(&[], "true").current_dir(project.home.path("project/sub/deep")).outcome().succeeds();
    project.write(UNAPPROVED);
    let nearest = project.file();
    let mut run = project.run(&[], "true");
    run.current_dir(project.home.path("project/sub/deep")).outcome().fails().says(nearest.to_str().unwrap());
    // In a worktree or a submodule `.git` is a file.
    fs::remove_file(nearest).unwrap();
    fs::remove_dir(project.home.path("project/.git")).unwrap();
    project.run(&[], "true").outcome().fails().says("is not approved");
    project.home.file("project/.git", "gitdir: elsewhere");
    project.run(&[], "true").outcome().succeeds();
}

#[test]
fn the_search_ends_at_the_home_directory() {
    let project = Project::without();
    project.home.file(NAME, UNAPPROVED);
    fs::remove_dir(project.home.path("project/.git")).unwrap();
    let below = project.home.path("project/sub/deep");
    let run = || {
        let mut run = project.run(&[], "true");
        run.current_dir(&below).env("XDG_STATE_HOME", project.home.path("state"));
        run
    };
    run().outcome().fails().says("is not approved");
    run().env("HOME", project.home.path("project")).outcome().succeeds();
    // A file in the home directory itself is found.
    project.write(UNAPPROVED);
    run().env("HOME", project.home.path("project")).outcome().fails().says("is not approved");
}

#[test]
fn the_search_stops_at_a_world_writable_directory() {
    let project = Project::with(UNAPPROVED);
    set_mode(project.home.path("project"), 0o1777);
    let mut run = project.run(&[], "true");
    run.current_dir(project.home.path("project/sub/deep")).outcome().succeeds();
    // A file in the working directory itself is found even there.
    project.run(&[], "true").outcome().fails().says("is not approved");
}

#[test]
fn the_search_ends_at_the_boundary_of_a_file_system() {
    require!(MOUNT_NAMESPACE);
    let project = Project::with(UNAPPROVED);
    let script = "mount -t tmpfs none sub && mkdir sub/deep && cd sub/deep && echo mounted && exec \"$SB\" run -- true";
    let mut in_mount = project.home.program("unshare", ["--mount", "--map-root-user", "sh", "-c", script]);
    let outcome = in_mount.current_dir(project.home.path("project")).env("SB", BINARY).outcome().succeeds();
    assert!(outcome.text().contains("mounted"));
}

#[test]
fn an_unknown_key_is_reported_with_its_line() {
    let project = Project::with("once = true\n\n[ssh]\nallow-hosts = [\"github.com\"]\n");
    let told = format!("{}, line 4: ssh.allow-hosts: unknown key", project.file().display());
    project.command(["allow"]).outcome().fails().says(&told);
    let sha256 = project.sha256();
    project.run(&["--allow-config", &sha256], "true").outcome().fails().says(&told);
}

#[test]
fn ssh_settings_without_an_agent_are_an_error() {
    let project = Project::with("[ssh]\nallow-host = [\"github.com\"]\n");
    project.allow();
    project.run(&[], "true").outcome().fails().says("no SSH agent is offered");
}

#[test]
fn init_writes_a_file_that_can_be_allowed_and_never_overwrites() {
    let project = Project::without();
    let umask = format!("umask 002; exec {BINARY} init");
    let mut init = project.home.program("sh", ["-c", &umask]);
    init.current_dir(project.home.path("project")).outcome().succeeds().says("secrets-bridge allow");
    assert_eq!(support::mode(project.file()), 0o644);
    project.command(["init"]).outcome().fails().says("cannot write secrets-bridge.toml: File exists");
    project.allow();
    project.run(&[], "true").outcome().succeeds();

    let text = project.home.read("project/secrets-bridge.toml");
    project.write(&text.replace("#NPM_TOKEN = {}", "NPM_TOKEN = {}"));
    project.allow();
    let mut run = project.run(&["--listen", "127.0.0.1:0"], "$SB print NPM_TOKEN");
    run.env("NPM_TOKEN", "value").outcome().succeeds().prints("value");
}
