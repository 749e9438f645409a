//! `serve --agent-socket`: an agent socket on this host, under the same policy as the agents of builds.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;

use rustix::process::Signal;

use crate::peer::{AUDIT, of_kind, records};
use crate::support::agent::{
    AgentClient, HostKey, Key, LIST, Login, NO, ONE, SshAgent, TWO, YES, framed, listing, ssh_add,
};
use crate::support::require::{OPENSSH, require};
use crate::support::{Bridge, Home, Start as _, mode};

/// A bridge with a key of an agent, allowed for `git.example`, at the socket `offered`.
struct Scene {
    bridge: Bridge,
    agent: SshAgent,
    key: Key,
    private: Key,
    host: HostKey,
}

impl Scene {
    fn new() -> Self {
        let home = Home::new();
        let agent = SshAgent::start(&home);
        let [key, private] = ["deploy", "private"].map(|comment| Key::ed25519(&home, comment));
        agent.add(&home, &key);
        agent.add(&home, &private);
        let host = HostKey::new();
        home.file("known", host.line("git.example"));
        let policy =
            ["-A", "--ssh-key", "deploy", "--ssh-allow-host", "git.example", "--ssh-known-hosts", "known"];
        let mut command =
            home.serve([&policy[..], &["--agent-socket", "offered", "--audit", AUDIT]].concat());
        command.env("SSH_AUTH_SOCK", &agent.socket);
        Self { bridge: Bridge::start(home, command), agent, key, private, host }
    }

    fn socket(&self) -> PathBuf {
        self.bridge.home.path("offered")
    }

    fn connect(&self) -> AgentClient {
        AgentClient::at(&self.socket())
    }
}

/// A bridge with one key from a file, offered at `socket`.
fn serve(home: &Home, socket: &str) -> std::process::Command {
    home.serve(["--ssh", "default=deploy", "--agent-socket", socket])
}

fn home_with_key() -> (Home, Key) {
    let home = Home::new();
    let key = Key::ed25519(&home, "deploy");
    (home, key)
}

#[test]
fn the_socket_has_the_same_policy_as_builds() {
    require!(OPENSSH);
    let scene = Scene::new();
    assert_eq!(mode(scene.socket()), 0o600);
    let mut client = scene.connect();
    assert_eq!(client.ask(LIST), listing(&[&scene.key]));
    let login = Login::new(&ONE, &scene.key);
    client.cannot_log_in(login);
    client.binds(&scene.host.bind(&ONE));
    client.logs_in(login);
    client.cannot_log_in(Login { session: &TWO, ..login });
    client.cannot_log_in(Login { key: &scene.private.blob, ..login });
    assert_eq!(client.ask(&[19]), NO);
    assert_eq!(client.ask(&scene.host.bind(&ONE)), YES);
    // In `exec` a bind is acknowledged without a round trip to the host; here the host itself refuses it at once.
    assert_eq!(client.ask(&HostKey::new().bind(&TWO)), NO);
    client.cannot_log_in(login);
    let mut client = scene.connect();
    client.binds(&scene.host.bind(&ONE));
    client.logs_in(login);

    let before = scene.agent.keys(&scene.bridge.home);
    for args in [&["-D"][..], &["-x"], &["-X"]] {
        assert_ne!(ssh_add(&scene.bridge.home, &scene.socket(), args).code(), Some(0));
    }
    assert_eq!(scene.agent.keys(&scene.bridge.home), before);
    scene
        .bridge
        .process
        .says("--agent-socket: SSH agent request refused: the session id is not the bound one");
    let records = records(&scene.bridge);
    let reasons: Vec<_> =
        of_kind(&records, "agent-refused").iter().map(|record| record["reason"].clone()).collect();
    let refused = ["no-bind", "other-session", "key-not-offered", "changes-agent", "host-not-allowed"];
    assert_eq!(reasons[..5], refused);
    assert!(
        reasons[5..].iter().all(|reason| reason == "host-not-allowed" || reason == "changes-agent"),
        "{reasons:?}"
    );
    let signed = of_kind(&records, "agent-signature");
    assert_eq!(signed.len(), 2);
    for record in signed {
        assert_eq!(record["host"], "git.example");
        // The client is a process of this host: it has no session and no peer address.
        assert!(record.get("session").is_none() && record.get("peer").is_none(), "{record}");
    }
}

