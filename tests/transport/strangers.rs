//! Promise 8, before the handshake: strangers cost bounded memory, whatever they send and however many they are at once, and
//! keep no client out.
#![cfg(target_os = "linux")]

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proto::tls::server_name;
use proto::{Hello, Purpose};
use rustix::net::{AddressFamily, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit, setrlimit};
use rustls::{ClientConfig, ClientConnection};

use crate::peer::{
    AUDIT, Received, TlsClient, conf, connect, keys, of_kind, records, refused_handshakes, resident_kib,
    tls_of,
};
use crate::support::{Bridge, LIMIT, Start as _};

/// Memory that a flood may take above an idle bridge, in KiB.
const ALLOWED: u64 = 12 << 10;
/// Connecting threads of a flood.
const THREADS: usize = 400;
/// Connections of a flood, before it may end.
const CONNECTIONS: usize = 10_000;

fn bridge() -> Bridge {
    Bridge::serve(["--secret", "TOKEN=hunter2", "--audit", AUDIT])
}

/// The first message of a client with `tls`.
fn first_message(tls: ClientConfig) -> Vec<u8> {
    let mut connection = ClientConnection::new(Arc::new(tls), server_name()).unwrap();
    let mut bytes = Vec::new();
    connection.write_tls(&mut bytes).unwrap();
    bytes
}

/// The ClientHello of a client of `bridge`, with a new knock.
fn client_hello(bridge: &Bridge) -> Vec<u8> {
    first_message(tls_of(&conf(&bridge.conf)))
}

fn hello_without_knock(bridge: &Bridge) -> Vec<u8> {
    let mut tls = tls_of(&conf(&bridge.conf));
    tls.alpn_protocols.clear();
    first_message(tls)
}

/// A connection from a given address of loopback.
fn connect_from(from: IpAddr, to: SocketAddr) -> Option<TcpStream> {
    let socket = rustix::net::socket(AddressFamily::INET, SocketType::STREAM, None).ok()?;
    rustix::net::bind(&socket, &SocketAddr::new(from, 0)).ok()?;
    rustix::net::connect(&socket, &to).ok()?;
    let tcp = TcpStream::from(socket);
    // A reset at the end: TIME_WAIT would use up the ports of this address.
    rustix::net::sockopt::set_socket_linger(&tcp, Some(Duration::ZERO)).ok()?;
    Some(tcp)
}

/// What a stranger does with its connection.
#[derive(Clone, Copy)]
enum Then {
    /// Waits until the bridge closes it.
    WaitForEnd,
    /// Closes it at once, with a reset.
    Leave,
    /// Keeps it open, whatever the bridge does, as one of this number.
    KeepOpen(usize),
}

/// Floods `bridge` from `from` by many threads at once, each connection with `bytes`, while `meanwhile` runs. Returns the
/// most memory that the bridge took, in KiB above that before.
fn flood(bridge: &Bridge, from: [u8; 4], bytes: &[u8], then: Then, meanwhile: impl FnOnce()) -> u64 {
    bridge.client(["print", "TOKEN"]).outcome().succeeds();
    let before = resident_kib(bridge);
    let (to, made, stop) = (bridge.address(), AtomicUsize::new(0), AtomicBool::new(false));
    let most = AtomicUsize::new(0);
    thread::scope(|scope| {
        let attack = || {
            let mut kept = std::collections::VecDeque::new();
            while !stop.load(Ordering::Relaxed) {
                let Some(mut tcp) = connect_from(from.into(), to) else {
                    thread::sleep(Duration::from_millis(1));
                    continue;
                };
                made.fetch_add(1, Ordering::Relaxed);
                let _ = tcp.write_all(bytes);
                match then {
                    Then::Leave => {}
                    Then::WaitForEnd => {
                        let _ = tcp.set_read_timeout(Some(LIMIT));
                        while matches!(tcp.read(&mut [0; 64]), Ok(1..)) {}
                    }
                    Then::KeepOpen(number) => {
                        kept.push_back(tcp);
                        if kept.len() > number {
                            kept.pop_front();
                        }
                    }
                }
            }
        };
        for _ in 0..THREADS {
            thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, attack).unwrap();
        }
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                most.fetch_max(resident_kib(bridge) as usize, Ordering::Relaxed);
                thread::sleep(Duration::from_millis(20));
            }
        });
        // The threads must end, also when an assertion fails.
        let _stop = StopAtEnd(&stop);
        wait_for(&made, 1000);
        meanwhile();
        wait_for(&made, CONNECTIONS);
    });
    (most.into_inner() as u64).saturating_sub(before)
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn wait_for(made: &AtomicUsize, number: usize) {
    let deadline = Instant::now() + 3 * LIMIT;
    while made.load(Ordering::Relaxed) < number {
        assert!(Instant::now() < deadline, "{} connections", made.load(Ordering::Relaxed));
        thread::sleep(Duration::from_millis(10));
    }
}

