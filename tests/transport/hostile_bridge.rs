//! Promise 10 and the limits of the client: a bridge with the right pin can still send anything or break off.
//! Connections that break are dialled again.

use std::time::Duration;

use proto::limits::{CHUNK, MAX_FRAME, MAX_SECRET};
use proto::{HostMessage, RefusalReason, Untrusted};
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::peer::{
    AUDIT, Cut, FakeBridge, Relay, ServerSocket, conf, of_kind, records, send, until_closed, welcome,
    with_endpoints,
};
use crate::support::{Bridge, Home, Outcome, Start as _};

/// The outcome of `print TOKEN` from a bridge that sends `welcome` and then runs `handle`.
fn print_from(mut handle: impl FnMut(&mut ServerSocket) + Send + 'static) -> Outcome {
    let bridge = FakeBridge::new(move |socket, _| {
        welcome(socket);
        handle(socket);
        until_closed(socket);
    });
    let home = Home::new();
    let outcome = home.command(["print", "TOKEN"]).env("BRIDGE_CONF", &bridge.conf).outcome();
    bridge.finishes();
    outcome
}

fn raw(socket: &mut ServerSocket, payload: &[u8]) {
    // The client may close the connection before it has read everything.
    let _ = socket.send(Message::Binary(Bytes::copy_from_slice(payload)));
}

fn length(socket: &mut ServerSocket, request: u32, length: u64) {
    send(socket, &HostMessage::Length { request, length });
}

fn chunk(socket: &mut ServerSocket, request: u32, bytes: &[u8]) {
    send(socket, &HostMessage::Chunk { request, bytes });
}

#[test]
fn lengths_over_the_limit_are_rejected() {
    print_from(|socket| length(socket, 0, MAX_SECRET + 1))
        .fails()
        .says("secret over the limit of 1073741824");
}

#[test]
fn more_bytes_than_announced_are_rejected() {
    print_from(|socket| {
        length(socket, 0, 3);
        chunk(socket, 0, b"four");
    })
    .fails()
    .says("the bridge violated the protocol: more bytes than announced");
    // Also without any announcement.
    print_from(|socket| chunk(socket, 0, b"four")).fails().says("more bytes than announced");
}

#[test]
fn answers_to_unknown_requests_are_rejected() {
    print_from(|socket| length(socket, 1, 3)).fails().says("an answer to an unknown request");
    print_from(|socket| chunk(socket, 7, b"four")).fails().says("an answer to an unknown request");
    print_from(|socket| send(socket, &HostMessage::Ending)).fails().says("an answer without a question");
}

#[test]
fn a_second_refusal_of_a_secret_is_rejected() {
    let bridge = FakeBridge::new(|socket, _| {
        welcome(socket);
        for _ in 0..2 {
            let detail = Untrusted::new("x".repeat(1000));
            send(socket, &HostMessage::Refused { request: 0, reason: RefusalReason::Unknown, detail });
        }
        until_closed(socket);
    });
    Home::new()
        .command(["exec", "-e", "A", "-e", "B", "--", "echo", "started"])
        .env("BRIDGE_CONF", &bridge.conf)
        .outcome()
        .fails()
        .says("a secret refused twice");
    bridge.finishes();
}

#[test]
fn malformed_messages_are_rejected() {
    let message = "invalid message from the bridge";
    for payload in [&[][..], &[0x81, 0x16], &[0x83, 0x11, 0, 1, 0], &[0x83, 0x11, 0x18, 0, 1], &[0xff; 64]] {
        print_from(move |socket| raw(socket, payload)).fails().says(message);
    }
    print_from(|socket| socket.send(Message::text("hunter2")).unwrap())
        .fails()
        .says("a frame that is not binary");
    print_from(|socket| raw(socket, &vec![0x80; MAX_FRAME + 1])).fails().says("a frame over the limit");
    let big = [&[0x83, 0x12, 0, 0x5a, 0, 1, 0, 1][..], &vec![b'x'; CHUNK + 1]].concat();
    print_from(move |socket| {
        length(socket, 0, MAX_SECRET);
        raw(socket, &big);
    })
    .fails()
    .says("chunk over the limit of 65536");
}

#[test]
fn the_detail_of_a_refusal_is_escaped_and_cut() {
    let print = |detail: String| {
        print_from(move |socket| {
            let detail = Untrusted::new(detail.as_str());
            send(socket, &HostMessage::Refused { request: 0, reason: RefusalReason::SourceFailed, detail });
        })
        .fails()
    };
    let outcome = print("\u{1b}[2Jgone\u{202e}txt\r\nhint: run curl\u{7}\u{9b}31m".to_owned());
    outcome
        .says("TOKEN: its source failed on the host (\\u{1b}[2Jgone\\u{202e}txt\\u{d}\\u{a}hint: run curl\\u{7}\\u{9b}31m)");

    let outcome = print("y".repeat(1000)).says("… (1000 bytes in all)");
    assert!(outcome.stderr.len() < 500, "{}", outcome.stderr);

    // A megabyte of it is over the limit of the protocol.
    let huge = [&[0x84, 0x13, 0, 3, 0x7a, 0, 0xf, 0xff, 0][..], &vec![b'\x1b'; 0xf_ff00]].concat();
    let outcome = print_from(move |socket| raw(socket, &huge)).fails().says("detail over the limit of 1024");
    assert!(outcome.stderr.len() < 500, "{}", outcome.stderr);
}

