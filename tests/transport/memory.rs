//! Promise 8, in bytes: a holder of the conf can take 4 MiB of the host's memory in one session, and all together what
//! the bridge may use; meanwhile the bridge serves others.
#![cfg(target_os = "linux")]
// Tests match the messages that they expect, and fail on all others.
#![allow(clippy::wildcard_enum_match_arm)]

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use proto::agent::{Identity, identities_answer, number};
use proto::limits::{MAX_BINDS, MAX_CHANNELS, MAX_FRAME, MAX_KEYS_PER_GET};
use proto::{ClientMessage, Hello, Purpose};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::peer::{
    AUDIT, Client, Received, TlsClient, hello, keys, of_kind, peak_kib, raise_descriptors, records,
    reset_peak, resident_kib,
};
use crate::support::agent::{HostKey, Key, LIST, bind, framed, public};
use crate::support::require::{OPENSSH, require};
use crate::support::{Bridge, Home, Start as _};

/// Sessions that attack at once. Each could take more than its share of what the bridge may use.
const HOLDERS: usize = 80;
/// Most memory that one session may take, in KiB.
const SESSION: u64 = 4 << 10;
/// Most memory that all sessions together may take, in KiB, without the sessions' own [`OWN`]: the default of
/// `--max-memory`, and a small one, which the same attack would exceed many times.
const BUDGETS: [u64; 2] = [256 << 10, 16 << 10];
/// What the process may take besides, in KiB: what it works on at the moment, as one message of 4,096 keys, and what the
/// allocator cannot give back at once.
const WORKING: u64 = 6 << 10;
/// What an idle session costs, in KiB.
const OWN: u64 = 20;
/// How long an attack waits for the bridge to read more. After 10 s without progress the bridge ends a session.
const SENDING: Duration = Duration::from_secs(2);

/// `holders` sessions run `attack` at once, each in a thread of its own, and are held. While they are, `meanwhile`
/// runs. Then the memory that they took is held against the limits.
fn attacked(
    bridge: &Bridge,
    budget: u64,
    holders: usize,
    hello_of: impl Fn() -> Hello,
    attack: impl Fn(&mut Client) + Send + Sync + 'static,
    meanwhile: impl Fn(),
) {
    // Whatever the first session needs is not counted.
    bridge.client(["exec", "--", "true"]).outcome().succeeds();
    reset_peak(bridge);
    let before = resident_kib(bridge);
    let attack = Arc::new(attack);
    let clients: Vec<Client> =
        (0..holders).map(|_| Client::with_hello(&bridge.conf, &hello_of()).0).collect();
    let threads: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let attack = Arc::clone(&attack);
            thread::spawn(move || {
                // The bridge stops reading at some point: what is not sent until then never is.
                client.socket.get_mut().sock.set_write_timeout(Some(SENDING)).unwrap();
                attack(&mut client);
                client
            })
        })
        .collect();
    meanwhile();
    let held: Vec<Client> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    meanwhile();
    let took = peak_kib(bridge).saturating_sub(before);
    drop(held);
    let limit = (holders as u64 * SESSION).min(budget) + holders as u64 * OWN + WORKING;
    assert!(took <= limit, "{holders} sessions took {took} KiB (allowed: {limit})");
}

/// Sends as much as the bridge reads.
fn push(client: &mut Client, message: Vec<u8>) {
    let _ = client.socket.send(Message::binary(message));
}

/// Bytes of a client's frame, whatever its header says; the mask is zero.
fn frame(first: u8, length: usize, payload: &[u8]) -> Vec<u8> {
    [&[first, 0xff][..], &(length as u64).to_be_bytes(), &[0; 4], payload].concat()
}

fn prints(bridge: &Bridge) {
    bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
}

/// The options of a bridge with `budget` KiB for what waits.
fn options(budget: u64) -> Vec<String> {
    ["--secret".into(), "TOKEN=hunter2".into(), format!("--max-memory={}M", budget >> 10)].into()
}

fn serve(budget: u64) -> Bridge {
    Bridge::serve(options(budget))
}

#[test]
fn an_idle_session_takes_20_kib() {
    const IDLE: u64 = 200;
    raise_descriptors();
    let bridge = serve(BUDGETS[0]);
    let begin = || {
        let (mut client, _) = Client::begin(&bridge.conf, &["TOKEN"]);
        assert_eq!(
            (client.next(), client.next()),
            (Received::Length(0, 7), Received::Chunk(0, b"hunter2".to_vec()))
        );
        client
    };
    // What the first sessions need once is not counted.
    let _first: Vec<Client> = (0..20).map(|_| begin()).collect();
    let before = resident_kib(&bridge);
    let _idle: Vec<Client> = (0..IDLE).map(|_| begin()).collect();
    let took = resident_kib(&bridge).saturating_sub(before);
    assert!(took <= IDLE * OWN, "{took} KiB for {IDLE} sessions");
}