/// Five clients one after the other, each of which must succeed.
fn good_clients(bridge: &Bridge) {
    for _ in 0..5 {
        bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
    }
}

/// Floods a bridge, and checks its memory, its clients and that it counted the connections with `cause`.
#[track_caller]
fn assert_harmless(from: [u8; 4], bytes: impl Fn(&Bridge) -> Vec<u8>, then: Then, cause: &str) {
    let bridge = bridge();
    let bytes = bytes(&bridge);
    let taken = flood(&bridge, from, &bytes, then, || good_clients(&bridge));
    assert!(taken <= ALLOWED, "{taken} KiB");
    let records = records(&bridge);
    let refused = refused_handshakes(&records);
    // How many end by another cause than `cause` depends on how fast this machine floods and accepts.
    assert!(refused.get(cause).copied().unwrap_or(0) > 0, "{refused:?}");
    assert!(refused.values().sum::<u64>() > CONNECTIONS as u64 / 10, "{refused:?}");
    let sums = of_kind(&records, "handshakes-refused").len();
    assert!(sums < 100, "{sums} records");
    assert_eq!(of_kind(&records, "session-begun").len(), 6);
}

/// More than twice of what the system's queue of the listener and the bridge hold together: 12,000.
const KEEP_OPEN: Then = Then::KeepOpen(30);
const HERE: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

#[test]
fn a_flood_of_garbage_is_harmless() {
    assert_harmless(HERE, |_| vec![0xa5; 600], Then::WaitForEnd, "not-tls");
}

#[test]
fn a_flood_of_client_hellos_without_knock_is_harmless() {
    assert_harmless(ELSEWHERE, hello_without_knock, Then::WaitForEnd, "no-knock");
}

#[test]
fn a_flood_of_connections_that_leave_is_harmless() {
    assert_harmless(HERE, |_| Vec::new(), Then::Leave, "gave-up");
}

#[test]
fn a_flood_of_one_knock_that_was_used_is_harmless() {
    let used = |bridge: &Bridge| {
        let hello = client_hello(bridge);
        let mut tcp = connect(bridge.address());
        tcp.write_all(&hello).unwrap();
        assert!(tcp.read(&mut [0; 64]).unwrap() > 0, "the bridge answers it");
        hello
    };
    assert_harmless(HERE, used, Then::WaitForEnd, "replayed-knock");
}

/// Lets this process, and the floods in it, have as many descriptors as it may.
fn raise_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).unwrap();
}

#[test]
fn a_flood_of_silent_open_connections_is_harmless() {
    raise_descriptors();
    assert_harmless(HERE, |_| Vec::new(), KEEP_OPEN, "yielded-to-newcomer");
}

#[test]
fn a_flood_of_partial_client_hellos_is_harmless() {
    raise_descriptors();
    // As long as a client's hello can be without being whole.
    let partial = |_: &Bridge| {
        let mut hello = vec![22, 3, 1, 0x0f, 0xfb, 1, 0, 0x0f, 0xf7, 3, 3];
        hello.resize(4095, 0);
        hello
    };
    assert_harmless(ELSEWHERE, partial, KEEP_OPEN, "yielded-to-newcomer");
}

