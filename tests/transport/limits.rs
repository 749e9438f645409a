//! Promise 8, after the handshake: a holder of the conf that violates the protocol ends its session and uses up
//! counters, but not the memory or the time of the host.
#![cfg(target_os = "linux")]
// Tests match the messages that they expect, and fail on all others.
#![allow(clippy::wildcard_enum_match_arm)]

use proto::limits::{MAX_FRAME, MAX_HELLO, MAX_KEYS_PER_GET, MAX_REQUESTS};
use proto::{HELLO_HEADER, Hello, Key, Purpose, RefusalReason, SessionId};
use tokio_tungstenite::tungstenite::http::{HeaderValue, Request};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::peer::{
    AUDIT, Client, Received, TlsClient, closed, hello, keys, of_kind, records, resident_kib, resuming,
    status, upgrade_request, upgrade_request_with,
};
use crate::support::{Bridge, Home, Start as _};

fn bridge(args: &[&str]) -> Bridge {
    Bridge::serve([&["--secret", "TOKEN=hunter2", "--audit", AUDIT], args].concat())
}

/// Keys of the maximum length, which no bridge has.
fn unknown(count: usize) -> Vec<Key> {
    (0..count).map(|number| format!("{number:0>128}").parse().unwrap()).collect()
}

/// One key, as often as one message may name it.
fn many(key: &str) -> Vec<Key> {
    keys(&vec![key; MAX_KEYS_PER_GET])
}

#[test]
fn an_invalid_hello_is_refused_and_is_not_a_session() {
    let bridge = bridge(&["--once"]);
    let upgrade = |request: Request<()>| TlsClient::to(&bridge.conf).unwrap().upgrade_with(request);
    let changed = |change: &dyn Fn(&mut Request<()>)| {
        let mut request = upgrade_request(&hello(&["TOKEN"]));
        change(&mut request);
        upgrade(request)
    };

    let good = hello(&["TOKEN"]).to_header();
    let many = Hello { keys: unknown(300), ..hello(&[]) }.to_header();
    assert!(many.len() > MAX_HELLO && many.len() < 60_000);
    // Not base64url; padded; cut; with a byte after it; another purpose; a key outside of the alphabet; too long.
    for value in ["!", "gwD2gQ==", &good[..good.len() - 4], &format!("{good}AA"), "gwP2gA", "gwD2gWEg", &many]
    {
        assert_eq!(status(upgrade(upgrade_request_with(value))), 400, "{value:.40}");
    }
    let two = HeaderValue::from_str(&good).unwrap();
    assert_eq!(
        status(changed(&|request| {
            request.headers_mut().append(HELLO_HEADER, two.clone());
        })),
        400
    );
    assert_eq!(status(changed(&|request| drop(request.headers_mut().remove(HELLO_HEADER)))), 400);
    assert_eq!(status(changed(&|request| *request.uri_mut() = "ws://bridge/secrets".parse().unwrap())), 400);
    for protocol in ["secrets-bridge.v2", "secrets-bridge.v1, secrets-bridge.v2", ""] {
        let value = HeaderValue::from_str(protocol).unwrap();
        let refused =
            changed(&|request| drop(request.headers_mut().insert("sec-websocket-protocol", value.clone())));
        assert_eq!(status(refused), 400, "{protocol:?}");
    }

    // The one session of `--once` is still there.
    bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
    let records = records(&bridge);
    let refused = of_kind(&records, "session-refused");
    assert_eq!(refused.len(), 13);
    assert!(refused.iter().all(|record| record["reason"] == "malformed"));
    assert_eq!(of_kind(&records, "session-begun").len(), 1);
}

