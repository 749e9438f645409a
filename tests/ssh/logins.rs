//! SSH with the host's keys, real clients and real servers: logins work at allowed hosts and nowhere else.
#![cfg(target_os = "linux")]

use std::fs;

use serde_json::Value;

use crate::support;
use crate::support::require::{RSYNC, find, require};
use crate::support::ssh::{AUDIT, SSH_SERVER, Scene, records};
use crate::support::{Bridge, Start as _};

/// The system's `ssh`, as a build could call it past our wrapper, without a check of the host key.
fn ssh_without_host_key_check() -> String {
    format!("{} -oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null", find("ssh").unwrap().display())
}

#[test]
fn git_over_ssh_leaves_nothing_but_the_clone() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let repository = scene.repository("project", &[]);
    let bridge = scene.serve(&[]);
    let git = |arguments: &[&str]| {
        scene.exec(&bridge.conf, [&["--", "git"], arguments].concat()).outcome().succeeds()
    };
    git(&["clone", "--quiet", &scene.url(&scene.server, &repository.path), "clone"]);
    assert_eq!(scene.home.read("clone/file"), "project\n");

    fs::write(scene.home.path("clone/file"), "changed\n").unwrap();
    scene.program("git", ["-C", "clone", "commit", "--quiet", "--all", "-m", "two"]).outcome().succeeds();
    git(&["-C", "clone", "push", "--quiet", "origin", "main"]);
    git(&["-C", "clone", "fetch", "--quiet", "origin"]);
    let show = ["--git-dir", repository.path.to_str().unwrap(), "show", "main:file"];
    scene.program("git", show).outcome().succeeds().prints("changed\n");

    scene.has_left_only(&["clone"]);
    let signatures = records(&bridge, "agent-signature");
    assert_eq!(signatures.len(), 3);
    for signature in signatures {
        assert_eq!(signature["verdict"], "granted");
        assert_eq!(signature["host"], scene.server.name());
        assert_eq!(signature["user"], scene.user);
        assert_eq!(signature["key"], scene.key.fingerprint());
        assert_eq!(signature["comment"], "deploy key");
    }
}

#[test]
fn ssh_logs_in_and_passes_input_output_and_exit_code_on() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let bridge = scene.serve(&[]);
    let mut ssh = scene.exec(&bridge.conf, ["--", "ssh"]);
    ssh.args(scene.destination(&scene.server)).arg("cat; echo told >&2; exit 7");
    ssh.outcome_with("some input").exits_with(7).prints("some input").says("told");
    scene.has_left_only(&[]);
}

#[test]
fn scp_and_sftp_copy_there_and_back() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let bridge = scene.serve(&[]);
    scene.home.file("file", "contents");
    let port = scene.server.port.to_string();
    let there = scene.path("there");
    let remote = format!("{}@127.0.0.1:{}", scene.user, there.display());
    scene.exec(&bridge.conf, ["--", "scp", "-q", "-P", &port, "file", &remote]).outcome().succeeds();
    assert_eq!(fs::read_to_string(&there).unwrap(), "contents");
    scene.exec(&bridge.conf, ["--", "scp", "-q", "-P", &port, &remote, "by-scp"]).outcome().succeeds();
    // The old protocol, without sftp on the other side.
    scene.exec(&bridge.conf, ["--", "scp", "-Oq", "-P", &port, &remote, "by-old-scp"]).outcome().succeeds();
    scene.exec(&bridge.conf, ["--", "sftp", "-q", "-P", &port, &remote, "by-sftp"]).outcome().succeeds();
    let again = there.with_extension("again");
    let host = format!("{}@127.0.0.1", scene.user);
    scene
        .exec(&bridge.conf, ["--", "sftp", "-q", "-b", "-", "-P", &port, &host])
        .outcome_with(format!("put file {}\n", again.display()))
        .succeeds();
    for copy in ["by-scp", "by-old-scp", "by-sftp"] {
        assert_eq!(scene.home.read(copy), "contents", "{copy}");
    }
    assert_eq!(fs::read_to_string(&again).unwrap(), "contents");
    scene.has_left_only(&["by-old-scp", "by-scp", "by-sftp", "file"]);
}

