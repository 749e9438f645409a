//! Promise: a client with the conf that breaks the rules of agent channels loses its connection; the bridge and its
//! policy are not affected.
#![cfg(target_os = "linux")]
// A test names the messages that it expects, and fails for all others.
#![allow(clippy::wildcard_enum_match_arm)]

use std::process::Command;

use crate::peer::{AUDIT, Client, Received, closed, hello, of_kind, records, resident_kib, resuming};
use crate::support::agent::{
    HostKey, Key, LIST, Login, NO, ONE, TWO, bind, listing, public, script, sign_request,
};
use crate::support::require::{OPENSSH, require};
use crate::support::{Bridge, Home, Start as _};
use proto::agent::Identity;
use proto::limits::MAX_CHANNELS;
use proto::limits::{MAX_BINDS, MAX_MESSAGE};
use proto::{ClientMessage, Hello, SessionId};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

/// A bridge with the key `deploy`, for `git.example`.
struct Scene {
    bridge: Bridge,
    key: Key,
    host: HostKey,
}

impl Scene {
    fn new() -> Self {
        Self::with(&[], |_, _| {})
    }

    fn with(args: &[&str], prepare: impl FnOnce(&Home, &mut Command)) -> Self {
        let home = Home::new();
        let key = Key::ed25519(&home, "deploy");
        let host = HostKey::new();
        home.file("known", host.line("git.example"));
        let policy =
            ["--ssh", "default=deploy", "--ssh-allow-host", "git.example", "--ssh-known-hosts", "known"];
        let mut command = home.serve([&policy, &["--audit", AUDIT][..], args].concat());
        prepare(&home, &mut command);
        Self { bridge: Bridge::start(home, command), key, host }
    }

    fn sign(&self, session: &[u8]) -> Vec<u8> {
        sign_request(&self.key.blob, &Login::new(session, &self.key).data(), 0)
    }

    /// A session that has received the agent's known hosts and keys.
    fn begin(&self) -> (Client, SessionId) {
        self.with_hello(&requesting_agent("default"))
    }

    fn with_hello(&self, hello: &Hello) -> (Client, SessionId) {
        let (mut client, session) = Client::with_hello(&self.bridge.conf, hello);
        assert_eq!(
            client.next(),
            Received::Agent(vec![self.host.line("git.example").trim().to_owned()], vec![])
        );
        let identity = Identity { key: self.key.blob.clone(), comment: b"deploy".to_vec() };
        assert_eq!(client.next(), Received::Identities(true, vec![identity]));
        (client, session)
    }

    /// A new session can be started, and signs.
    #[track_caller]
    fn still_serves(&self) {
        let (mut client, _) = self.begin();
        send(&mut client, 0, &self.host.bind(&ONE));
        send(&mut client, 0, &self.sign(&ONE));
        assert!(
            matches!(client.next(), Received::Answer(0, answer, refusal) if answer[0] == 14 && refusal.is_empty())
        );
        client.close();
    }
}

/// The hello of a session that requests `agent`.
fn requesting_agent(agent: &str) -> Hello {
    Hello { agent: Some(agent.parse().unwrap()), ..hello(&[]) }
}

fn send(client: &mut Client, channel: u32, message: &[u8]) {
    client.send(Message::binary(ClientMessage::Agent { channel, message }.encode()));
}

fn close(client: &mut Client, channel: u32) {
    client.send(Message::binary(ClientMessage::Close { channel }.encode()));
}

fn list_again(client: &mut Client) {
    client.send(Message::binary(ClientMessage::ListAgain.encode()));
}

