//! A bridge that offers an agent and then does what it likes: it cannot stop the client from reading, nor flood its log.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;

use proto::agent::{Identity, SESSION_BIND, number};
use proto::limits::{MAX_CHANNELS, MAX_DETAIL};
use proto::{ClientMessage, HostMessage, Untrusted};
use tokio_tungstenite::tungstenite::Message;

use crate::peer::{FakeBridge, ServerSocket, send, until_closed};
use crate::support::agent::{bind, framed, sign_request};
use crate::support::{Home, LIMIT, Process, Start as _};

fn identities(socket: &mut ServerSocket, identities: Vec<Identity>) {
    send(socket, &HostMessage::Identities { fixed: true, identities });
}

fn offer_agent(socket: &mut ServerSocket) {
    send(socket, &HostMessage::Welcome { agents: vec!["default".parse().unwrap()] });
    send(socket, &HostMessage::Agent { known_hosts: vec![], git_keys: vec![] });
    identities(socket, vec![]);
}

/// Answers `count` requests with failure, and `refusal` of the number of the answer.
fn refuse(socket: &mut ServerSocket, count: usize, refusal: impl Fn(usize) -> String) {
    let mut answered = 0;
    while answered < count {
        let Message::Binary(payload) = socket.read().unwrap() else { continue };
        if let ClientMessage::Agent { channel, .. } = ClientMessage::decode(&payload).unwrap() {
            let refusal = Untrusted::new(refusal(answered));
            send(socket, &HostMessage::Answer { channel, answer: vec![number::FAILURE].into(), refusal });
            answered += 1;
        }
    }
}

/// `exec` with a COMMAND that prints the socket of its agent and waits for its stdin to end.
fn exec(home: &Home, bridge: &FakeBridge) -> (Process, String) {
    let exec = home
        .command(["exec", "--leaks=off", "--sh", "echo \"$SSH_AUTH_SOCK\"; read -r line || true"])
        .env("BRIDGE_CONF", &bridge.conf)
        .stdin(Stdio::piped())
        .start();
    let socket = exec.prints_line();
    (exec, socket)
}

fn connect(socket: &str) -> UnixStream {
    let stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// Whether the answer is a failure.
fn is_refused(stream: &mut UnixStream) -> bool {
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).unwrap();
    answer == *framed(&[number::FAILURE])
}

#[test]
fn a_bridge_that_reads_nothing_until_it_has_written_blocks_no_client() {
    let (written, all_written) = mpsc::channel();
    let bridge = FakeBridge::new(move |socket, _| {
        offer_agent(socket);
        for () in all_written.iter().take(MAX_CHANNELS) {}
        // The client has 16 MB to send. It gets 64 MB before the bridge reads a byte of it.
        for _ in 0..128 {
            let list = (0..40).map(|_| Identity { key: vec![7; 12_800], comment: vec![] }).collect();
            identities(socket, list);
        }
        refuse(socket, MAX_CHANNELS, |_| String::new());
        until_closed(socket);
    });
    let home = Home::new();
    let (mut process, socket) = exec(&home, &bridge);
    let clients: Vec<_> = (0..MAX_CHANNELS)
        .map(|_| {
            let (mut stream, written) = (connect(&socket), written.clone());
            thread::spawn(move || {
                stream.write_all(&framed(&sign_request(b"key", &vec![1; 250_000], 0))).unwrap();
                written.send(()).unwrap();
                is_refused(&mut stream)
            })
        })
        .collect();
    assert!(clients.into_iter().all(|client| client.join().unwrap()));
    drop(process.stdin.take());
    process.ends().succeeds();
    bridge.finishes();
}

#[test]
fn refusals_cannot_flood_the_log() {
    const COUNT: usize = 1000;
    let bridge = FakeBridge::new(|socket, _| {
        offer_agent(socket);
        refuse(socket, COUNT, |_| "the same".to_owned());
        refuse(socket, COUNT, |number| format!("{number:04}{}", "\u{1b}".repeat(MAX_DETAIL - 4)));
        until_closed(socket);
    });
    let home = Home::new();
    let (mut process, socket) = exec(&home, &bridge);
    let mut stream = connect(&socket);
    for _ in 0..2 * COUNT {
        stream.write_all(&framed(&sign_request(b"key", b"data", 0))).unwrap();
        assert!(is_refused(&mut stream));
    }
    drop((stream, process.stdin.take()));
    let outcome = process.ends().succeeds();
    assert_eq!(outcome.stderr.matches("refused: the same").count(), 1);
    // Counts are printed when another message comes, and every 10 s.
    let repeated =
        outcome.stderr.lines().filter_map(|line| line.split_once("the last message was repeated "));
    let repeated: usize =
        repeated.map(|(_, times)| times.split(' ').next().unwrap().parse::<usize>().unwrap()).sum();
    assert_eq!(repeated, COUNT - 1);
    let outcome = outcome.says("left out: too many of one kind");
    // What can be printed at once, and what the budget grows while this machine does the rest.
    assert!(outcome.stderr.len() < 48 << 10, "{} bytes", outcome.stderr.len());
    bridge.finishes();
}

#[test]
fn the_session_binds_of_a_client_are_kept_in_bounded_memory() {
    let (sender, bytes) = mpsc::channel();
    let bridge = FakeBridge::new(move |socket, _| {
        offer_agent(socket);
        let mut binds = Vec::new();
        loop {
            let Message::Binary(payload) = socket.read().unwrap() else { continue };
            let ClientMessage::Agent { channel, message } = ClientMessage::decode(&payload).unwrap() else {
                continue;
            };
            if message[0] == number::EXTENSION {
                binds.push(message.len());
                continue;
            }
            sender.send(binds).unwrap();
            let answer = vec![number::FAILURE].into();
            send(socket, &HostMessage::Answer { channel, answer, refusal: Untrusted::default() });
            break;
        }
        until_closed(socket);
    });
    let home = Home::new();
    let (mut process, socket) = exec(&home, &bridge);
    let mut stream = connect(&socket);
    let small = bind(b"host", b"session", b"signature", false);
    let huge = bind(b"host", b"session", &[0; 200_000], false);
    for message in [&small, &huge, &huge, &small] {
        stream.write_all(&framed(message)).unwrap();
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, *framed(&[number::SUCCESS]));
    }
    stream.write_all(&framed(&sign_request(b"key", b"data", 0))).unwrap();
    assert!(is_refused(&mut stream));
    // Only the name is left of those that are too long. The bridge then signs nothing for this client.
    let name = 1 + 4 + SESSION_BIND.len();
    assert_eq!(bytes.recv().unwrap(), [small.len(), name, name, small.len()]);
    drop((stream, process.stdin.take()));
    process.ends().succeeds();
    bridge.finishes();
}