#[test]
fn unfinished_frames_take_no_more_than_the_budget() {
    let attack = |client: &mut Client| {
        let first = frame(0x02, MAX_FRAME / 2, &vec![0x5a; MAX_FRAME / 2]);
        let rest = frame(0x80, MAX_FRAME / 2, &vec![0x5a; MAX_FRAME / 2 - 1]);
        let stream = client.socket.get_mut();
        let _ = stream.write_all(&[first, rest].concat()).and_then(|()| stream.flush());
    };
    for budget in BUDGETS {
        let bridge = serve(budget);
        attacked(&bridge, budget, HOLDERS, || hello(&[]), attack, || prints(&bridge));
    }
}

#[test]
fn unread_secrets_take_no_more_than_the_budget() {
    let attack = |client: &mut Client| {
        for round in 0..4 {
            let first = round * MAX_KEYS_PER_GET as u32;
            let keys = keys(&vec!["big"; MAX_KEYS_PER_GET]);
            push(client, ClientMessage::Get { first, keys }.encode());
        }
    };
    for budget in BUDGETS {
        let home = Home::new();
        let big = home.file("big", vec![0x5a; 1 << 20]);
        let big = ["--secret".to_owned(), format!("id=big,src={}", big.display())];
        let bridge = Bridge::serve_in(home, [options(budget), big.into()].concat());
        attacked(&bridge, budget, HOLDERS, || hello(&["big"; 4]), attack, || prints(&bridge));
    }
}

#[test]
fn long_requests_in_a_row_take_no_more_than_the_budget() {
    let attack = |client: &mut Client| {
        for round in 0..4 {
            let first = (round * MAX_KEYS_PER_GET) as u32;
            let keys = (0..MAX_KEYS_PER_GET).map(|key| format!("{key:0>128}").parse().unwrap()).collect();
            push(client, ClientMessage::Get { first, keys }.encode());
        }
    };
    for budget in BUDGETS {
        let bridge = serve(budget);
        attacked(&bridge, budget, HOLDERS / 2, || hello(&[]), attack, || prints(&bridge));
    }
}

#[test]
fn unread_pongs_take_no_more_than_the_budget() {
    let attack = |client: &mut Client| {
        let ping = Message::Ping(Bytes::from_static(&[0x50; 125]));
        let _ = (0..150_000).try_for_each(|_| client.socket.send(ping.clone()));
    };
    let [_, budget] = BUDGETS;
    let bridge = serve(budget);
    attacked(&bridge, budget, 4, || hello(&[]), attack, || prints(&bridge));
}

#[test]
fn unread_answers_to_test_take_no_more_than_the_budget() {
    let home = Home::new();
    let secrets = (0..4000).flat_map(|key| ["--secret".to_owned(), format!("{key:0>128}=value")]);
    let bridge = Bridge::serve_in(home, secrets.collect::<Vec<_>>());
    bridge.client(["test"]).outcome().succeeds();
    reset_peak(&bridge);
    let before = resident_kib(&bridge);
    let threads: Vec<_> = (0..HOLDERS)
        .map(|_| {
            let conf = bridge.conf.clone();
            thread::spawn(move || {
                let hello = Hello::without_session(Purpose::Test);
                let mut client = TlsClient::to(&conf).unwrap().upgrade(&hello).unwrap();
                // The bridge closes the connection, whether the answer was read or not.
                let _ = client.socket.get_mut().sock.peek(&mut [0]);
                thread::sleep(Duration::from_secs(2));
            })
        })
        .collect();
    bridge.client(["test"]).outcome().succeeds();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let took = peak_kib(&bridge).saturating_sub(before);
    // They share one answer of half a megabyte.
    let limit = HOLDERS as u64 * (OWN + 128);
    assert!(took <= limit, "{took} KiB (allowed: {limit})");
}

/// An agent that lists `identities`, and signs nothing.
fn listing_agent(home: &Home, identities: &[Identity]) -> PathBuf {
    let socket = home.path("listing.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let answer = framed(&identities_answer(identities));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, answer) = (stream.unwrap(), answer.clone());
            thread::spawn(move || {
                while let Some(kind) = request(&mut stream) {
                    let sent = match kind {
                        number::REQUEST_IDENTITIES => stream.write_all(&answer),
                        _ => stream.write_all(&framed(&[number::FAILURE])),
                    };
                    if sent.is_err() {
                        break;
                    }
                }
            });
        }
    });
    socket
}

