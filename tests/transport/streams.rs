//! HTTP streams at the raw websocket: who gets one, in which order its messages come, when it ends, and what it costs.
#![cfg(target_os = "linux")]
// Tests match the messages that they expect, and fail on all others.
#![allow(clippy::wildcard_enum_match_arm)]

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use proto::limits::{MAX_STREAM_FRAME, MAX_STREAMS, STREAM_CHUNK};
use proto::{ClientMessage, Hello, SessionId, StreamRequest};
use rustix::process::Signal;
use tokio_tungstenite::tungstenite::Message;

use crate::peer::stream::{BIG, OnStream, PlainServer, Stream, begin_http, http_hello, request};
use crate::peer::{
    AUDIT, Client, Received, TlsClient, hello, keys, of_kind, peak_kib, raise_descriptors, records,
    reset_peak, resident_kib, resuming, status,
};
use crate::support::{Bridge, Home, Start as _};

/// A bridge with a rule for `server`, without TLS.
fn serve(server: &PlainServer, options: &[&str]) -> Bridge {
    let home = Home::new();
    let rule = format!("{}=HTTP_TOKEN,scheme=http,methods=GET+POST", server.origin());
    let mut command =
        home.serve([&["--secret", "TOKEN=hunter2", "--http-credential", &rule], options].concat());
    command.env("HTTP_TOKEN", "sesame");
    Bridge::start(home, command)
}

fn refusal(bridge: &Bridge, session: SessionId) -> u16 {
    let refused = Stream::try_open(&bridge.conf, session);
    status(refused.map(|stream| stream.client))
}

#[test]
fn a_stream_belongs_to_a_session_that_asked_for_http() {
    let server = PlainServer::start();
    let bridge = serve(&server, &[]);
    let (without, its_id) = Client::with_hello(&bridge.conf, &hello(&[]));
    assert_eq!(refusal(&bridge, its_id), 409);
    assert_eq!(refusal(&bridge, crate::peer::new_session()), 404);

    let (client, session, origins) = begin_http(&bridge.conf);
    assert_eq!(origins, [server.origin()]);
    let mut stream = Stream::open(&bridge.conf, session);
    stream.serves(&server.origin());
    // Not for another session's id, and not after the end.
    assert_eq!(refusal(&bridge, its_id), 409);
    client.close();
    assert_eq!(stream.next(), OnStream::Closed(Some(1001)));
    assert_eq!(refusal(&bridge, session), 404);
    drop(without);
}

#[test]
fn a_bridge_without_rules_has_no_streams() {
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2", "--audit", AUDIT]);
    let (_client, session, origins) = begin_http(&bridge.conf);
    assert!(origins.is_empty());
    assert_eq!(refusal(&bridge, session), 409);
    let reasons: Vec<_> =
        of_kind(&records(&bridge), "session-refused").iter().map(|record| record["reason"].clone()).collect();
    assert_eq!(reasons, ["no-streams"]);
}

#[test]
fn a_stream_serves_one_connection_of_a_tool_after_the_other() {
    let (server, other) = (PlainServer::start(), PlainServer::start());
    let rule = format!("{}=HTTP_TOKEN,scheme=http", other.origin());
    let bridge = serve(&server, &["--http-credential", &rule]);
    let (_client, session, _) = begin_http(&bridge.conf);
    let mut stream = Stream::open(&bridge.conf, session);
    let mut sent = 0;
    // A connection that sends nothing, two requests of one connection, and a connection to another server.
    stream.connect(&other.origin());
    for (origin, requests) in [(server.origin(), 2), (other.origin(), 1), (server.origin(), 1)] {
        stream.connect(&origin);
        for _ in 0..requests {
            let (answer, end) = stream.get("/small");
            sent += request(&origin, "/small").len() as u64;
            assert!(answer.ends_with("hello"), "{answer}");
            assert_eq!(end, OnStream::Idle(sent));
        }
    }
    assert_eq!((server.requests().len(), other.requests().len()), (3, 1));
    assert!(server.requests().iter().all(|head| head.contains("Bearer sesame")));
}

#[test]
fn requests_that_follow_each_other_get_one_idle() {
    let server = PlainServer::start();
    let bridge = serve(&server, &[]);
    let (_client, session, _) = begin_http(&bridge.conf);
    let mut stream = Stream::open(&bridge.conf, session);
    stream.connect(&server.origin());
    let all: String = (0..10).map(|number| request(&server.origin(), &format!("/{number}"))).collect();
    stream.send(all.as_bytes());
    let (answers, end) = stream.answer();
    assert_eq!(answers.matches("hello").count(), 10);
    assert_eq!(end, OnStream::Idle(all.len() as u64));
    // Half a request does not let it be idle.
    let (half, rest) = all.split_at(20);
    stream.send(format!("{}{half}", request(&server.origin(), "/small")).as_bytes());
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        match stream.next() {
            OnStream::Bytes(bytes) => answer.extend(bytes),
            other => panic!("{other:?}"),
        }
    }
    stream.send(rest.as_bytes());
    assert_eq!(stream.answer().0.matches("hello").count(), 10);
}