#[test]
fn invalid_frames_end_only_their_connection() {
    require!(OPENSSH);
    let (home, key) = home_with_key();
    let bridge = Bridge::start(Home::new(), serve(&home, "offered"));
    let socket = home.path("offered");
    let mut other = AgentClient::at(&socket);
    for bad in [&[0, 0, 0, 0][..], &[0xff; 4], &[0, 4, 0, 1, 11], &[0, 0, 0, 9, 11], &[0, 0]] {
        let mut client = AgentClient::at(&socket);
        client.send(bad);
        client.stop_sending();
        assert_eq!(client.next(), None);
        other.logs_in(Login::new(&ONE, &key));
    }
    other.send(&[framed(LIST), framed(&[99]), framed(LIST)].concat());
    for answer in [listing(&[&key]), NO.to_vec(), listing(&[&key])] {
        assert_eq!(other.next().unwrap(), answer);
    }
    bridge.end();
}

#[test]
fn a_restarted_agent_lists_and_signs() {
    require!(OPENSSH);
    let scene = Scene::new();
    let home = &scene.bridge.home;
    let mut client = scene.connect();
    assert_eq!(client.ask(LIST), listing(&[&scene.key]));
    let socket = scene.agent.socket.clone();
    scene.agent.end();
    assert_eq!(client.ask(LIST), NO);
    let agent = SshAgent::at(home, socket);
    agent.add(home, &scene.key);
    assert_eq!(client.ask(LIST), listing(&[&scene.key]));
    // The same if no request came while the agent was down.
    agent.end();
    let agent = SshAgent::start(home);
    agent.add(home, &scene.key);
    agent.add(home, &scene.private);
    assert_eq!(client.ask(LIST), listing(&[&scene.key]));
    client.binds(&scene.host.bind(&ONE));
    client.logs_in(Login::new(&ONE, &scene.key));
}

#[test]
fn each_agent_can_have_a_socket() {
    require!(OPENSSH);
    let (home, deploy) = home_with_key();
    let other = Key::ed25519(&home, "other");
    let args = ["--ssh", "default=deploy", "--ssh", "ci=other", "--agent-socket", "one", "--agent-socket"];
    let bridge = Bridge::serve_in(home, [&args[..], &["ci=two"]].concat());
    for (socket, key) in [("one", deploy), ("two", other)] {
        assert_eq!(AgentClient::at(&bridge.home.path(socket)).ask(LIST), listing(&[&key]));
    }
    bridge
        .home
        .serve(["--ssh", "ci=other", "--agent-socket", "three"])
        .outcome()
        .fails()
        .says("no agent default");
    bridge
        .home
        .serve(["--agent-socket", "three"])
        .outcome()
        .fails()
        .says("no SSH agent is offered: add -A or --ssh");
}

#[test]
fn the_socket_ends_with_the_bridge_and_a_stale_one_is_replaced() {
    require!(OPENSSH);
    let (home, key) = home_with_key();
    let path = home.path("offered");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let bridge = Bridge::start(Home::new(), serve(&home, "offered"));
        let mut client = AgentClient::at(&path);
        client.logs_in(Login::new(&ONE, &key));
        bridge.process.signal(signal);
        bridge.process.exits();
        assert!(!path.exists(), "{signal:?}");
        // Open connections are closed.
        assert_eq!(client.next(), None);
    }
    let bridge = Bridge::start(Home::new(), serve(&home, "offered"));
    bridge.sigkill();
    assert!(path.exists());
    let bridge = Bridge::start(Home::new(), serve(&home, "offered"));
    assert_eq!(mode(&path), 0o600);
    AgentClient::at(&path).logs_in(Login::new(&ONE, &key));
    bridge.end();
    assert!(!path.exists());
}

#[test]
fn files_of_others_are_neither_replaced_nor_removed() {
    require!(OPENSSH);
    let (home, key) = home_with_key();
    let path = home.path("offered");
    // Another process listens there.
    let listener = UnixListener::bind(&path).unwrap();
    serve(&home, "offered").outcome().fails().says("offered").says("another process listens there");
    UnixStream::connect(&path).unwrap();
    drop(listener);
    // The path is not a socket.
    home.file("text", "mine");
    std::fs::create_dir(home.path("directory")).unwrap();
    std::os::unix::fs::symlink(&path, home.path("link")).unwrap();
    for name in ["text", "directory", "link"] {
        serve(&home, name).outcome().fails().says(name).says("the file exists and is not a socket");
    }
    assert_eq!(home.read("text"), "mine");
    serve(&home, "nowhere/offered").outcome().fails().says("nowhere/offered");
    std::os::unix::fs::symlink("directory", home.path("link-to-directory")).unwrap();
    serve(&home, "link-to-directory/offered").outcome().fails().says("is a symbolic link in a repository");
    assert_eq!(std::fs::read_dir(home.path("directory")).unwrap().count(), 0);
    // Another process replaced the socket meanwhile.
    let bridge = Bridge::start(Home::new(), serve(&home, "offered"));
    AgentClient::at(&path).logs_in(Login::new(&ONE, &key));
    std::fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    bridge.end();
    UnixStream::connect(&path).unwrap();
    drop(listener);
}