fn request(stream: &mut UnixStream) -> Option<u8> {
    let mut head = [0; 4];
    stream.read_exact(&mut head).ok()?;
    let mut message = vec![0; u32::from_be_bytes(head) as usize];
    stream.read_exact(&mut message).ok()?;
    message.first().copied()
}

fn serve_agent(home: Home, budget: u64, socket: &std::path::Path) -> Bridge {
    let mut command = home.serve([options(budget), vec!["-A".to_owned()]].concat());
    command.env("SSH_AUTH_SOCK", socket);
    Bridge::start(home, command)
}

fn with_agent() -> Hello {
    Hello { agent: Some("default".parse().unwrap()), ..hello(&[]) }
}

fn agent_message(client: &mut Client, channel: usize, message: &[u8]) {
    push(client, ClientMessage::Agent { channel: u32::try_from(channel).unwrap(), message }.encode());
}

#[test]
fn unread_answers_of_an_agent_take_no_more_than_the_budget() {
    require!(OPENSSH);
    let home = Home::new();
    let key = Key::ed25519(&home, "deploy");
    // A listing of 220 KiB, as of an agent with many certificates.
    let identity =
        |number: usize| Identity { key: key.blob.clone(), comment: format!("{number:0>256}").into() };
    let identities: Vec<_> = (0..250).map(identity).collect();
    let socket = listing_agent(&home, &identities);
    let bridge = serve_agent(home, BUDGETS[1], &socket);
    let attack = |client: &mut Client| {
        for round in 0..16 {
            for channel in 0..MAX_CHANNELS {
                agent_message(client, channel, LIST);
                push(client, ClientMessage::ListAgain.encode());
            }
            // No request before the last answer: it is ready, but nothing reads it.
            thread::sleep(Duration::from_millis(if round < 4 { 200 } else { 10 }));
        }
    };
    attacked(&bridge, BUDGETS[1], 60, with_agent, attack, || prints(&bridge));
}

#[test]
fn binds_take_no_more_than_the_budget() {
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
    let bridge = Bridge::serve_in(
        home,
        [options(BUDGETS[1]), ["--ssh", "default=deploy"].map(str::to_owned).into()].concat(),
    );
    let binds: Vec<Vec<u8>> = (0..MAX_BINDS)
        .map(|number| {
            let session = [u8::try_from(number).unwrap(); 32];
            bind(&certificate, &session, &host.sign(&session), false)
        })
        .collect();
    let attack = move |client: &mut Client| {
        for channel in 0..MAX_CHANNELS {
            binds.iter().for_each(|bind| agent_message(client, channel, bind));
        }
    };
    attacked(&bridge, BUDGETS[1], 8, with_agent, attack, || prints(&bridge));
}

#[test]
fn a_session_that_holds_memory_without_progress_is_ended() {
    let bridge = Bridge::serve(["--audit", AUDIT]);
    let (mut holder, _) = Client::begin(&bridge.conf, &[]);
    let (mut modest, _) = Client::begin(&bridge.conf, &[]);
    let send = |client: &mut Client, length: usize, sent: usize| {
        let stream = client.socket.get_mut();
        stream.write_all(&frame(0x82, length, &vec![0x5a; sent])).unwrap();
        stream.flush().unwrap();
    };
    send(&mut holder, MAX_FRAME, MAX_FRAME / 2);
    // Within its sure share.
    send(&mut modest, 16 << 10, 12);
    // A byte now and then is no progress.
    let mut end = [0];
    let socket = holder.socket.get_mut();
    socket.sock.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let ended = (0..30).any(|_| {
        let _ = socket.write_all(&[0]).and_then(|()| socket.flush());
        !matches!(socket.sock.peek(&mut end), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    });
    assert!(ended, "the session goes on");
    // The other one goes on: its frame is an invalid message once it is complete.
    let stream = modest.socket.get_mut();
    stream.write_all(&vec![0x5a; (16 << 10) - 12]).unwrap();
    stream.flush().unwrap();
    assert!(matches!(modest.next(), Received::Closed(Some(1002))));
    let records = records(&bridge);
    let ends: Vec<_> =
        of_kind(&records, "session-ended").iter().map(|record| record["how"].clone()).collect();
    assert_eq!(ends, ["stalled", "protocol-error"]);
}