#[test]
fn an_invalid_upgrade_request_is_closed_without_an_answer() {
    let bridge = bridge(&[]);
    let request = peer_request(&hello(&["TOKEN"]));
    let too_long = format!(
        "{}X: {}\r\n\r\n",
        request.trim_end_matches("\r\n").to_owned() + "\r\n",
        "x".repeat(64 << 10)
    );
    let too_many = format!("{}\r\n{}\r\n", request.trim_end_matches("\r\n"), "X: y\r\n".repeat(200));
    let pipelined = format!("{request}\u{1}\u{1}");
    for bytes in [
        "GET / HTTP/1.1\r\nHost: bridge\r\n\r\n",
        &request.replace("GET", "POST"),
        "\u{16}\u{3}\u{1}\r\n\r\n",
        &too_long,
        &too_many,
        &pipelined,
    ] {
        let mut dialled = TlsClient::to(&bridge.conf).unwrap();
        // The bridge may close before it has read all.
        let _ = std::io::Write::write_all(&mut dialled.0, bytes.as_bytes());
        assert_eq!(dialled.read_to_end(), b"", "{bytes:.60}");
    }
    let records = records(&bridge);
    assert_eq!(of_kind(&records, "session-refused").len(), 6, "{records:?}");
    assert_eq!(of_kind(&records, "session-begun").len(), 0);
}

/// The upgrade request with `hello` as text.
fn peer_request(hello: &Hello) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: bridge\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: secrets-bridge.v1\r\n\
         {HELLO_HEADER}: {}\r\n\r\n",
        hello.to_header()
    )
}

#[test]
fn an_invalid_message_ends_the_session() {
    let bridge = bridge(&[]);
    let get = |first| proto::ClientMessage::Get { first, keys: keys(&["TOKEN"]) }.encode();
    let binary = |bytes: &[u8]| Message::binary(Bytes::copy_from_slice(bytes));
    let messages = [
        ("nothing", binary(&[])),
        ("an unknown message", binary(&[0x81, 0x02])),
        ("a bridge's message", binary(&[0x81, 0x15])),
        ("trailing bytes", binary(&[get(1), vec![0]].concat())),
        ("a longer form", binary(&[0x83, 0x01, 0x18, 0x01, 0x81, 0x61, 0x6b])),
        ("no keys", binary(&[0x83, 0x01, 0x01, 0x80])),
        ("too many keys", binary(&[0x83, 0x01, 0x01, 0x99, 0x10, 0x01])),
        ("a request that was made already", binary(&get(0))),
        ("a request too far", binary(&get(2))),
        ("text", Message::text("get TOKEN")),
        ("a frame over the limit", binary(&vec![0; MAX_FRAME + 1])),
    ];
    let count = messages.len();
    for (what, message) in messages {
        let (mut client, session) = Client::begin(&bridge.conf, &["TOKEN"]);
        assert_eq!(
            (client.next(), client.next()),
            (Received::Length(0, 7), Received::Chunk(0, b"hunter2".to_vec()))
        );
        // The bridge reads only the header of a frame over the limit.
        let _ = client.socket.send(message);
        let end = client.next();
        assert!(
            end == closed(CloseCode::Protocol) || what == "a frame over the limit" && end == Received::Gone,
            "{what}: {end:?}"
        );
        // The session cannot be resumed either.
        let again = resuming(session, hello(&["TOKEN"]));
        assert_eq!(status(TlsClient::to(&bridge.conf).unwrap().upgrade(&again)), 404, "{what}");
    }
    let records = records(&bridge);
    let ended = of_kind(&records, "session-ended");
    assert_eq!(ended.len(), count);
    assert!(ended.iter().all(|record| record["how"] == "protocol-error"), "{ended:?}");
}

#[test]
fn a_connection_makes_16384_requests_and_no_more() {
    let bridge = bridge(&[]);
    let (mut client, _) = Client::begin(&bridge.conf, &[]);
    let mut next = 0;
    while next < MAX_REQUESTS {
        client.get(next, many("nowhere"));
        for number in next..next + MAX_KEYS_PER_GET as u32 {
            assert_eq!(client.next(), Received::Refused(number, RefusalReason::Unknown));
        }
        next += MAX_KEYS_PER_GET as u32;
    }
    client.get(next, keys(&["nowhere"]));
    assert_eq!(client.next(), closed(CloseCode::Policy));
    let records = records(&bridge);
    assert_eq!(of_kind(&records, "limit-hit")[0]["limit"], "requests per session");
    assert_eq!(of_kind(&records, "session-ended")[0]["how"], "too-many-requests");
}