#[test]
fn rsync_copies_there_and_back() {
    require!(SSH_SERVER, RSYNC);
    let scene = Scene::new();
    let bridge = scene.serve(&[]);
    scene.home.file("file", "contents");
    let remote = format!("{}@127.0.0.1:{}", scene.user, scene.path("there").display());
    let shell = format!("ssh -p {}", scene.server.port);
    scene.exec(&bridge.conf, ["--", "rsync", "-e", &shell, "file", &remote]).outcome().succeeds();
    scene.exec(&bridge.conf, ["--", "rsync", "-e", &shell, &remote, "back"]).outcome().succeeds();
    assert_eq!(scene.home.read("back"), "contents");
    scene.has_left_only(&["back", "file"]);
}

#[test]
fn a_login_to_another_host_is_refused_and_reported() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let bridge = scene.serve(&[]);
    // An image may have any known hosts.
    let known = format!("UserKnownHostsFile={}", scene.known_hosts(&[&scene.other]).display());
    let mut ssh = scene.exec(&bridge.conf, ["--", "ssh", "-o", &known]);
    ssh.args(scene.destination(&scene.other)).arg("echo in");
    let line = format!("refused: host {} is not allowed", scene.other.name());
    ssh.outcome().exits_with(255).prints("").says(&line).says("Permission denied (publickey)");
    // A build may skip the check of the host key.
    let script =
        format!("{} {} echo in", ssh_without_host_key_check(), scene.destination_words(&scene.other));
    scene.exec(&bridge.conf, ["--sh", &script]).outcome().exits_with(255).prints("").says(&line);

    bridge
        .process
        .says(&format!("127.0.0.1: SSH agent request refused: host {} is not allowed", scene.other.name()));
    let refused = records(&bridge, "agent-refused");
    assert!(!refused.is_empty());
    for record in &refused {
        assert_eq!(record["reason"], "host-not-allowed");
        assert_eq!(record["detail"], format!("host {} is not allowed", scene.other.name()));
    }
    // User and key are the client's claims.
    assert!(refused.iter().any(|record| record["claimed"]["key"] == scene.key.fingerprint()
        && record["claimed"]["user"] == *scene.user));
    assert!(records(&bridge, "agent-signature").is_empty());
}

#[test]
fn ssh_does_not_know_a_host_that_is_not_allowed() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let bridge = scene.serve(&[]);
    let mut ssh = scene.exec(&bridge.conf, ["--", "ssh"]);
    // The wrapper's options come first, and ssh uses the first value of an option.
    ssh.arg("-oStrictHostKeyChecking=no").args(scene.destination(&scene.other)).arg("echo in");
    ssh.outcome().exits_with(255).prints("").says("Host key verification failed");
    scene.has_left_only(&[]);
}

#[test]
fn an_impostor_at_the_allowed_address_is_rejected_by_ssh() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let bridge = scene.serve(&[]);
    scene.server.is_impersonated_by(&scene.other);
    let mut ssh = scene.exec(&bridge.conf, ["--", "ssh"]);
    ssh.args(scene.destination(&scene.server)).arg("echo in");
    ssh.outcome().exits_with(255).prints("").says("Host key verification failed");
    assert_eq!(scene.server.connections(), 1);
    assert!(records(&bridge, "agent-signature").is_empty());
}

#[test]
fn an_impostor_that_ssh_accepts_is_refused_by_the_bridge() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let bridge = scene.serve(&[]);
    scene.server.is_impersonated_by(&scene.other);
    let script =
        format!("{} {} echo in", ssh_without_host_key_check(), scene.destination_words(&scene.server));
    let line = format!("refused: host {} is not allowed", scene.other.name());
    scene.exec(&bridge.conf, ["--sh", &script]).outcome().exits_with(255).prints("").says(&line);
}