#[test]
fn a_violation_of_the_channel_rules_closes_the_connection() {
    require!(OPENSSH);
    let scene = Scene::new();
    type Violation = fn(&mut Client);
    let violations: [(&str, Violation); 12] = [
        ("a channel that is not the next", |client| send(client, 1, LIST)),
        ("the highest channel number", |client| send(client, u32::MAX, LIST)),
        ("a skipped channel number", |client| {
            send(client, 0, LIST);
            send(client, 2, LIST);
        }),
        ("closing a channel that was never opened", |client| close(client, 0)),
        ("closing twice", |client| {
            send(client, 0, LIST);
            close(client, 0);
            close(client, 0);
        }),
        ("a message on a closed channel", |client| {
            send(client, 0, LIST);
            close(client, 0);
            send(client, 0, LIST);
        }),
        ("an empty message", |client| client.send(Message::binary(vec![0x83, 2, 0, 0x40]))),
        ("a message over the limit", |client| send(client, 0, &vec![99; MAX_MESSAGE + 1])),
        ("a byte after the message", |client| {
            client.send(Message::binary([ClientMessage::ListAgain.encode(), vec![0]].concat()));
        }),
        ("a channel's number in a longer form", |client| {
            client.send(Message::binary(vec![0x83, 2, 0x18, 0, 0x41, 11]));
        }),
        ("text", |client| client.send(Message::text("list"))),
        ("one channel over the limit", |client| {
            for channel in 0..=u32::try_from(MAX_CHANNELS).unwrap() {
                send(client, channel, &[99]);
            }
        }),
    ];
    let count = violations.len();
    for (what, violate) in violations {
        let (mut client, _) = scene.begin();
        violate(&mut client);
        let last = loop {
            match client.next() {
                Received::Answer(..) => {}
                other => break other,
            }
        };
        assert_eq!(last, closed(CloseCode::Protocol), "{what}");
        scene.still_serves();
    }
    let records = records(&scene.bridge);
    let ended = of_kind(&records, "session-ended");
    let broken = ended.iter().filter(|record| record["how"] == "protocol-error").count();
    assert_eq!((broken, ended.len()), (count, 2 * count), "{ended:?}");
}

#[test]
fn a_session_without_an_agent_has_no_channels() {
    require!(OPENSSH);
    let scene = Scene::new();
    // Neither has a session that requested an agent which is not offered: `welcome` lists those that are.
    for hello in [hello(&[]), requesting_agent("missing")] {
        let requests: [fn(&mut Client); 3] =
            [|client| send(client, 0, LIST), |client| close(client, 0), list_again];
        for send_request in requests {
            let (mut client, _) = Client::with_hello(&scene.bridge.conf, &hello);
            send_request(&mut client);
            assert_eq!(client.next(), closed(CloseCode::Protocol), "{hello:?}");
        }
    }
    scene.still_serves();
}

#[test]
fn closing_a_channel_at_the_limit_makes_room_for_another() {
    require!(OPENSSH);
    let scene = Scene::new();
    let (mut client, _) = scene.begin();
    let all = u32::try_from(MAX_CHANNELS).unwrap();
    for channel in 0..3 * all {
        if channel >= all {
            close(&mut client, channel - all);
        }
        send(&mut client, channel, LIST);
        assert_eq!(client.next(), Received::Answer(channel, listing(&[&scene.key]), String::new()));
    }
    client.close();
}

#[test]
fn a_request_before_the_last_answer_ends_the_connection() {
    require!(OPENSSH);
    // The prompt stays unanswered until the end of the test.
    let scene = Scene::with(&["--ssh-confirm"], |home, command| {
        home.program("mkfifo", ["never"]).outcome().succeeds();
        let ask = script(home, "ask", "echo asked >&2; exec cat never");
        command.env("SSH_ASKPASS", ask).env("SSH_ASKPASS_REQUIRE", "force");
    });
    let (mut client, _) = scene.begin();
    send(&mut client, 0, &scene.host.bind(&ONE));
    send(&mut client, 0, &scene.sign(&ONE));
    scene.bridge.process.says("asked");
    send(&mut client, 0, LIST);
    assert!(matches!(client.next(), Received::Closed(Some(code)) if code == u16::from(CloseCode::Protocol)));
    let (mut client, _) = scene.begin();
    send(&mut client, 0, LIST);
    assert_eq!(client.next(), Received::Answer(0, listing(&[&scene.key]), String::new()));
    client.close();
}

