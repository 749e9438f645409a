//! Promise 8, before the handshake: strangers cost bounded memory, whatever they send and however many they are at once, and
//! keep no client out.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use proto::tls::server_name;
use proto::{Hello, Purpose};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use rustls::{ClientConfig, ClientConnection};

use crate::peer::{
    AUDIT, Received, TlsClient, conf, connect, keys, of_kind, raise_descriptors, records, refused_handshakes,
    serve_with_descriptors, tls_of,
};
use crate::support::{Bridge, LIMIT, Start as _};

/// Memory that a flood may take above an idle bridge, in KiB.
const ALLOWED: u64 = 12 << 10;
/// Connecting threads of a flood.
const THREADS: usize = 400;
/// Connections of a flood, before it may end: more than twice of what the system's queue of the listener holds.
const CONNECTIONS: usize = 10_000;

fn bridge() -> Bridge {
    Bridge::serve(["--secret", "TOKEN=hunter2", "--audit", AUDIT])
}

/// A bridge with few descriptors: it runs 5 handshakes at once, and keeps 10 silent peers and 10 clients in line.
fn small_bridge() -> Bridge {
    let (home, command) = serve_with_descriptors("160", &[]);
    Bridge::start(home, command)
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
    // Programs that other tests start meanwhile must not inherit it.
    let socket =
        rustix::net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).ok()?;
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
    /// Keeps it open, whatever the bridge does, as one of [`kept_open`].
    KeepOpen,
}

/// How many connections each thread of a flood keeps open: 12,000 together, or what the limit of descriptors permits beside
/// other tests.
fn kept_open() -> usize {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    (usize::try_from(limit / 4).unwrap_or(usize::MAX) / THREADS).clamp(1, 30)
}