#[test]
fn a_login_as_another_user_is_refused() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let login = |bridge: &Bridge| {
        let mut ssh = scene.exec(&bridge.conf, ["--", "ssh"]);
        ssh.args(scene.destination(&scene.server)).arg("echo in").outcome()
    };
    login(&scene.serve(&["--ssh-allow-user", "git", "--ssh-allow-user", &scene.user]))
        .succeeds()
        .prints("in\n");
    let bridge = scene.serve(&["--ssh-allow-user", "git"]);
    login(&bridge).exits_with(255).says(&format!("refused: user {} is not allowed", scene.user));
    let refused = records(&bridge, "agent-refused");
    let record = refused.last().unwrap();
    assert_eq!(
        (&record["reason"], &record["host"]),
        (&"user-not-allowed".into(), &scene.server.name().into())
    );
    assert_eq!(record["claimed"]["user"], *scene.user);
}

#[test]
fn a_key_for_one_host_is_not_offered_to_another() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    // The agent holds one key, which ssh-add restricted to the other host.
    scene.agent.remove_all_keys();
    let known_hosts = scene.known_hosts(&[&scene.server, &scene.other]);
    let name = scene.other.name();
    scene.agent.add_with(&scene.key, &["-h", &name, "-H", known_hosts.to_str().unwrap()]);

    let bridge = scene.serve(&["--ssh-allow-host", &name]);
    let login = |server| {
        let mut ssh = scene.exec(&bridge.conf, ["--", "ssh", "-v"]);
        ssh.args(scene.destination(server)).arg("echo in").outcome()
    };
    login(&scene.other).succeeds().prints("in\n").says("Offering public key: deploy key");
    let refused = login(&scene.server).exits_with(255).prints("").says("Permission denied (publickey)");
    refused.never_says("deploy key").never_says("refused:");
    let signatures = records(&bridge, "agent-signature");
    assert_eq!(signatures.len(), 1);
    assert_eq!(signatures[0]["host"], name);
}

#[test]
fn an_agent_for_every_host_gives_one_warning() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let home = support::Home::new();
    let mut serve = home.serve(["-A", "--audit", AUDIT]);
    serve.env("SSH_AUTH_SOCK", &scene.agent.socket);
    let bridge = Bridge::start(home, serve);
    for server in [&scene.server, &scene.other] {
        let script = format!("{} {} echo in", ssh_without_host_key_check(), scene.destination_words(server));
        scene.exec(&bridge.conf, ["--sh", &script]).outcome().succeeds().prints("in\n");
    }
    // Without allowed hosts ssh gets no wrapper: it uses the known hosts of the image.
    let mut ssh = scene.exec(&bridge.conf, ["--", "ssh", "-oBatchMode=yes"]);
    ssh.args(scene.destination(&scene.server)).arg("true");
    ssh.outcome().exits_with(255).says("Host key verification failed");
    let stderr = bridge.end().stderr;
    let warning = "without --ssh-allow-host, the build may log in to any host with every key of the agent";
    assert_eq!(stderr.matches(warning).count(), 1, "{stderr}");
}

#[test]
fn a_fingerprint_is_enough_without_a_known_hosts_entry() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let home = support::Home::new();
    let nothing = home.file("empty", "");
    let agent = format!("default={}", scene.agent.socket.display());
    let spec = format!("{}={}", scene.server.name(), scene.server.fingerprint());
    let usual = ["--ssh", &agent, "--ssh-known-hosts", nothing.to_str().unwrap(), "--audit", AUDIT];
    let bridge = Bridge::serve_in(home, [&usual[..], &["--ssh-allow-host", &spec]].concat());
    let known = format!("UserKnownHostsFile={}", scene.known_hosts(&[&scene.server, &scene.other]).display());
    let login = |server| {
        let mut ssh = scene.exec(&bridge.conf, ["--", "ssh", "-o", &known]);
        ssh.args(scene.destination(server)).arg("echo in").outcome()
    };
    login(&scene.server).succeeds().prints("in\n");
    let line = format!("refused: host key {} is not allowed", scene.other.fingerprint());
    login(&scene.other).exits_with(255).says(&line);
    let signatures = records(&bridge, "agent-signature");
    assert_eq!((signatures.len(), &signatures[0]["host"]), (1, &scene.server.name().into()));
}