#[test]
fn the_host_counts_binds_itself() {
    require!(OPENSSH);
    let scene = Scene::new();
    let (mut client, _) = scene.begin();
    let session = |number: usize| [u8::try_from(number).unwrap(); 32];
    for number in 0..MAX_BINDS {
        send(&mut client, 0, &scene.host.bind(&session(number)));
        send(&mut client, 0, &scene.sign(&session(number)));
        assert!(matches!(client.next(), Received::Answer(0, answer, _) if answer[0] == 14));
    }
    send(&mut client, 0, &scene.host.bind(&session(MAX_BINDS)));
    send(&mut client, 0, &scene.sign(&session(MAX_BINDS)));
    let refused = Received::Answer(0, NO.to_vec(), "more than 16 session-binds on one connection".to_owned());
    assert_eq!(client.next(), refused);
    send(&mut client, 0, &scene.sign(&session(MAX_BINDS - 1)));
    assert_eq!(client.next(), refused);
    client.close();
    scene.still_serves();
}

#[test]
fn a_repeated_bind_takes_no_more_memory() {
    require!(OPENSSH);
    let home = Home::new();
    Key::ed25519(&home, "deploy");
    let authority = Key::ed25519(&home, "authority");
    let host = HostKey::new();
    home.file("host.pub", host.line("").trim_start());
    let principals = (0..200).map(|number| format!("{number:0>200}")).collect::<Vec<_>>().join(",");
    home.program("ssh-keygen", ["-q", "-I", "host", "-h", "-n", &principals, "-s"])
        .args([&authority.path, &home.path("host.pub")])
        .outcome()
        .succeeds();
    let certificate = public(&home.path("host-cert.pub"));
    assert!(certificate.len() > 40_000);
    let bridge = Bridge::serve_in(home, ["--ssh", "default=deploy"]);
    let (mut client, _) = Client::with_hello(&bridge.conf, &requesting_agent("default"));
    assert!(matches!((client.next(), client.next()), (Received::Agent(..), Received::Identities(..))));
    let message = bind(&certificate, &ONE, &host.sign(&ONE), false);
    let mut repeat = |times| {
        for _ in 0..times {
            (0..MAX_BINDS).for_each(|_| send(&mut client, 0, &message));
            send(&mut client, 0, LIST);
            assert!(matches!(client.next(), Received::Answer(0, ..)));
        }
        resident_kib(&bridge)
    };
    let (before, after) = (repeat(10), repeat(100));
    assert!(after < before + (16 << 10), "{before} KiB became {after} KiB");
}

#[test]
fn no_bind_outlives_its_channel_or_its_connection() {
    require!(OPENSSH);
    let scene = Scene::new();
    let (mut client, session) = scene.begin();
    let no_bind = |client: &mut Client, channel| {
        send(client, channel, &scene.sign(&ONE));
        match client.next() {
            Received::Answer(number, answer, why) => {
                assert_eq!((number, &answer[..]), (channel, NO));
                assert!(why.contains("no session-bind"), "{why}");
            }
            other => panic!("{other:?}"),
        }
    };
    send(&mut client, 0, &scene.host.bind(&ONE));
    send(&mut client, 0, &scene.sign(&ONE));
    assert!(matches!(client.next(), Received::Answer(0, answer, _) if answer[0] == 14));
    no_bind(&mut client, 1);
    close(&mut client, 0);
    no_bind(&mut client, 2);
    // The session survives a broken connection; its channels do not.
    drop(client);
    let (mut client, same) = scene.with_hello(&resuming(session, requesting_agent("default")));
    assert_eq!(same, session);
    no_bind(&mut client, 0);
    send(&mut client, 0, &scene.host.bind(&TWO));
    send(&mut client, 0, &scene.sign(&TWO));
    assert!(matches!(client.next(), Received::Answer(0, answer, _) if answer[0] == 14));
    client.close();
}
