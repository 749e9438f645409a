//! Many clients at once: how many sessions a bridge serves, and that further clients wait in line.
#![cfg(target_os = "linux")]
// Tests match the messages that they expect, and fail on all others.
#![allow(clippy::wildcard_enum_match_arm)]

use proto::{Hello, Purpose, SessionId};

use crate::peer::{
    AUDIT, Client, Received, TlsClient, hello, new_session, of_kind, raise_descriptors, records, resuming,
    serve_with_descriptors, status,
};
use crate::support::agent::Key;
use crate::support::{BINARY, Bridge, Home, Start as _};

/// A bridge with one secret, that serves at most `sessions` sessions at once.
fn bridge(sessions: &str, args: &[&str]) -> Bridge {
    let usual = ["--secret", "TOKEN=hunter2", "--audit", AUDIT, "--max-concurrent", sessions];
    Bridge::serve([&usual, args].concat())
}

fn dial(bridge: &Bridge, hello: &Hello) -> Client {
    TlsClient::to(&bridge.conf).unwrap().upgrade(hello).unwrap()
}

/// A client that is in line.
fn in_line(bridge: &Bridge, hello: &Hello) -> Client {
    let mut client = dial(bridge, hello);
    assert_eq!(client.next(), Received::Waiting);
    client
}

/// The client's next message other than `waiting`.
fn after_waiting(client: &mut Client) -> Received {
    loop {
        match client.next() {
            Received::Waiting => {}
            other => return other,
        }
    }
}

fn is_welcome(client: &mut Client) -> bool {
    after_waiting(client) == Received::Welcome
}

/// Ends the session, and waits until the bridge has ended it.
fn end(mut client: Client) {
    client.socket.close(None).unwrap();
    while client.next() != Received::Gone {}
}

#[test]
fn by_default_hundreds_of_sessions_are_served_at_once() {
    raise_descriptors();
    let bridge = Bridge::serve(["--secret", "TOKEN=hunter2"]);
    let sessions: Vec<Client> = (0..400).map(|_| Client::begin(&bridge.conf, &[]).0).collect();
    bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
    drop(sessions);
}

#[test]
fn a_session_over_the_limit_waits_for_its_turn() {
    let bridge = bridge("2", &[]);
    let (first, _) = Client::begin(&bridge.conf, &[]);
    let (second, _) = Client::begin(&bridge.conf, &[]);
    let mut third = in_line(&bridge, &hello(&["TOKEN"]));
    let mut fourth = in_line(&bridge, &hello(&[]));
    let print = bridge.client(["print", "TOKEN"]).start();
    // Neither is a session.
    bridge.client(["test"]).outcome().succeeds();
    end(second);
    assert!(is_welcome(&mut third));
    assert_eq!(third.next(), Received::Length(0, 7));
    end(first);
    assert!(is_welcome(&mut fourth));
    end(third);
    print.ends().succeeds().prints("hunter2");
    end(fourth);
    let records = records(&bridge);
    assert_eq!(of_kind(&records, "session-begun").len(), 5);
    assert!(of_kind(&records, "session-refused").is_empty());
}

#[test]
fn what_a_client_in_line_sends_is_answered_later() {
    let bridge = bridge("1", &[]);
    let (first, _) = Client::begin(&bridge.conf, &[]);
    let mut second = in_line(&bridge, &hello(&["TOKEN"]));
    second.get(1, vec!["TOKEN".parse().unwrap(); 2000]);
    end(first);
    assert!(is_welcome(&mut second));
    let mut lengths = 0;
    while lengths < 2001 {
        if let Received::Length(_, 7) = second.next() {
            lengths += 1;
        }
    }
}

#[test]
fn redials_come_first_in_line() {
    let bridge = bridge("1", &[]);
    let (first, session) = Client::begin(&bridge.conf, &[]);
    drop(first); // no close frame: it broke
    // The broken session has no place.
    let mut second = dial(&bridge, &hello(&[]));
    assert!(is_welcome(&mut second));
    let mut third = in_line(&bridge, &hello(&[]));
    let mut redial = in_line(&bridge, &resuming(session, hello(&["TOKEN"])));
    end(second);
    assert!(is_welcome(&mut redial));
    end(redial);
    assert!(is_welcome(&mut third));
}

