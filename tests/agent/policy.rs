//! Promise: the agent of `exec` signs only logins that the policy allows, whatever a build sends, and the agent behind
//! the bridge stays unchanged.

use crate::peer::{AUDIT, of_kind, records};
use crate::support::agent;
use crate::support::agent::{
    AgentClient, Build, HostKey, Key, LIST, Login, NO, ONE, SshAgent, TWO, YES, assert_valid, bind, listing,
    sshsig,
};
use crate::support::require::{OPENSSH, require};
use crate::support::{Bridge, Home, Start as _};

/// A build with the key `deploy`, allowed for two of three known hosts.
struct Scene {
    bridge: Bridge,
    _agent: SshAgent,
    build: Build,
    key: Key,
    /// A key in the same agent that is not offered.
    private: Key,
    git: HostKey,
    other: HostKey,
    evil: HostKey,
}

impl Scene {
    fn new() -> Self {
        Self::with(&[])
    }

    fn with(args: &[&str]) -> Self {
        let home = Home::new();
        let agent = SshAgent::start(&home);
        let [key, private] = ["deploy", "private"].map(|comment| Key::ed25519(&home, comment));
        agent.add(&home, &key);
        agent.add(&home, &private);
        let [git, other, evil] = std::array::from_fn(|_| HostKey::new());
        let known = git.line("git.example") + &other.line("other.example") + &evil.line("evil.example");
        home.file("known", known);
        let policy = ["-A", "--ssh-key", "deploy", "--ssh-known-hosts", "known", "--audit", AUDIT];
        let hosts = ["--ssh-allow-host", "git.example", "--ssh-allow-host", "other.example"];
        let mut command = home.serve([&policy[..], &hosts, args].concat());
        command.env("SSH_AUTH_SOCK", &agent.socket);
        let bridge = Bridge::start(home, command);
        let build = Build::start(&bridge, &[]);
        Self { bridge, _agent: agent, build, key, private, git, other, evil }
    }

    fn connect(&self) -> AgentClient {
        self.build.connect()
    }

    /// A connection that is bound to a session with `git.example`.
    fn bound(&self) -> AgentClient {
        let mut client = self.connect();
        client.binds(&self.git.bind(&ONE));
        client
    }

    fn login<'a>(&'a self, session: &'a [u8]) -> Login<'a> {
        Login::new(session, &self.key)
    }

    /// A well-behaved client lists keys and logs in, on a new connection.
    #[track_caller]
    fn still_serves(&self) {
        let mut client = self.bound();
        assert_eq!(client.ask(LIST), listing(&[&self.key]));
        client.logs_in(self.login(&ONE));
    }

    /// `exec` shows each of these refusals once and nothing else; the reasons in the audit are exactly `reasons`.
    #[track_caller]
    fn was_refused(self, texts: &[&str], reasons: &[&str]) {
        let Self { bridge, build, .. } = self;
        let stderr = build.end().stderr;
        for text in texts {
            assert_eq!(stderr.matches(text).count(), 1, "{text:?} in:\n{stderr}");
        }
        let counts = |line: &&str| line.starts_with("secrets-bridge: the last message was repeated ");
        let lines: Vec<&str> = stderr.lines().filter(|line| !counts(line)).collect();
        assert_eq!(lines.len(), texts.len(), "{stderr}");
        assert!(lines.iter().all(|line| line.starts_with("secrets-bridge: warning: refused: ")), "{stderr}");
        let records = records(&bridge);
        let mut found: Vec<_> = of_kind(&records, "agent-refused")
            .iter()
            .map(|record| {
                assert_eq!((&record["verdict"], &record["agent"]), (&"refused".into(), &"default".into()));
                record["reason"].as_str().unwrap().to_owned()
            })
            .collect();
        found.sort();
        found.dedup();
        let mut reasons = reasons.to_vec();
        reasons.sort_unstable();
        assert_eq!(found, reasons);
    }
}