#[test]
fn requests_with_unread_answers_use_little_memory() {
    let home = Home::new();
    let big = home.file("big", vec![0x5a; 1 << 20]);
    let args = ["--secret".to_owned(), format!("id=big,src={}", big.display())];
    let bridge = Bridge::serve_in(home, args);
    bridge.client(["exec", "--", "true"]).outcome().succeeds();
    let before = resident_kib(&bridge);
    // Some 16 GB are asked for, and several megabytes of keys that the bridge does not have.
    let mut greedy: Vec<Client> = (0..4).map(|_| Client::begin(&bridge.conf, &[]).0).collect();
    for client in &mut greedy {
        for round in 0..2 {
            client.get(round * 2 * MAX_KEYS_PER_GET as u32, many("big"));
            client.get((round * 2 + 1) * MAX_KEYS_PER_GET as u32, unknown(MAX_KEYS_PER_GET));
        }
    }
    // The bridge still serves clients that read. After several turns it has read as much of the requests as it will.
    for _ in 0..3 {
        let (mut patient, _) = Client::begin(&bridge.conf, &["big"]);
        assert_eq!(patient.next(), Received::Length(0, 1 << 20));
        assert_eq!(patient.bytes_of(0, 1 << 20).len(), 1 << 20);
        patient.close();
    }
    let after = resident_kib(&bridge);
    assert!(after < before + 16 * 1024, "{before} KiB, then {after} KiB");
}

#[test]
fn a_client_that_stops_reading_a_secret_costs_no_copy_of_it() {
    const LENGTH: usize = 100_000_000;
    let home = Home::new();
    let big = home.file("big", vec![0x5a; LENGTH]);
    let args = ["--audit", AUDIT, "--secret", &format!("id=big,src={}", big.display())].map(str::to_owned);
    let bridge = Bridge::serve_in(home, args);
    bridge.client(["exec", "--", "true"]).outcome().succeeds();
    let before = resident_kib(&bridge);
    let mut stopped: Vec<(Client, u64)> = (0..8)
        .map(|_| {
            let (mut client, _) = Client::begin(&bridge.conf, &["big"]);
            assert_eq!(client.next(), Received::Length(0, LENGTH as u64));
            let Received::Chunk(0, first) = client.next() else { panic!("no chunk") };
            (client, first.len() as u64)
        })
        .collect();
    bridge.client(["exec", "--", "true"]).outcome().succeeds();
    let after = resident_kib(&bridge);
    assert!(after < before + 16 * 1024, "{before} KiB, then {after} KiB");

    // One of them reads on, and gets every byte.
    let (mut reader, read) = stopped.remove(0);
    let rest = LENGTH as u64 - read;
    assert_eq!(reader.bytes_of(0, rest).len() as u64, rest);
    reader.close();
    let records = records(&bridge);
    let sent = |outcome: &str| {
        of_kind(&records, "secret-sent").into_iter().filter(|record| record["outcome"] == outcome).count()
    };
    assert_eq!((sent("completed"), sent("cut")), (1, 7));
}

#[test]
fn an_unknown_session_cannot_be_resumed() {
    let bridge = bridge(&["--once"]);
    let foreign = resuming(SessionId([0x11; 16]), hello(&["TOKEN"]));
    assert_eq!(status(TlsClient::to(&bridge.conf).unwrap().upgrade(&foreign)), 404);
    // The attempt did not use up the one session.
    bridge.client(["print", "TOKEN"]).outcome().succeeds();
    let records = records(&bridge);
    assert_eq!(of_kind(&records, "session-refused")[0]["reason"], "session-ended");
}