#[test]
fn what_is_out_of_order_ends_the_stream() {
    let server = PlainServer::start();
    let bridge = serve(&server, &[]);
    let (client, session, _) = begin_http(&bridge.conf);
    let connect = |origin: &str| StreamRequest::Connect { origin: origin.parse().unwrap() }.encode();
    let bytes = |bytes: &[u8]| StreamRequest::Bytes { bytes }.encode();
    let ours = connect(&server.origin());
    let held = bytes(request(&server.origin(), "/held").as_bytes());
    let long = vec![b'a'; STREAM_CHUNK + 1];
    for (what, messages) in [
        ("bytes before a connection", vec![bytes(b"GET")]),
        ("a connection within a request", vec![ours.clone(), bytes(b"GET"), ours.clone()]),
        ("a connection within an answer", vec![ours.clone(), held, ours.clone()]),
        ("an origin without a rule", vec![connect("npm.example:443")]),
        ("another port", vec![connect("127.0.0.1:1")]),
        ("no bytes", vec![ours.clone(), vec![0x82, 0x06, 0x40]]),
        ("too many bytes", vec![ours.clone(), bytes(&long)]),
        ("a message of a session", vec![ClientMessage::Get { first: 0, keys: keys(&["TOKEN"]) }.encode()]),
        ("a message of a bridge", vec![vec![0x81, 0x18, 0x1d]]),
        ("a form that is not canonical", vec![[&ours[..], &[0]].concat()]),
        ("a long message", vec![ours.clone(), vec![0; MAX_STREAM_FRAME + 1]]),
    ] {
        let mut stream = Stream::open(&bridge.conf, session);
        messages.into_iter().for_each(|message| stream.client.send(Message::binary(message)));
        assert_eq!(stream.next(), OnStream::Closed(Some(1002)), "{what}");
    }
    let mut stream = Stream::open(&bridge.conf, session);
    stream.client.send(Message::text("hello"));
    assert_eq!(stream.next(), OnStream::Closed(Some(1002)));
    // A message of a stream on a session's connection is none.
    let mut client = client;
    client.send(Message::binary(ours));
    assert_eq!(client.next(), Received::Closed(Some(1002)));
}

#[test]
fn a_session_has_at_most_128_streams() {
    raise_descriptors();
    let server = PlainServer::start();
    let bridge = serve(&server, &["--audit", AUDIT]);
    let (_client, session, _) = begin_http(&bridge.conf);
    let mut streams: Vec<Stream> = (0..MAX_STREAMS).map(|_| Stream::open(&bridge.conf, session)).collect();
    assert_eq!(refusal(&bridge, session), 429);
    let (_other, its_id, _) = begin_http(&bridge.conf);
    Stream::open(&bridge.conf, its_id).serves(&server.origin());
    streams.iter_mut().for_each(|stream| stream.serves(&server.origin()));
    // One that ends makes room, once the bridge knows.
    drop(streams.pop());
    let mut next = (0..1000)
        .find_map(|_| {
            thread::sleep(Duration::from_millis(10));
            Stream::try_open(&bridge.conf, session).ok()
        })
        .unwrap();
    next.serves(&server.origin());
    let refused = of_kind(&records(&bridge), "session-refused").len();
    assert!(refused > 0);
}

#[test]
fn streams_count_neither_as_sessions_nor_as_redials() {
    raise_descriptors();
    let server = PlainServer::start();
    let bridge = serve(&server, &["--once", "--max-concurrent", "1", "--audit", AUDIT]);
    let (client, session, _) = begin_http(&bridge.conf);
    let mut streams: Vec<Stream> = (0..20).map(|_| Stream::open(&bridge.conf, session)).collect();
    streams.iter_mut().for_each(|stream| stream.serves(&server.origin()));
    assert_eq!(status(TlsClient::to(&bridge.conf).unwrap().upgrade(&hello(&[]))), 410);
    client.close();
    // They keep no session open, and the bridge neither.
    bridge.process.exits();
    streams.iter_mut().for_each(|stream| {
        assert!(matches!(stream.next(), OnStream::Closed(Some(1001)) | OnStream::Gone));
    });
    assert_eq!(of_kind(&records(&bridge), "session-begun").len(), 1);
}