#[test]
fn a_nested_session_needs_no_place() {
    let bridge = bridge("1", &[]);
    let (mut outer, session) = Client::begin(&bridge.conf, &[]);
    let within = |parent| Hello { parent: Some(parent), ..hello(&["TOKEN"]) };
    let nested = within(session);
    let mut inner = dial(&bridge, &nested);
    assert_eq!(inner.next(), Received::Welcome);
    let mut innermost = dial(&bridge, &within(nested.session));
    assert_eq!(innermost.next(), Received::Welcome);
    // A session that does not exist is no parent.
    let stranger = in_line(&bridge, &within(SessionId([7; 16])));
    drop(stranger);
    end(innermost);
    end(inner);
    outer.get(0, vec!["TOKEN".parse().unwrap()]);
    assert_eq!(outer.next(), Received::Length(0, 7));
}

#[test]
fn exec_within_exec_finishes_with_one_place() {
    let home = Home::new();
    // The agent keeps the sessions open while COMMAND runs.
    Key::ed25519(&home, "deploy");
    let args = ["--max-concurrent", "1", "--ssh", "default=deploy", "--secret", "TOKEN=hunter2"];
    let bridge = Bridge::serve_in(home, args);
    bridge.home.file("conf", &bridge.conf);
    let exec = [BINARY, "exec", "-c", "conf", "--leaks=off", "--no-mask", "-e", "TOKEN", "--"];
    let nested = [&exec[1..], &exec, &[BINARY, "print", "-c", "conf", "TOKEN"]].concat();
    bridge.home.command(nested).outcome().succeeds().prints("hunter2");
}

#[test]
fn a_full_line_refuses_and_kill_needs_no_place() {
    // A tenth of the descriptors: 16 clients in line.
    let (home, command) = serve_with_descriptors("160", &["--max-concurrent", "1"]);
    let bridge = Bridge::start(home, command);
    let (_first, _) = Client::begin(&bridge.conf, &[]);
    let mut line: Vec<Client> = (0..16).map(|_| in_line(&bridge, &hello(&[]))).collect();
    let refused = || TlsClient::to(&bridge.conf).unwrap().upgrade(&hello(&[]));
    assert_eq!(status(refused()), 503);
    bridge.client(["test"]).outcome().succeeds();

    // A client that goes away makes room at once.
    drop(line.pop());
    let mut late = loop {
        if let Ok(client) = refused() {
            break client;
        }
    };
    assert_eq!(late.next(), Received::Waiting);
    let records = records(&bridge);
    assert!(of_kind(&records, "session-refused").iter().all(|record| record["reason"] == "busy"));

    // The bridge ends although clients wait, and they are told.
    bridge.client(["kill"]).outcome().succeeds();
    bridge.process.exits();
    for client in &mut line {
        assert_eq!(after_waiting(client), Received::Gone);
    }
}

#[test]
fn clients_in_line_count_for_max_sessions() {
    let bridge = bridge("1", &["--max-sessions", "2"]);
    let (first, _) = Client::begin(&bridge.conf, &[]);
    let waiting = in_line(&bridge, &hello(&[]));
    let upgrade = || TlsClient::to(&bridge.conf).unwrap().upgrade(&hello(&[]));
    assert_eq!(status(upgrade()), 410);
    drop(waiting);
    let mut second = loop {
        if let Ok(client) = upgrade() {
            break client;
        }
    };
    end(first);
    assert!(is_welcome(&mut second));
    end(second);
    bridge.process.exits();
}

#[test]
fn a_client_that_dials_again_keeps_its_position() {
    let bridge = bridge("1", &["--max-sessions", "3"]);
    let (first, _) = Client::begin(&bridge.conf, &[]);
    let again = hello(&[]);
    let mut old = in_line(&bridge, &again);
    let mut third = in_line(&bridge, &hello(&[]));
    let mut second = in_line(&bridge, &again);
    assert!(matches!(after_waiting(&mut old), Received::Closed(_) | Received::Gone));
    end(first);
    assert!(is_welcome(&mut second));
    end(second);
    assert!(is_welcome(&mut third));
}