#[test]
fn a_redial_counts_neither_as_a_session_nor_as_a_read() {
    let bridge = bridge(&["--max-sessions", "2", "--secret", "id=once,cmd=printf gem,max-reads=1"]);
    let (mut first, session) = Client::begin(&bridge.conf, &["once"]);
    assert_eq!((first.next(), first.next()), (Received::Length(0, 3), Received::Chunk(0, b"gem".to_vec())));
    drop(first); // no close frame: it broke

    for _ in 0..3 {
        let again = resuming(session, hello(&["once", "TOKEN"]));
        let (mut redial, same) = Client::with_hello(&bridge.conf, &again);
        assert_eq!(same, session);
        let mut said: Vec<Received> = (0..4).map(|_| redial.next()).collect();
        said.sort_by_key(|said| format!("{said:?}"));
        let chunk = |number, bytes: &[u8]| Received::Chunk(number, bytes.to_vec());
        assert_eq!(
            said,
            [chunk(0, b"gem"), chunk(1, b"hunter2"), Received::Length(0, 3), Received::Length(1, 7)]
        );
    }
    let (mut other, _) = Client::begin(&bridge.conf, &["once", "TOKEN"]);
    assert_eq!(other.next(), Received::Refused(0, RefusalReason::ReadLimit));
    assert_eq!(status(TlsClient::to(&bridge.conf).unwrap().upgrade(&hello(&["TOKEN"]))), 410);
}

#[test]
fn a_redial_replaces_a_connection_that_seems_alive() {
    let bridge = bridge(&["--once"]);
    let (mut old, session) = Client::begin(&bridge.conf, &[]);
    let (new, same) = Client::with_hello(&bridge.conf, &resuming(session, hello(&[])));
    assert_eq!(same, session);
    assert_eq!(old.next(), Received::Gone);
    new.close();
    // The bridge ends with its one session.
    bridge.process.exits();
    let records = records(&bridge);
    let how: Vec<_> = of_kind(&records, "session-ended").iter().map(|record| record["how"].clone()).collect();
    assert_eq!(how, ["replaced", "closed"]);
}

#[test]
fn pings_are_answered_between_and_after_secrets() {
    let bridge = bridge(&[]);
    let (mut client, _) = Client::begin(&bridge.conf, &["TOKEN"]);
    client.send(Message::Ping(Bytes::from_static(b"are you there?")));
    let mut pong = None;
    while pong.is_none() {
        if let Message::Pong(payload) = client.socket.read().unwrap() {
            pong = Some(payload);
        }
    }
    assert_eq!(pong.unwrap(), "are you there?");
    client.get(1, keys(&["TOKEN"]));
    loop {
        match client.next() {
            Received::Length(1, 7) => break,
            Received::Length(0, 7) | Received::Chunk(0, _) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn ten_thousand_unread_pongs_use_little_memory() {
    let bridge = bridge(&[]);
    let (mut client, _) = Client::begin(&bridge.conf, &[]);
    let before = resident_kib(&bridge);
    for _ in 0..10_000 {
        client.send(Message::Ping(Bytes::from_static(&[0x50; 125])));
    }
    bridge.client(["print", "TOKEN"]).outcome().succeeds();
    let after = resident_kib(&bridge);
    assert!(after < before + 4 * 1024, "{before} KiB, then {after} KiB");
}

#[test]
fn test_and_kill_are_not_sessions_and_no_kill_works() {
    let bridge = bridge(&["--once", "--no-kill"]);
    let ask = |purpose| TlsClient::to(&bridge.conf).unwrap().upgrade(&Hello::without_session(purpose));
    for _ in 0..2 {
        assert_eq!(ask(Purpose::Test).unwrap().next(), Received::Offers(keys(&["TOKEN"])));
    }
    assert_eq!(status(ask(Purpose::Kill)), 403);
    bridge.client(["kill"]).outcome().fails().says("this bridge does not let clients end it");
    bridge.client(["print", "TOKEN"]).outcome().succeeds();
}