#[test]
fn a_login_is_signed_for_the_session_that_its_host_signed() {
    require!(OPENSSH);
    let scene = Scene::with(&["--ssh-allow-user", "git"]);
    let mut client = scene.bound();
    let login = scene.login(&ONE);
    client.logs_in(login);
    let (git, other) = (scene.git.public(), scene.other.public());
    for wrong in [
        Login { session: &TWO, ..login },
        Login { host_key: Some(&other), ..login },
        Login { user: "root", ..login },
        Login { user: "git:x", ..login },
        Login { user: "Git", ..login },
    ] {
        client.cannot_log_in(wrong);
        client.logs_in(login);
    }
    client.logs_in(Login { host_key: Some(&git), ..login });
    // A further bind on the same connection is for a login of its own.
    client.binds(&scene.other.bind(&TWO));
    client.cannot_log_in(login);
    client.logs_in(scene.login(&TWO));
    // The binds of one connection do not count for another.
    scene.connect().cannot_log_in(login);
    scene.still_serves();
    let shown = ["root is not allowed", "git:x is not", "Git is not", "request is not the bound one"];
    let session = "the session id is not the bound one";
    let no_bind = "does not say which host it talks to (no session-bind): use OpenSSH 8.9 or later";
    let stderr = {
        let texts = [&shown[..], &[no_bind]].concat();
        let stderr = scene.build.process.stderr();
        assert!(texts.iter().all(|text| stderr.matches(text).count() == 1), "{stderr}");
        // Shown twice: other refusals came in between.
        assert_eq!(stderr.matches(session).count(), 2, "{stderr}");
        stderr
    };
    assert_eq!(stderr.lines().count(), 7, "{stderr}");
    scene.build.end();
    let records = records(&scene.bridge);
    let signed = of_kind(&records, "agent-signature");
    assert_eq!(signed.len(), 9);
    for record in &signed {
        assert_eq!((&record["verdict"], &record["user"]), (&"granted".into(), &"git".into()));
        assert_eq!((&record["key"], &record["comment"]), (&scene.key.fingerprint().into(), &"deploy".into()));
    }
    let hosts: Vec<_> = signed.iter().map(|record| record["host"].as_str().unwrap()).collect();
    assert_eq!(hosts.iter().filter(|host| **host == "other.example").count(), 1);
    assert_eq!(hosts.iter().filter(|host| **host == "git.example").count(), 8);
}

#[test]
fn an_invalid_bind_disables_only_its_connection() {
    require!(OPENSSH);
    let stranger = HostKey::new();
    let unknown = format!("host key {} is not allowed", agent::fingerprint(&stranger.public()));
    type Bad = fn(&Scene, &HostKey) -> Vec<u8>;
    let malformed = "invalid session-bind";
    let forged = "the session-bind is not signed by the host that it names";
    let cases: [(&str, &str, Bad); 12] = [
        (forged, "bind-forged", |scene, _| bind(&scene.git.public(), &ONE, &scene.evil.sign(&ONE), false)),
        // A valid signature, but for another session.
        (forged, "bind-forged", |scene, _| bind(&scene.git.public(), &ONE, &scene.git.sign(&TWO), false)),
        ("host evil.example is not allowed", "host-not-allowed", |scene, _| scene.evil.bind(&ONE)),
        (&unknown, "host-not-allowed", |_, stranger| stranger.bind(&ONE)),
        // A valid bind came before: this one would let another host take over the connection.
        ("already bound to another host or purpose", "bind-contradicts", |scene, _| scene.other.bind(&TWO)),
        ("the agent was forwarded to git.example", "forwarded", |scene, _| scene.git.forwarding_bind(&ONE)),
        (malformed, "bind-malformed", |scene, _| [scene.git.bind(&ONE), vec![0]].concat()),
        (malformed, "bind-malformed", |scene, _| {
            let mut bind = scene.git.bind(&ONE);
            bind.pop();
            bind
        }),
        (malformed, "bind-malformed", |scene, _| scene.git.bind(&[])),
        (malformed, "bind-malformed", |scene, _| scene.git.bind(&ONE[..20])),
        (malformed, "bind-malformed", |scene, _| scene.git.bind(&vec![1; 200 << 10])),
        (malformed, "bind-malformed", |_, _| bind(b"", b"", b"", false)),
    ];
    for (text, reason, bad) in cases {
        let scene = Scene::new();
        let mut client = scene.connect();
        client.binds(&scene.git.bind(&TWO));
        client.logs_in(scene.login(&TWO));
        // A client continues whatever the answer to a bind is, so the bridge refuses the signature.
        assert_eq!(client.ask(&bad(&scene, &stranger)), YES);
        assert_eq!(client.ask(LIST), listing(&[&scene.key]));
        client.cannot_log_in(scene.login(&ONE));
        // No valid bind makes the connection usable again, neither a new one nor the old one repeated.
        client.binds(&scene.git.bind(&ONE));
        client.binds(&scene.git.bind(&TWO));
        client.cannot_log_in(scene.login(&ONE));
        client.cannot_log_in(scene.login(&TWO));
        assert_eq!(client.ask(LIST), listing(&[&scene.key]));
        scene.still_serves();
        scene.was_refused(&[text], &[reason]);
    }
}