#[test]
fn silent_clients_after_the_handshake_keep_none_out() {
    let (home, command) = serve_with_descriptors("256", &["--max-concurrent", "2"]);
    let bridge = Bridge::start(home, command);
    for _ in 0..3 {
        let silent: Vec<TlsClient> = (0..20).map(|_| TlsClient::to(&bridge.conf).unwrap()).collect();
        bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
        bridge.client(["test"]).outcome().succeeds();
        drop(silent);
    }
    // Nor do clients that ask what the bridge offers, and do not go.
    let query = Hello::without_session(Purpose::Test);
    let silent: Vec<Client> = (0..20).map(|_| dial(&bridge, &query)).collect();
    bridge.client(["test"]).outcome().succeeds();
    bridge.client(["print", "TOKEN"]).outcome().succeeds();
    drop(silent);
}

/// Sockets that the bridge has open, its listener included.
fn sockets(bridge: &Bridge) -> usize {
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", bridge.process.pid.as_raw_nonzero())).unwrap();
    let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}

#[test]
fn of_too_many_silent_clients_the_oldest_yields() {
    let (home, command) = serve_with_descriptors("256", &["--max-concurrent", "2"]);
    let bridge = Bridge::start(home, command);
    let idle = sockets(&bridge);
    // Of these, the bridge keeps 8.
    let silent: Vec<TlsClient> = (0..40).map(|_| TlsClient::to(&bridge.conf).unwrap()).collect();
    // It is served after all of them.
    bridge.client(["print", "TOKEN"]).outcome().succeeds();
    let open = sockets(&bridge) - idle;
    assert!(open <= 8 + 1, "{open} connections");
    drop(silent);
}

#[test]
fn a_bridge_with_few_descriptors_serves_or_says_why_not() {
    raise_descriptors();
    for files in ["128", "160", "256"] {
        let (home, command) = serve_with_descriptors(files, &[]);
        let bridge = Bridge::start(home, command);
        let idle: Vec<_> =
            (0..300).map(|_| std::net::TcpStream::connect(bridge.address()).unwrap()).collect();
        bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
        assert!(bridge.process.stderr().lines().count() < 20, "{}", bridge.process.stderr());
        drop(idle);
    }
    let (_home, mut command) = serve_with_descriptors("64", &[]);
    command
        .outcome()
        .fails()
        .says("cannot start a bridge: the limit of open files is 64")
        .says("LimitNOFILE");
}

#[test]
fn max_concurrent_and_max_memory_are_checked_at_the_start() {
    let (_home, mut command) = serve_with_descriptors("1024", &["--max-concurrent", "1000"]);
    command
        .outcome()
        .fails()
        .says("cannot serve 1000 sessions at once (--max-concurrent): the limit of open files is 1024")
        .says("ulimit -n");
    let start = |args: &[&str]| Home::new().serve(args).outcome().fails();
    start(&["--max-concurrent", "5000", "--max-memory", "8M"]).says("--max-memory");
    start(&["--max-concurrent", "0"]).says("invalid --max-concurrent: must be a number, at least 1");
    start(&["--max-memory", "1M"]).says("invalid --max-memory: must be at least 8M");
}

#[test]
fn a_session_id_in_line_is_not_a_live_session() {
    let bridge = bridge("1", &[]);
    let (_first, _) = Client::begin(&bridge.conf, &[]);
    let waiting = hello(&[]);
    let _second = in_line(&bridge, &waiting);
    // It had no welcome that it could resume.
    let resumed = TlsClient::to(&bridge.conf).unwrap().upgrade(&resuming(waiting.session, hello(&[])));
    assert_eq!(status(resumed), 404);
    assert_eq!(
        status(TlsClient::to(&bridge.conf).unwrap().upgrade(&resuming(new_session(), hello(&[])))),
        404
    );
}