#[test]
fn a_fingerprint_that_contradicts_known_hosts_is_refused() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let spec = format!("{}={}", scene.server.name(), scene.new_key("unrelated").fingerprint());
    let bridge = scene.serve_with(&["--ssh-allow-host", &spec]);
    let script =
        format!("{} {} echo in", ssh_without_host_key_check(), scene.destination_words(&scene.server));
    let line = format!("refused: host {} is not allowed", scene.server.name());
    scene.exec(&bridge.conf, ["--sh", &script]).outcome().exits_with(255).prints("").says(&line);
}

#[test]
fn one_login_serves_all_commands_of_a_shared_connection() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let bridge = scene.serve(&[]);
    let there = scene.destination_words(&scene.server);
    let script = format!(
        "set -e
         ssh -M -S ./control -fN {there}
         ssh -S ./control {there} echo one
         ssh -S ./control {there} echo two
         ssh -S ./control -O exit {there} 2>/dev/null"
    );
    scene.exec(&bridge.conf, ["--sh", &script]).outcome().succeeds().prints("one\ntwo\n");
    assert_eq!(records(&bridge, "agent-signature").len(), 1);
}

#[test]
fn an_allowed_host_can_be_a_jump_host() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let jump = format!("{}@127.0.0.1:{}", scene.user, scene.server.port);
    let other = scene.other.name();
    let through = |bridge: &Bridge| {
        let mut ssh = scene.exec(&bridge.conf, ["--", "ssh", "-J", &jump]);
        ssh.args(scene.destination(&scene.other)).arg("echo in").outcome()
    };
    let bridge = scene.serve(&["--ssh-allow-host", &other]);
    through(&bridge).succeeds().prints("in\n");
    let hosts: Vec<Value> =
        records(&bridge, "agent-signature").iter().map(|record| record["host"].clone()).collect();
    assert_eq!(hosts, [scene.server.name(), other]);
    scene.has_left_only(&[]);

    // A jump host that is allowed does not make the destination allowed.
    let bridge = scene.serve(&[]);
    through(&bridge).exits_with(255).prints("").says("Host key verification failed");
}

#[test]
fn a_forwarded_agent_signs_only_if_forwarding_is_allowed() {
    require!(SSH_SERVER);
    let scene = Scene::new();
    let other = scene.other.name();
    let further =
        format!("{} {} echo in", ssh_without_host_key_check(), scene.destination_words(&scene.other));
    let login = |bridge: &Bridge| {
        let mut ssh = scene.exec(&bridge.conf, ["--", "ssh", "-A"]);
        ssh.args(scene.destination(&scene.server)).arg(&further).outcome()
    };
    let bridge = scene.serve(&["--ssh-allow-host", &other]);
    let line = format!("refused: the agent was forwarded to {}, which is not allowed", scene.server.name());
    login(&bridge).exits_with(255).prints("").says(&line);
    let refused = records(&bridge, "agent-refused");
    assert!(refused.iter().any(|record| record["reason"] == "forwarded"), "{refused:?}");

    let bridge = scene.serve(&["--ssh-allow-host", &other, "--ssh-allow-forwarding"]);
    login(&bridge).succeeds().prints("in\n");
    assert_eq!(records(&bridge, "agent-signature").len(), 2);

    // Allowed forwarding does not allow the next host.
    let bridge = scene.serve(&["--ssh-allow-forwarding"]);
    login(&bridge).exits_with(255).prints("").says(&format!("refused: host {other} is not allowed"));
}