#[test]
fn streams_live_through_a_redial_of_their_session() {
    let server = PlainServer::start();
    let bridge = serve(&server, &["--once"]);
    let (first, session, _) = begin_http(&bridge.conf);
    let mut stream = Stream::open(&bridge.conf, session);
    stream.serves(&server.origin());
    stream.send(request(&server.origin(), "/held").as_bytes());
    drop(first.socket);
    // While the session has no connection, old and new streams serve.
    Stream::open(&bridge.conf, session).serves(&server.origin());
    let (second, _) = Client::with_hello(&bridge.conf, &resuming(session, http_hello()));
    server.release();
    let (answer, end) = stream.answer();
    assert!(answer.ends_with("hello") && matches!(end, OnStream::Idle(_)), "{answer} {end:?}");
    // The request was sent once.
    assert_eq!(server.requests().iter().filter(|head| head.contains("/held")).count(), 1);
    // A redial that does not ask for HTTP takes no stream away.
    let (third, _) =
        Client::with_hello(&bridge.conf, &Hello { http: false, ..resuming(session, http_hello()) });
    stream.serves(&server.origin());
    drop(second);
    third.close();
    assert_eq!(stream.next(), OnStream::Closed(Some(1001)));
    bridge.process.exits();
}

#[test]
fn the_end_of_the_bridge_is_no_end_of_an_answer() {
    let server = PlainServer::start();
    let bridge = serve(&server, &[]);
    let (_client, session, _) = begin_http(&bridge.conf);
    let (mut idle, mut within) = (Stream::open(&bridge.conf, session), Stream::open(&bridge.conf, session));
    idle.serves(&server.origin());
    within.connect(&server.origin());
    within.send(request(&server.origin(), "/big").as_bytes());
    assert!(matches!(within.next(), OnStream::Bytes(_)));
    bridge.process.signal(Signal::TERM);
    let rest = std::iter::repeat_with(|| within.next()).find(|next| !matches!(next, OnStream::Bytes(_)));
    assert_eq!((rest, idle.next()), (Some(OnStream::Gone), OnStream::Gone));
}

#[test]
fn an_early_answer_arrives_whole_although_the_client_sends_on() {
    let server = PlainServer::start();
    let bridge = serve(&server, &[]);
    let (_client, session, _) = begin_http(&bridge.conf);
    let mut stream = Stream::open(&bridge.conf, session);
    stream.connect(&server.origin());
    // Two lengths: the bridge refuses the request, and with it the connection.
    let origin = server.origin();
    let head = format!("POST / HTTP/1.1\r\nHost: {origin}\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n");
    stream.send(head.as_bytes());
    for _ in 0..200 {
        // The bridge may close the connection meanwhile.
        let more = StreamRequest::Bytes { bytes: &[0x5a; STREAM_CHUNK] }.encode();
        if stream.client.socket.send(Message::binary(more)).is_err() {
            break;
        }
    }
    let (answer, end) = stream.answer();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert_eq!((end, stream.next()), (OnStream::Finished, OnStream::Closed(Some(1000))));
}

#[test]
fn streams_that_wait_for_a_slow_server_are_not_ended() {
    raise_descriptors();
    let server = PlainServer::start();
    let bridge = serve(&server, &["--max-memory=8M"]);
    let (_client, session, _) = begin_http(&bridge.conf);
    let origin = server.origin();
    const BODY: usize = 1 << 20;
    let threads: Vec<_> = (0..16)
        .map(|_| {
            let mut stream = Stream::open(&bridge.conf, session);
            let head = format!("POST /body HTTP/1.1\r\nHost: {origin}\r\nContent-Length: {BODY}\r\n\r\n");
            stream.connect(&origin);
            thread::spawn(move || {
                stream.client.socket.get_mut().sock.set_write_timeout(None).unwrap();
                stream.client.socket.get_mut().sock.set_read_timeout(None).unwrap();
                stream.send(head.as_bytes());
                stream.send(&vec![0x5a; BODY * 8][..BODY]);
                stream.answer()
            })
        })
        .collect();
    // Longer than a session may hold memory of the pool without progress.
    thread::sleep(Duration::from_secs(12));
    bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
    server.release();
    for thread in threads {
        let (answer, end) = thread.join().unwrap();
        assert!(
            answer.ends_with(&format!("{BODY} bytes")) && matches!(end, OnStream::Idle(_)),
            "{answer} {end:?}"
        );
    }
}

/// What an idle stream costs, in KiB.
const IDLE: u64 = 24;
/// What a stream may cost whose client sends without end, or does not read, in KiB: its share, and TLS with both sides.
const BUSY: u64 = 160;
/// What the process may take besides, in KiB.
const WORKING: u64 = 6 << 10;