/// Floods `bridge` from `from` by many threads at once, each connection with `bytes`, while `meanwhile` runs. Returns the
/// most memory that the bridge took, in KiB above that before.
fn flood(bridge: &Bridge, from: [u8; 4], bytes: &[u8], then: Then, meanwhile: impl FnOnce()) -> u64 {
    // Each takes all processors, and many descriptors.
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    bridge.client(["print", "TOKEN"]).outcome().succeeds();
    let memory = Memory::of(bridge);
    let before = memory.kib();
    let (to, made, stop) = (bridge.address(), AtomicUsize::new(0), AtomicBool::new(false));
    let most = AtomicUsize::new(0);
    thread::scope(|scope| {
        let attack = || {
            // As if it were on another machine: it leaves the processors to the bridge and its clients. On Linux this is for
            // the calling thread only (nice(2), C library/kernel differences).
            let _ = rustix::process::nice(19);
            let mut kept = std::collections::VecDeque::new();
            while !stop.load(Ordering::Relaxed) {
                let Some(mut tcp) = connect_from(from.into(), to) else {
                    // No descriptor or port is free.
                    kept.clear();
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
                    Then::KeepOpen => {
                        kept.push_back(tcp);
                        if kept.len() > kept_open() {
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
                most.fetch_max(memory.kib() as usize, Ordering::Relaxed);
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

/// The status of the bridge's process. It is opened once: a flood may leave no descriptor to this process.
struct Memory(File);

impl Memory {
    fn of(bridge: &Bridge) -> Self {
        Self(File::open(format!("/proc/{}/status", bridge.process.pid.as_raw_nonzero())).unwrap())
    }

    /// What is resident, in KiB.
    fn kib(&self) -> u64 {
        let mut status = [0; 8192];
        let length = self.0.read_at(&mut status, 0).unwrap();
        let status = String::from_utf8_lossy(&status[..length]);
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

struct StopAtEnd<'a>(&'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn wait_for(made: &AtomicUsize, number: usize) {
    let deadline = Instant::now() + 5 * LIMIT;
    while made.load(Ordering::Relaxed) < number {
        assert!(Instant::now() < deadline, "{} connections", made.load(Ordering::Relaxed));
        thread::sleep(Duration::from_millis(10));
    }
}

/// Five clients one after the other, each of which must be served. A client gives up after some 10 s, within which a machine
/// with other work may not let the bridge run often enough: then it is started again.
fn good_clients(bridge: &Bridge) {
    for _ in 0..5 {
        let end = Instant::now() + LIMIT;
        let mut outcome = bridge.client(["print", "TOKEN"]).outcome();
        while outcome.code() == Some(125) && Instant::now() < end {
            outcome = bridge.client(["print", "TOKEN"]).outcome();
        }
        outcome.succeeds().prints("hunter2");
    }
}

/// Floods a bridge, and checks its memory, its clients, and that it counted the connections. With `cause`, it closed some
/// for that one: how many end by which depends on how fast this machine floods and accepts.
#[track_caller]
fn assert_harmless(from: [u8; 4], bytes: impl Fn(&Bridge) -> Vec<u8>, then: Then, cause: Option<&str>) {
    raise_descriptors();
    let bridge = bridge();
    let bytes = bytes(&bridge);
    let taken = flood(&bridge, from, &bytes, then, || good_clients(&bridge));
    assert!(taken <= ALLOWED, "{taken} KiB");
    let records = records(&bridge);
    let refused = refused_handshakes(&records);
    if let Some(cause) = cause {
        assert!(refused.get(cause).copied().unwrap_or(0) > 0, "{refused:?}");
    }
    assert!(refused.values().sum::<u64>() > CONNECTIONS as u64 / 10, "{refused:?}");
    // Sums are written every 10 s, and at the end.
    let sums = of_kind(&records, "handshakes-refused").len();
    assert!(sums < 100, "{sums} records");
    let sessions = of_kind(&records, "session-begun").into_iter().filter(|record| record["redial"] == false);
    assert!(sessions.count() >= 6);
}

const HERE: [u8; 4] = [127, 0, 0, 1];
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

#[test]
fn a_flood_of_garbage_is_harmless() {
    assert_harmless(HERE, |_| vec![0xa5; 600], Then::WaitForEnd, Some("not-tls"));
}

#[test]
fn a_flood_of_client_hellos_without_knock_is_harmless() {
    assert_harmless(ELSEWHERE, hello_without_knock, Then::WaitForEnd, Some("no-knock"));
}

#[test]
fn a_flood_of_connections_that_leave_is_harmless() {
    assert_harmless(HERE, |_| Vec::new(), Then::Leave, Some("gave-up"));
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
    assert_harmless(HERE, used, Then::WaitForEnd, Some("replayed-knock"));
}

#[test]
fn a_flood_of_silent_open_connections_is_harmless() {
    assert_harmless(HERE, |_| Vec::new(), Then::KeepOpen, None);
}

#[test]
fn a_flood_of_partial_client_hellos_is_harmless() {
    assert_harmless(ELSEWHERE, |_| partial_hello(), Then::KeepOpen, None);
}

/// As long as a client's hello can be without being whole.
fn partial_hello() -> Vec<u8> {
    let mut hello = vec![22, 3, 1, 0x0f, 0xfb, 1, 0, 0x0f, 0xf7, 3, 3];
    hello.resize(4095, 0);
    hello
}

#[test]
fn of_too_many_silent_connections_the_oldest_yields() {
    for bytes in [Vec::new(), partial_hello()] {
        let bridge = small_bridge();
        // Of these, it keeps 10.
        let mut silent: Vec<TcpStream> = (0..60)
            .map(|_| {
                let mut tcp = connect(bridge.address());
                tcp.write_all(&bytes).unwrap();
                tcp
            })
            .collect();
        assert!(matches!(silent[0].read(&mut [0]), Ok(0) | Err(_)), "the first one is closed");
        bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
        let refused = refused_handshakes(&records(&bridge));
        assert!(refused["yielded-to-newcomer"] > 0, "{refused:?}");
    }
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

/// A client that has sent its ClientHello.
struct Beginning {
    tls: ClientConnection,
    tcp: TcpStream,
}

impl Beginning {
    /// Its ClientHello is made and not sent.
    fn new(bridge: &Bridge) -> Self {
        let tls = ClientConnection::new(Arc::new(tls_of(&conf(&bridge.conf))), server_name()).unwrap();
        Self { tls, tcp: connect(bridge.address()) }
    }

    fn send(&mut self) {
        self.tls.write_tls(&mut self.tcp).unwrap();
    }

    /// Completes the handshake, unless the bridge closes the connection.
    fn finish(mut self) -> std::io::Result<()> {
        while self.tls.is_handshaking() {
            self.tls.complete_io(&mut self.tcp)?;
        }
        Ok(())
    }
}

/// More clients at the same instant than there are places for handshakes: some wait in line, and none yields while others
/// prove themselves. That holds where each answers within a second, so a round that takes longer is repeated.
#[test]
fn clients_at_the_same_instant_do_not_evict_each_other() {
    const CLIENTS: usize = 10;
    let end = Instant::now() + LIMIT;
    loop {
        let bridge = small_bridge();
        let mut clients: Vec<Beginning> = (0..CLIENTS).map(|_| Beginning::new(&bridge)).collect();
        let began = Instant::now();
        clients.iter_mut().for_each(Beginning::send);
        let finished = clients.into_iter().filter_map(|client| client.finish().ok()).count();
        let took = began.elapsed();
        bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
        if took < Duration::from_secs(1) {
            assert_eq!(finished, CLIENTS);
            return assert_eq!(refused_handshakes(&records(&bridge)), std::collections::BTreeMap::new());
        }
        assert!(Instant::now() < end, "{CLIENTS} handshakes take {took:?}");
    }
}

/// Knocks that strangers observed, and that the bridge has not got: each takes a place for a handshake, but not for long.
#[test]
fn handshakes_without_answer_keep_no_client_out() {
    let bridge = small_bridge();
    // More than run at once, and as many as can wait in line.
    let mut stalled: Vec<Beginning> = (0..14).map(|_| Beginning::new(&bridge)).collect();
    stalled.iter_mut().for_each(Beginning::send);
    bridge.client(["print", "TOKEN"]).outcome().succeeds().prints("hunter2");
    drop(stalled);
    let refused = refused_handshakes(&records(&bridge));
    assert!(refused["yielded-to-newcomer"] > 0, "{refused:?}");
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
    // At most one each 10 s.
    assert!((1..10).contains(&log.matches("cannot accept connections at present").count()), "{log}");
}