#[test]
fn a_knock_in_one_byte_segments_is_accepted() {
    let bridge = bridge();
    let mut tls = ClientConnection::new(Arc::new(tls_of(&conf(&bridge.conf))), server_name()).unwrap();
    let mut tcp = connect(bridge.address());
    let mut bytes = Vec::new();
    tls.write_tls(&mut bytes).unwrap();
    for byte in bytes {
        tcp.write_all(&[byte]).unwrap();
    }
    finish(tls, tcp);
}

#[test]
fn a_knock_in_several_records_is_accepted() {
    let bridge = bridge();
    for length in [10, 100, 1000] {
        let mut tls = ClientConnection::new(Arc::new(tls_of(&conf(&bridge.conf))), server_name()).unwrap();
        let mut tcp = connect(bridge.address());
        let mut bytes = Vec::new();
        tls.write_tls(&mut bytes).unwrap();
        for part in bytes[5..].chunks(length) {
            tcp.write_all(&[22, 3, 1, (part.len() >> 8) as u8, part.len() as u8]).unwrap();
            tcp.write_all(part).unwrap();
        }
        finish(tls, tcp);
    }
}

/// Completes a handshake whose ClientHello was sent, and asks what the bridge offers: that is no session.
fn finish(mut tls: ClientConnection, mut tcp: TcpStream) {
    while tls.is_handshaking() {
        tls.complete_io(&mut tcp).unwrap();
    }
    let client = TlsClient(rustls::StreamOwned::new(tls, tcp));
    let mut client = client.upgrade(&Hello::without_session(Purpose::Test)).unwrap();
    assert_eq!(client.next(), Received::Offers(keys(&["TOKEN"])));
}

/// More clients at the same instant than there are places for handshakes. None of them answers before all have sent
/// their ClientHello, so that many wait in line.
#[test]
fn clients_at_the_same_instant_do_not_evict_each_other() {
    const CLIENTS: usize = 300;
    raise_descriptors();
    let bridge = bridge();
    let mut clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let tls = ClientConnection::new(Arc::new(tls_of(&conf(&bridge.conf))), server_name()).unwrap();
            (tls, connect(bridge.address()))
        })
        .collect();
    for (tls, tcp) in &mut clients {
        tls.write_tls(tcp).unwrap();
    }
    thread::scope(|scope| {
        while !clients.is_empty() {
            let some = clients.split_off(clients.len().saturating_sub(CLIENTS / 10));
            scope.spawn(|| some.into_iter().for_each(|(tls, tcp)| finish(tls, tcp)));
        }
    });
    let records = records(&bridge);
    assert_eq!(refused_handshakes(&records), std::collections::BTreeMap::new());
    assert_eq!(of_kind(&records, "tested").len(), CLIENTS);
}

/// Knocks that strangers observed, and that the bridge has not got: each takes a place for a handshake, but not for long.
#[test]
fn handshakes_without_answer_keep_no_client_out() {
    raise_descriptors();
    let bridge = bridge();
    let stalled: Vec<TcpStream> = (0..200)
        .map(|_| {
            let mut tcp = connect(bridge.address());
            tcp.write_all(&client_hello(&bridge)).unwrap();
            tcp
        })
        .collect();
    bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
    drop(stalled);
    let refused = refused_handshakes(&records(&bridge));
    assert!(refused["yielded-to-newcomer"] >= 73, "{refused:?}");
}

/// The limit of descriptors is below what the bridge would hold: silent peers yield to whom it accepts next, and the log
/// has one line about it.
#[test]
fn without_descriptors_silent_peers_yield_and_the_log_stays_short() {
    let bridge = bridge();
    // Set after the start, at which the bridge plans with its limit.
    let few = Rlimit { current: Some(48), maximum: Some(48) };
    prlimit(Some(bridge.process.pid), Resource::Nofile, few).unwrap();
    let silent: Vec<TcpStream> = (0..200).map(|_| connect(bridge.address())).collect();
    for _ in 0..3 {
        bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
    }
    drop(silent);
    let log = bridge.end().stderr;
    assert_eq!(log.matches("cannot accept connections at present").count(), 1, "{log}");
}