#[test]
fn the_last_of_several_binds_counts() {
    require!(OPENSSH);
    let scene = Scene::new();
    let mut client = scene.connect();
    for session in [ONE, TWO, ONE, ONE, TWO] {
        client.binds(&scene.git.bind(&session));
        client.logs_in(scene.login(&session));
    }
    client.cannot_log_in(scene.login(&ONE));
    scene.was_refused(&["the session id is not the bound one"], &["other-session"]);
}

#[test]
fn a_connection_has_sixteen_binds_and_the_next_one_is_refused() {
    require!(OPENSSH);
    let scene = Scene::new();
    let mut client = scene.connect();
    let sessions: [[u8; 32]; 17] = std::array::from_fn(|number| [number as u8; 32]);
    for session in &sessions[..16] {
        client.binds(&scene.git.bind(session));
    }
    client.logs_in(scene.login(&sessions[15]));
    assert_eq!(client.ask(&scene.git.bind(&sessions[16])), NO);
    client.cannot_log_in(scene.login(&sessions[16]));
    client.logs_in(scene.login(&sessions[15]));
    scene.still_serves();
    scene.was_refused(&["the session id is not the bound one"], &["other-session"]);
}

#[test]
fn only_logins_with_the_signing_key_are_signed() {
    require!(OPENSSH);
    let scene = Scene::new();
    let mut client = scene.bound();
    let login = scene.login(&ONE);
    let data = login.data();
    let good = (scene.key.blob.clone(), data.clone(), 0);
    let not_a_login = "not an SSH login request";
    let cases = [
        (not_a_login, "not-a-login", (good.0.clone(), [&data[..], b"\0"].concat(), 0)),
        (not_a_login, "not-a-login", (good.0.clone(), data[..data.len() - 1].to_vec(), 0)),
        (not_a_login, "not-a-login", (good.0.clone(), Vec::new(), 0)),
        (not_a_login, "not-a-login", (good.0.clone(), vec![1; 200 << 10], 0)),
        (not_a_login, "not-a-login", (good.0.clone(), Login { service: "ssh-userauth", ..login }.data(), 0)),
        (
            "the key in the login request",
            "other-key",
            (good.0.clone(), Login { key: &scene.private.blob, ..login }.data(), 0),
        ),
        (
            "the key is not offered",
            "key-not-offered",
            (scene.private.blob.clone(), Login { key: &scene.private.blob, ..login }.data(), 0),
        ),
        (
            "algorithm does not match",
            "algorithm",
            (good.0.clone(), Login { algorithm: "ssh-rsa", ..login }.data(), 0),
        ),
        ("algorithm does not match", "algorithm", (good.0.clone(), data.clone(), 2)),
        ("invalid user name", "user-name", (good.0.clone(), Login { user: "a\nb", ..login }.data(), 0)),
        ("invalid user name", "user-name", (good.0.clone(), Login { user: "", ..login }.data(), 0)),
    ];
    let mut reasons = Vec::new();
    let mut texts = Vec::new();
    for (text, reason, (key, data, flags)) in &cases {
        assert_eq!(client.sign(key, data, *flags), None, "{reason}");
        client.logs_in(login);
        reasons.push(*reason);
        texts.push(*text);
    }
    reasons.dedup();
    texts.dedup();
    scene.was_refused(&texts, &reasons);
}

