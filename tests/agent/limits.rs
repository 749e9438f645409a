//! Limits on the use of keys: `--ssh-max-signatures`, and `--ssh-confirm`, which asks a person.
#![cfg(target_os = "linux")]

use std::path::Path;

use crate::peer::{AUDIT, of_kind, records};
use crate::support::agent::{Build, HostKey, Key, Login, ONE, TWO, framed, script, sign_request};
use crate::support::require::{OPENSSH, require};
use crate::support::{Bridge, ForeignProcess, Home, Start as _};

#[test]
fn the_signature_limit_counts_over_all_builds() {
    require!(OPENSSH);
    let home = Home::new();
    let key = Key::ed25519(&home, "deploy");
    let args = ["--ssh", "default=deploy", "--ssh-max-signatures", "3", "--audit", AUDIT];
    let bridge = Bridge::serve_in(home, [&args[..], &["--ssh-allow-user", "git"]].concat());
    let login = Login::new(&ONE, &key);
    let build = Build::start(&bridge, &[]);
    let mut client = build.connect();
    client.logs_in(login);
    client.cannot_log_in(Login { user: "root", ..login }); // does not count
    client.logs_in(login);
    let other = Build::start(&bridge, &[]);
    other.connect().logs_in(login);
    for mut client in [client, build.connect(), other.connect()] {
        client.cannot_log_in(login);
    }
    for build in [build, other] {
        build.end().says("refused: the limit of signatures is reached (--ssh-max-signatures)");
    }
    let records = records(&bridge);
    let signatures = of_kind(&records, "agent-signature");
    let verdicts: Vec<_> = signatures.iter().map(|record| record["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["granted", "granted", "granted", "refused", "refused", "refused"]);
    assert!(signatures[3..].iter().all(|record| record["reason"] == "signature-limit"));
}

/// A bridge with `--ssh-confirm`. The askpass program appends every question to the file `asked` and answers it by the
/// shell commands in the file `answer`.
struct ConfirmScene {
    bridge: Bridge,
    key: Key,
    second: Key,
    git: HostKey,
    other: HostKey,
}

impl ConfirmScene {
    fn new() -> Self {
        let home = Home::new();
        let [key, second] = ["deploy", "second"].map(|comment| Key::ed25519(&home, comment));
        let [git, other] = std::array::from_fn(|_| HostKey::new());
        home.file("known", git.line("git.example") + &other.line("other.example"));
        let commands = "printf '%s %s\\n' \"$SSH_ASKPASS_PROMPT\" \"$1\" >>asked; exec sh ./answer";
        let ask = script(&home, "ask", commands);
        let policy = ["--ssh", "default=deploy,second", "--ssh-confirm", "--ssh-known-hosts", "known"];
        let hosts = ["--ssh-allow-host", "git.example", "--ssh-allow-host", "other.example"];
        let mut command = home.serve([&policy, &hosts[..], &["--audit", AUDIT]].concat());
        command.env("SSH_ASKPASS", ask).env("SSH_ASKPASS_REQUIRE", "force");
        home.file("answer", "exit 0");
        Self { bridge: Bridge::start(home, command), key, second, git, other }
    }

    /// Sets the commands that answer questions from now on.
    fn answers(&self, commands: &str) {
        self.bridge.home.file("answer", commands);
    }

    /// How many questions have been asked.
    fn questions(&self) -> usize {
        let asked = self.bridge.home.path("asked");
        if Path::exists(&asked) {
            self.bridge.home.read("asked").matches("confirm Allow a build").count()
        } else {
            0
        }
    }
}

#[test]
fn confirmation_is_asked_once_per_session_key_user_and_host() {
    require!(OPENSSH);
    let scene = ConfirmScene::new();
    let build = Build::start(&scene.bridge, &[]);
    let bound = |host: &HostKey, session: &[u8]| {
        let mut client = build.connect();
        client.binds(&host.bind(session));
        client
    };
    let login = Login::new(&ONE, &scene.key);
    assert_eq!(scene.questions(), 0);
    bound(&scene.git, &ONE).logs_in(login);
    assert_eq!(scene.questions(), 1);
    let asked = scene.bridge.home.read("asked");
    for text in
        [&scene.key.fingerprint(), "comment: \"deploy\"", "user:    \"git\"", "host:    \"git.example\""]
    {
        assert!(asked.contains(text), "{text:?} in:\n{asked}");
    }
    let mut client = bound(&scene.git, &ONE);
    client.logs_in(login);
    client.binds(&scene.git.bind(&TWO));
    client.logs_in(Login { session: &TWO, ..login });
    assert_eq!(scene.questions(), 1);
    client.logs_in(Login { session: &TWO, user: "root", ..login });
    assert_eq!(scene.questions(), 2);
    client.logs_in(Login { session: &TWO, key: &scene.second.blob, ..login });
    assert_eq!(scene.questions(), 3);
    bound(&scene.other, &ONE).logs_in(login);
    assert_eq!(scene.questions(), 4);
    // A login that is refused anyway causes no question.
    build.connect().cannot_log_in(login);
    assert_eq!(scene.questions(), 4);
    build.end();
    // A new session asks again.
    let build = Build::start(&scene.bridge, &[]);
    let mut client = build.connect();
    client.binds(&scene.git.bind(&ONE));
    client.logs_in(login);
    assert_eq!(scene.questions(), 5);
    build.end();
}

#[test]
fn a_no_holds_for_the_same_use_until_the_session_ends() {
    require!(OPENSSH);
    let scene = ConfirmScene::new();
    let login = Login::new(&ONE, &scene.key);
    for (number, no) in
        ["exit 1", "echo no", "echo maybe", "kill -9 $$", "echo yes; exit 1"].into_iter().enumerate()
    {
        scene.answers(no);
        let build = Build::start(&scene.bridge, &[]);
        for mut client in [build.connect(), build.connect()] {
            client.binds(&scene.git.bind(&ONE));
            client.cannot_log_in(login);
            client.cannot_log_in(login);
        }
        // The person would say yes now, and is not asked again.
        scene.answers("exit 0");
        let mut client = build.connect();
        client.binds(&scene.git.bind(&ONE));
        client.cannot_log_in(login);
        assert_eq!(scene.questions(), number + 1, "{no}");
        let warning = "secrets-bridge: warning: refused: denied by the person at the host\n\
                       secrets-bridge: the last message was repeated 4 times\n";
        assert_eq!(build.end().stderr, warning);
    }
    // Another use of the session, and the same of another session, are asked about.
    let build = Build::start(&scene.bridge, &[]);
    let mut client = build.connect();
    client.binds(&scene.git.bind(&ONE));
    scene.answers("exit 1");
    client.cannot_log_in(login);
    scene.answers("exit 0");
    client.logs_in(Login { user: "root", ..login });
    assert_eq!(scene.questions(), 7);
    build.end();
    let records = records(&scene.bridge);
    let signatures = of_kind(&records, "agent-signature");
    let refused: Vec<_> = signatures.iter().filter(|record| record["verdict"] == "refused").collect();
    assert_eq!((signatures.len(), refused.len()), (27, 26));
    assert!(refused.iter().all(|record| record["reason"] == "not-confirmed"));
}

#[test]
fn once_is_one_signature() {
    require!(OPENSSH);
    let scene = ConfirmScene::new();
    scene.answers("echo once");
    let build = Build::start(&scene.bridge, &[]);
    let mut client = build.connect();
    client.binds(&scene.git.bind(&ONE));
    let login = Login::new(&ONE, &scene.key);
    client.logs_in(login);
    client.logs_in(login);
    assert_eq!(scene.questions(), 2);
    scene.answers("echo yes");
    client.logs_in(login);
    client.logs_in(login);
    assert_eq!(scene.questions(), 3);
    let asked = scene.bridge.home.read("asked");
    for text in [
        "Yes allows each use of this key, user and host until this session ends.",
        "\"once\" allows one signature",
        "No refuses each use of this key, user and host until this session ends.",
        "build:   127.0.0.1, session ",
    ] {
        assert!(asked.contains(text), "{text:?} in:\n{asked}");
    }
    build.end();
}

#[test]
fn connections_that_want_the_same_at_once_get_one_question() {
    require!(OPENSSH);
    let scene = ConfirmScene::new();
    scene.bridge.home.program("mkfifo", ["gate"]).outcome().succeeds();
    scene.answers("echo this is a question >&2; cat gate");
    let build = Build::start(&scene.bridge, &[]);
    let login = Login::new(&ONE, &scene.key);
    let mut clients: Vec<_> = std::iter::repeat_with(|| build.connect()).take(20).collect();
    for client in &mut clients {
        client.binds(&scene.git.bind(&ONE));
        client.send(&framed(&sign_request(login.key, &login.data(), 0)));
    }
    scene.bridge.process.says("this is a question");
    std::fs::write(scene.bridge.home.path("gate"), "yes").unwrap();
    for client in &mut clients {
        assert_eq!(client.next().unwrap().first(), Some(&proto::agent::number::SIGN_RESPONSE));
    }
    assert_eq!(scene.questions(), 1);
    build.end();
}

#[test]
fn questions_have_a_rate_for_each_session_and_for_the_bridge() {
    require!(OPENSSH);
    let scene = ConfirmScene::new();
    scene.answers("exit 1");
    for (asked, session) in [(10, 1), (20, 2), (20, 3)] {
        let build = Build::start(&scene.bridge, &[]);
        let mut client = build.connect();
        client.binds(&scene.git.bind(&ONE));
        for user in 0..15 {
            let user = format!("user-{session}-{user}");
            client.cannot_log_in(Login { user: &user, ..Login::new(&ONE, &scene.key) });
        }
        assert_eq!(scene.questions(), asked);
        build.end().says("refused: too many questions to the person at the host");
    }
    let records = records(&scene.bridge);
    let refused = of_kind(&records, "agent-signature");
    let too_many = refused.iter().filter(|record| record["reason"] == "too-many-questions").count();
    assert_eq!((refused.len(), too_many), (45, 25));
}

#[test]
fn a_padded_user_name_draws_no_line_of_the_question() {
    require!(OPENSSH);
    let scene = ConfirmScene::new();
    scene.answers("exit 1");
    let build = Build::start(&scene.bridge, &[]);
    let mut client = build.connect();
    client.binds(&scene.git.bind(&ONE));
    // (Policy refuses names with a line end.)
    let user = format!("git\"{}host:    \"github.com\"", " ".repeat(70));
    client.cannot_log_in(Login { user: &user, ..Login::new(&ONE, &scene.key) });
    let asked = scene.bridge.home.read("asked");
    let hosts: Vec<&str> = asked.lines().filter(|line| line.contains("host: ")).collect();
    assert_eq!(hosts, ["host:    \"git.example\""], "{asked}");
    assert!(asked.contains(r#"user:    "git\"\u{20}\u{20}"#) && !asked.contains("  host:"), "{asked}");
    build.end();
}

#[test]
fn nothing_is_signed_if_the_host_cannot_ask() {
    require!(OPENSSH);
    let home = Home::new();
    let key = Key::ed25519(&home, "deploy");
    let mut command = home.serve(["--ssh", "default=deploy", "--ssh-confirm", "--audit", AUDIT]);
    command.env("SSH_ASKPASS_REQUIRE", "force");
    let bridge = Bridge::start(home, command);
    let build = Build::start(&bridge, &[]);
    build.connect().cannot_log_in(Login::new(&ONE, &key));
    assert_eq!(
        build.end().stderr,
        "secrets-bridge: warning: refused: the host has no way to ask a person (--ssh-confirm)\n"
    );
    let records = records(&bridge);
    assert_eq!(of_kind(&records, "agent-signature")[0]["reason"], "no-way-to-ask");
}

#[test]
fn a_question_is_withdrawn_when_command_has_ended() {
    require!(OPENSSH);
    let scene = ConfirmScene::new();
    scene.bridge.home.program("mkfifo", ["never"]).outcome().succeeds();
    scene.answers("echo this is question $$ >&2; exec cat never");
    let build = Build::start(&scene.bridge, &[]);
    let mut client = build.connect();
    client.binds(&scene.git.bind(&ONE));
    let login = Login::new(&ONE, &scene.key);
    client.send(&framed(&sign_request(login.key, &login.data(), 0)));
    let shown = scene.bridge.process.says("this is question ");
    let question = ForeignProcess::with_id(shown.rsplit(' ').next().unwrap());
    // Other requests are answered meanwhile.
    assert_eq!(build.connect().list().len(), 2);
    build.end();
    question.ends();
    assert_eq!(client.next(), None);
    // The next question is shown at once.
    scene.answers("exit 0");
    let build = Build::start(&scene.bridge, &[]);
    let mut client = build.connect();
    client.binds(&scene.git.bind(&ONE));
    client.logs_in(login);
    build.end();
}

#[test]
fn a_question_is_withdrawn_only_when_the_client_hangs_up() {
    require!(OPENSSH);
    let scene = ConfirmScene::new();
    scene.bridge.home.program("mkfifo", ["never"]).outcome().succeeds();
    scene.answers("echo this is question $$ >&2; exec cat never");
    let build = Build::start(&scene.bridge, &[]);
    let login = Login::new(&ONE, &scene.key);
    let mut gone = build.connect();
    gone.binds(&scene.git.bind(&ONE));
    gone.send(&framed(&sign_request(login.key, &login.data(), 0)));
    let shown = scene.bridge.process.says("this is question ");
    let question = ForeignProcess::with_id(shown.rsplit(' ').next().unwrap());
    drop(gone);
    question.ends();
    // The next question is shown at once. A client that has only stopped sending still gets its answer.
    scene.answers("exit 0");
    let mut client = build.connect();
    client.binds(&scene.git.bind(&ONE));
    client.send(&framed(&sign_request(login.key, &login.data(), 0)));
    client.stop_sending();
    assert_eq!(client.next().unwrap().first(), Some(&proto::agent::number::SIGN_RESPONSE));
    build.end();
}