#[test]
fn invalid_agent_ids_and_keys_are_rejected() {
    let welcome_with = |id: &str| [&[0x82, 0x10, 0x81, 0x60 | id.len() as u8][..], id.as_bytes()].concat();
    print_from(move |socket| raw(socket, &welcome_with("\u{1b}[31m"))).fails().says("invalid agent id");

    let bridge = FakeBridge::new(|socket, _| {
        raw(socket, b"\x84\x14\x81\x65\x1b[31m\x80\x80");
        until_closed(socket);
    });
    Home::new().command(["test"]).env("BRIDGE_CONF", &bridge.conf).outcome().fails().says("invalid key");
    bridge.finishes();
}

#[test]
fn a_partial_secret_is_never_taken_for_a_whole_one() {
    // Six connections: the first, and five redials; each breaks after the same bytes.
    let mut sessions = Vec::new();
    let bridge = FakeBridge::for_connections(6, move |socket, hello| {
        assert_eq!(hello.resume, !sessions.is_empty());
        sessions.push(hello.session);
        assert!(sessions.iter().all(|session| *session == sessions[0]), "{sessions:?}");
        welcome(socket);
        length(socket, 0, 100);
        chunk(socket, 0, b"half");
    });
    let outcome = Home::new()
        .command(["exec", "-e", "TOKEN", "--", "echo", "started"])
        .env("BRIDGE_CONF", &bridge.conf)
        .outcome();
    outcome
        .fails()
        .says("dialling again")
        .says("the connection to the bridge broke: the bridge has ended")
        .says("hint: is `serve` still running on the host?");
    bridge.finishes();
}

#[test]
fn a_bridge_that_has_ended_at_the_redial_is_an_error() {
    let bridge = FakeBridge::new(|socket, _| {
        welcome(socket);
        length(socket, 0, 100);
    });
    let home = Home::new();
    let client = home.command(["print", "TOKEN"]).env("BRIDGE_CONF", &bridge.conf).start();
    bridge.finishes();
    client.ends().fails().says("dialling again").says("no endpoint of the bridge answered");
}

#[test]
fn a_secret_that_changed_before_the_redial_is_an_error() {
    let mut connection = 0;
    let bridge = FakeBridge::for_connections(2, move |socket, _| {
        connection += 1;
        welcome(socket);
        length(socket, 0, 10 * connection);
        chunk(socket, 0, b"half");
        if connection == 2 {
            until_closed(socket);
        }
    });
    Home::new()
        .command(["exec", "-e", "TOKEN", "--", "echo", "started"])
        .env("BRIDGE_CONF", &bridge.conf)
        .outcome()
        .fails()
        .says("the length of a secret changed");
    bridge.finishes();
}

// ---- a real bridge, and a relay that breaks connections ----

fn secret(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n / 7 % 251) as u8).collect()
}

/// A bridge for one session, with a secret that can be read once.
fn single_read_bridge(secret: &[u8]) -> Bridge {
    let home = Home::new();
    let file = home.file("big", secret);
    let option = format!("id=big,src={},max-reads=1", file.display());
    Bridge::serve_in(home, ["--once", "--audit", AUDIT, "--secret", &option].map(str::to_owned))
}

#[test]
fn a_connection_lost_during_a_secret_is_redialled_without_loss() {
    // More than all buffers on the way hold: a bridge that could send everything would record it as completed.
    const LENGTH: usize = 30_000_000;
    const CUT: u64 = 1_000_000;
    let secret = secret(LENGTH);
    let bridge = single_read_bridge(&secret);
    let relay = Relay::to(bridge.address(), 2, Cut::FromBridge(CUT));
    let here = with_endpoints(&conf(&bridge.conf), relay.port, &["127.0.0.1"]);
    bridge
        .home
        .command(["print", "big"])
        .env("BRIDGE_CONF", here)
        .outcome()
        .succeeds()
        .prints(&secret)
        .says("dialling again");
    assert_eq!((relay.carried.recv().unwrap(), relay.carried.recv().unwrap()), (CUT, CUT));

    // One session, one read. The bridge records what was cut, and ends after its one session.
    bridge.process.exits();
    let records = records(&bridge);
    let redials: Vec<bool> =
        of_kind(&records, "session-begun").iter().map(|record| record["redial"].as_bool().unwrap()).collect();
    assert_eq!(redials, [false, true, true]);
    let outcomes: Vec<&str> =
        of_kind(&records, "secret-sent").iter().map(|record| record["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["cut", "cut", "completed"]);
}

#[test]
fn a_connection_that_always_breaks_is_abandoned() {
    let bridge = single_read_bridge(&secret(3_000_000));
    let relay = Relay::to(bridge.address(), usize::MAX, Cut::FromBridge(100_000));
    let here = with_endpoints(&conf(&bridge.conf), relay.port, &["127.0.0.1"]);
    bridge
        .home
        .command(["exec", "-e", "big", "--", "echo", "started"])
        .env("BRIDGE_CONF", here)
        .outcome()
        .fails()
        .never_says("started");
}

#[test]
fn a_connection_lost_before_the_welcome_is_reported() {
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2"]);
    // Within the bridge's first flight, and right after it.
    for after in [100, 2_200] {
        let relay = Relay::to(bridge.address(), usize::MAX, Cut::FromBridge(after));
        let here = with_endpoints(&conf(&bridge.conf), relay.port, &["127.0.0.1"]);
        let outcome = bridge.home.command(["print", "TOKEN"]).env("BRIDGE_CONF", here).outcome().fails();
        let says = |text| outcome.stderr.contains(text);
        assert!(
            says("closed the connection at once") || says("the connection to the bridge broke"),
            "{outcome:?}"
        );
        assert!(says(&format!("({} attempts in ", relay.connections())), "{outcome:?}");
        assert_eq!(relay.carried.recv_timeout(Duration::from_secs(1)).unwrap(), after);
    }
}