#[test]
fn files_and_commits_are_signed_in_allowed_namespaces_only() {
    require!(OPENSSH);
    let scene = Scene::new();
    let mut client = scene.connect();
    assert_eq!(client.sign(&scene.key.blob, &sshsig("git"), 0), None);
    scene.still_serves();
    scene.was_refused(&["SSHSIG namespace git is not allowed"], &["namespace-not-allowed"]);

    let scene = Scene::with(&["--ssh-allow-sshsig", "git"]);
    let mut client = scene.connect();
    for wrong in
        [sshsig("file"), sshsig("git "), sshsig("git")[..20].to_vec(), [&sshsig("git")[..], b"\0"].concat()]
    {
        assert_eq!(client.sign(&scene.key.blob, &wrong, 0), None);
        let signature = client.sign(&scene.key.blob, &sshsig("git"), 0).unwrap();
        assert_valid(&scene.key.blob, "ssh-ed25519", &sshsig("git"), &signature);
    }
    let texts = ["namespace file is not", "namespace git  is not", "invalid SSHSIG data"];
    scene.was_refused(&texts, &["namespace-not-allowed", "not-an-sshsig"]);
}

#[test]
fn through_a_forwarded_agent_the_login_must_name_its_host() {
    require!(OPENSSH);
    let scene = Scene::with(&["--ssh-allow-forwarding", "--ssh-allow-sshsig", "git"]);
    let git = scene.git.public();
    let mut client = scene.connect();
    client.binds(&scene.git.forwarding_bind(&ONE));
    let other = scene.other.public();
    client.cannot_log_in(Login { host_key: Some(&git), ..scene.login(&ONE) });
    assert_eq!(client.sign(&scene.key.blob, &sshsig("git"), 0), None);
    client.binds(&scene.other.bind(&TWO));
    client.cannot_log_in(scene.login(&TWO));
    client.logs_in(Login { host_key: Some(&other), ..scene.login(&TWO) });
    // After a bind for a login, no bind for forwarding is accepted.
    client.binds(&scene.git.forwarding_bind(&[3; 32]));
    client.cannot_log_in(Login { host_key: Some(&other), ..scene.login(&TWO) });
    scene.still_serves();
    let texts = [
        "does not say which host it talks to",
        "only login requests are signed through a forwarded agent",
        "as it must through a forwarded agent",
        "bound for a login cannot be bound for forwarding",
    ];
    scene.was_refused(&texts, &["no-bind", "forwarded", "no-hostbound", "bind-order"]);
}

#[test]
fn with_both_proofs_the_login_must_name_the_host_that_is_bound() {
    require!(OPENSSH);
    let scene = Scene::with(&["--ssh-host-proof", "both"]);
    let (git, other) = (scene.git.public(), scene.other.public());
    let mut client = scene.bound();
    client.cannot_log_in(scene.login(&ONE));
    client.cannot_log_in(Login { host_key: Some(&other), ..scene.login(&ONE) });
    client.logs_in(Login { host_key: Some(&git), ..scene.login(&ONE) });
    let texts = ["does not name the host (not publickey-hostbound)", "request is not the bound one"];
    scene.was_refused(&texts, &["no-hostbound", "other-host"]);
}

#[test]
fn a_login_that_names_an_allowed_host_needs_no_bind() {
    require!(OPENSSH);
    let scene = Scene::with(&["--ssh-host-proof", "bind-or-hostbound"]);
    let (git, evil) = (scene.git.public(), scene.evil.public());
    let mut client = scene.connect();
    client.cannot_log_in(scene.login(&ONE));
    client.cannot_log_in(Login { host_key: Some(&evil), ..scene.login(&ONE) });
    client.logs_in(Login { host_key: Some(&git), ..scene.login(&ONE) });
    // Where there is a bind, both must agree.
    client.binds(&scene.other.bind(&TWO));
    client.cannot_log_in(Login { host_key: Some(&git), ..scene.login(&TWO) });
    client.logs_in(scene.login(&TWO));
    scene.still_serves();
    let texts = ["does not say which host", "evil.example is not allowed", "request is not the bound one"];
    scene.was_refused(&texts, &["no-bind", "host-not-allowed", "other-host"]);
}

#[test]
fn a_known_hosts_file_that_does_not_exist_stops_serve() {
    require!(OPENSSH);
    let home = Home::new();
    let agent = SshAgent::start(&home);
    for hosts in [&[] as &[&str], &["--ssh-allow-host", "git.example"]] {
        let mut serve = home.serve([&["-A", "--ssh-known-hosts", "known"] as &[&str], hosts].concat());
        serve.env("SSH_AUTH_SOCK", &agent.socket);
        serve.outcome().fails().says("there is no known_hosts file known");
    }
}