#[test]
fn a_thousand_idle_streams_take_24_kib_each() {
    raise_descriptors();
    let server = PlainServer::start();
    let bridge = serve(&server, &[]);
    let sessions: Vec<(Client, SessionId)> = (0..8)
        .map(|_| {
            let (client, session, _) = begin_http(&bridge.conf);
            (client, session)
        })
        .collect();
    let open = |session: SessionId| {
        let mut stream = Stream::open(&bridge.conf, session);
        stream.serves(&server.origin());
        stream
    };
    // What the first streams need once is not counted.
    let mut first: Vec<Stream> = (0..20).map(|number| open(sessions[number % 8].1)).collect();
    let before = resident_kib(&bridge);
    let idle: Vec<Stream> = (0..1000).map(|number| open(sessions[number % 8].1)).collect();
    let took = resident_kib(&bridge).saturating_sub(before);
    assert!(took <= 1000 * IDLE, "{took} KiB for {} streams", idle.len());
    first.iter_mut().for_each(|stream| stream.serves(&server.origin()));
}

/// `attack` runs on all streams of one session at once, which are held. Meanwhile another session is served.
fn attacked(options: &[&str], attack: impl Fn(&mut Stream, &str) + Clone + Send + 'static) {
    raise_descriptors();
    let server = PlainServer::start();
    let bridge = serve(&server, options);
    let (_client, session, _) = begin_http(&bridge.conf);
    let (_other, other, _) = begin_http(&bridge.conf);
    let mut victim = Stream::open(&bridge.conf, other);
    victim.serves(&server.origin());
    reset_peak(&bridge);
    let before = resident_kib(&bridge);
    let threads: Vec<_> = (0..MAX_STREAMS - 1)
        .map(|_| {
            let mut stream = Stream::open(&bridge.conf, session);
            let (attack, origin) = (attack.clone(), server.origin());
            thread::spawn(move || {
                stream.client.socket.get_mut().sock.set_write_timeout(Some(Duration::from_secs(2))).unwrap();
                attack(&mut stream, &origin);
                stream
            })
        })
        .collect();
    victim.serves(&server.origin());
    let held: Vec<Stream> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    victim.serves(&server.origin());
    bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
    let took = peak_kib(&bridge).saturating_sub(before);
    let limit = held.len() as u64 * BUSY + WORKING;
    assert!(took <= limit, "{} streams took {took} KiB (allowed: {limit})", held.len());
}

#[test]
fn answers_that_are_not_read_take_no_more_than_a_share() {
    for options in [&[][..], &["--max-memory=8M"]] {
        attacked(options, |stream, origin| {
            stream.connect(origin);
            stream.send(request(origin, "/big").repeat(4).as_bytes());
            assert!(matches!(stream.next(), OnStream::Bytes(_)));
            const { assert!(BIG > 32 << 20) };
        });
    }
}

#[test]
fn bodies_without_end_take_no_more_than_a_share() {
    for options in [&[][..], &["--max-memory=8M"]] {
        attacked(options, |stream, origin| {
            stream.connect(origin);
            let head =
                format!("POST /body HTTP/1.1\r\nHost: {origin}\r\nContent-Length: 1000000000000\r\n\r\n");
            stream.send(head.as_bytes());
            let bytes = StreamRequest::Bytes { bytes: &[0x5a; STREAM_CHUNK] }.encode();
            while stream.client.socket.send(Message::binary(bytes.clone())).is_ok() {}
        });
    }
}

#[test]
fn unfinished_frames_take_no_more_than_a_share() {
    for options in [&[][..], &["--max-memory=8M"]] {
        attacked(options, |stream, origin| {
            stream.connect(origin);
            let socket = stream.client.socket.get_mut();
            // A frame of the largest size, less one byte, with a mask of zeros.
            let frame = [&[0x82, 0xfe][..], &(MAX_STREAM_FRAME as u16).to_be_bytes(), &[0; 4]].concat();
            socket.write_all(&[&frame[..], &[0x5a; MAX_STREAM_FRAME - 1]].concat()).unwrap();
            socket.flush().unwrap();
        });
    }
}

#[test]
fn heads_without_end_take_no_more_than_a_share() {
    for options in [&[][..], &["--max-memory=8M"]] {
        attacked(options, |stream, origin| {
            stream.connect(origin);
            let bytes = StreamRequest::Bytes { bytes: &[b'a'; STREAM_CHUNK] }.encode();
            while stream.client.socket.send(Message::binary(bytes.clone())).is_ok() {}
        });
    }
}

#[test]
fn pings_without_end_take_no_more_than_a_share() {
    attacked(&[], |stream, _| {
        let ping = Message::Ping(vec![0x50; 125].into());
        let _ = (0..20_000).try_for_each(|_| stream.client.socket.send(ping.clone()));
    });
}
