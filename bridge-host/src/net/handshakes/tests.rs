use std::future::pending;
use std::io::Write as _;
use std::net::{IpAddr, TcpStream as StdStream};

use proto::client_hello::ClientHelloReader;
use tokio::net::TcpListener;
use tokio::runtime;

use super::line::LINE_TIMEOUT;
use super::patience::YIELDS_AFTER;
use super::*;
use crate::net::testing::client_hello;

/// Runs a test with two places for handshakes and four in line.
fn with_handshakes<T: Future<Output = ()>>(test: impl FnOnce(Arc<Handshakes>, Peers) -> T) {
    with_places(2, test);
}

fn with_places<T: Future<Output = ()>>(places: usize, test: impl FnOnce(Arc<Handshakes>, Peers) -> T) {
    runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        test(Arc::new(Handshakes::new(places, 4)), Peers { listener, clients: Vec::new() }).await;
    });
}

struct Peers {
    listener: TcpListener,
    clients: Vec<StdStream>,
}

impl Peers {
    /// A connection, whose other end stays open.
    async fn knocked(&mut self) -> Knocked {
        self.clients.push(StdStream::connect(self.listener.local_addr().unwrap()).unwrap());
        let (tcp, peer) = self.listener.accept().await.unwrap();
        let hello = ClientHelloReader::default().push(&client_hello()).unwrap().unwrap();
        Knocked { tcp, peer, hello }
    }

    /// As if it came from `10.0.0.HOST`.
    async fn knocked_from(&mut self, host: u8) -> Knocked {
        let mut knocked = self.knocked().await;
        knocked.peer.set_ip([10, 0, 0, host].into());
        knocked
    }
}

/// Starts the next, and collects what was refused.
fn start(handshakes: &Arc<Handshakes>, now: Instant) -> (Option<(SocketAddr, Slot)>, Vec<HandshakeRefusal>) {
    let mut refused = Vec::new();
    let next = handshakes.start_next(now, |cause| refused.push(cause));
    (next.map(|(knocked, slot)| (knocked.peer, slot)), refused)
}

#[test]
fn those_in_line_start_in_their_order_as_places_become_free() {
    with_handshakes(|handshakes, mut peers| async move {
        let now = Instant::now();
        for _ in 0..4 {
            assert!(handshakes.enqueue(peers.knocked().await, now).is_ok());
        }
        assert_eq!(handshakes.enqueue(peers.knocked().await, now).err(), Some(HandshakeRefusal::Busy));
        let address = |number: usize| peers.clients[number].local_addr().unwrap();
        let (first, second) = (start(&handshakes, now).0.unwrap(), start(&handshakes, now).0.unwrap());
        assert_eq!((first.0, second.0), (address(0), address(1)));
        assert!(start(&handshakes, now).0.is_none(), "two run");
        drop(second);
        let third = start(&handshakes, now).0.unwrap();
        assert_eq!(third.0, address(2));
        assert!(start(&handshakes, now).0.is_none());
    });
}

#[test]
fn only_a_handshake_that_is_1_s_old_yields() {
    with_handshakes(|handshakes, mut peers| async move {
        let now = Instant::now();
        let at = |milliseconds| now + Duration::from_millis(milliseconds);
        for _ in 0..3 {
            assert!(handshakes.enqueue(peers.knocked().await, now).is_ok());
        }
        let (_, first) = start(&handshakes, now).0.unwrap();
        let (_, second) = start(&handshakes, at(100)).0.unwrap();
        let tasks = [tokio::spawn(pending::<()>()), tokio::spawn(pending::<()>())];
        handshakes.set_task(first.id(), tasks[0].abort_handle());
        handshakes.set_task(second.id(), tasks[1].abort_handle());
        for milliseconds in [100, 999] {
            assert!(start(&handshakes, at(milliseconds)).0.is_none(), "{milliseconds}");
        }
        let (third, refused) = start(&handshakes, at(1000));
        assert!(third.is_some());
        assert_eq!(refused, [HandshakeRefusal::YieldedToNewcomer]);
        let [first_task, second_task] = tasks;
        assert!(first_task.await.unwrap_err().is_cancelled());
        assert!(!second_task.is_finished());
    });
}

#[test]
fn nothing_yields_while_clients_prove_themselves() {
    with_handshakes(|handshakes, mut peers| async move {
        let now = Instant::now();
        let at = |milliseconds| now + Duration::from_millis(milliseconds);
        for _ in 0..4 {
            assert!(handshakes.enqueue(peers.knocked().await, now).is_ok());
        }
        let _slow = start(&handshakes, now).0.unwrap();
        let (_, quick) = start(&handshakes, now).0.unwrap();
        quick.proven(at(1500));
        let _next = start(&handshakes, at(1500)).0.unwrap();
        assert!(start(&handshakes, at(2499)).0.is_none());
        assert!(start(&handshakes, at(2500)).0.is_some(), "nothing moves: the slow one yields");
    });
}

/// The last part of the address of the next in line.
fn next_host(handshakes: &Arc<Handshakes>, now: Instant) -> (u8, Slot) {
    let (peer, slot) = start(handshakes, now).0.unwrap();
    match peer.ip() {
        IpAddr::V4(ip) => (ip.octets()[3], slot),
        IpAddr::V6(ip) => panic!("{ip}"),
    }
}

#[test]
fn sources_take_turns_in_line() {
    with_places(10, |handshakes, mut peers| async move {
        let now = Instant::now();
        for host in [1, 1, 1, 2] {
            assert!(handshakes.enqueue(peers.knocked_from(host).await, now).is_ok());
        }
        let started: Vec<_> = (0..4).map(|_| next_host(&handshakes, now)).collect();
        assert_eq!(started.iter().map(|(host, _)| *host).collect::<Vec<_>>(), [1, 2, 1, 1]);
    });
}

#[test]
fn in_a_full_line_the_source_with_the_most_makes_room() {
    with_places(10, |handshakes, mut peers| async move {
        let now = Instant::now();
        for host in [1, 1, 1, 1] {
            assert!(handshakes.enqueue(peers.knocked_from(host).await, now).is_ok());
        }
        for host in [1, 2, 3, 2] {
            let busy = handshakes.enqueue(peers.knocked_from(host).await, now);
            assert_eq!(busy.err(), Some(HandshakeRefusal::Busy));
        }
        let started: Vec<_> = (0..4).map(|_| next_host(&handshakes, now)).collect();
        assert_eq!(started.iter().map(|(host, _)| *host).collect::<Vec<_>>(), [1, 2, 3, 1]);
        assert!(start(&handshakes, now).0.is_none());
    });
}

#[test]
fn the_source_with_the_most_places_yields() {
    with_places(3, |handshakes, mut peers| async move {
        let now = Instant::now();
        let mut started = Vec::new();
        for host in [2, 1, 1] {
            assert!(handshakes.enqueue(peers.knocked_from(host).await, now).is_ok());
            let (_, slot) = next_host(&handshakes, now);
            let task = tokio::spawn(pending::<()>());
            handshakes.set_task(slot.id(), task.abort_handle());
            started.push((slot, task));
        }
        assert!(handshakes.enqueue(peers.knocked_from(3).await, now).is_ok());
        let (host, _slot) = next_host(&handshakes, now + YIELDS_AFTER);
        assert_eq!(host, 3);
        tokio::task::yield_now().await;
        let ended: Vec<bool> = started.iter().map(|(_, task)| task.is_finished()).collect();
        // The first one is older, and the only one of its address.
        assert_eq!(ended, [false, true, false]);
    });
}

#[test]
fn an_eviction_before_the_task_is_known_aborts_it_too() {
    with_handshakes(|handshakes, mut peers| async move {
        let now = Instant::now();
        for _ in 0..3 {
            assert!(handshakes.enqueue(peers.knocked().await, now).is_ok());
        }
        let (_, first) = start(&handshakes, now).0.unwrap();
        let _second = start(&handshakes, now).0.unwrap();
        assert!(start(&handshakes, now + YIELDS_AFTER).0.is_some());
        let task = tokio::spawn(pending::<()>());
        handshakes.set_task(first.id(), task.abort_handle());
        assert!(task.await.unwrap_err().is_cancelled());
    });
}

#[test]
fn nothing_is_begun_for_a_client_that_left_or_sent_more() {
    with_handshakes(|handshakes, mut peers| async move {
        let now = Instant::now();
        let [left, talks, waits] = [peers.knocked().await, peers.knocked().await, peers.knocked().await];
        drop(peers.clients.remove(0));
        peers.clients[0].write_all(b"early data").unwrap();
        for ended in [&left, &talks] {
            ended.tcp.readable().await.unwrap();
        }
        for knocked in [left, talks, waits] {
            assert!(handshakes.enqueue(knocked, now).is_ok());
        }
        let (next, refused) = start(&handshakes, now);
        assert!(next.is_some());
        assert_eq!(refused, [HandshakeRefusal::GaveUp, HandshakeRefusal::InvalidTls]);
    });
}

#[test]
fn a_client_waits_4_s_in_line() {
    with_handshakes(|handshakes, mut peers| async move {
        let now = Instant::now();
        for _ in 0..3 {
            assert!(handshakes.enqueue(peers.knocked().await, now).is_ok());
        }
        let [first, _second] = [start(&handshakes, now).0.unwrap(), start(&handshakes, now).0.unwrap()];
        // Others prove themselves, so none yields.
        first.1.proven(now + Duration::from_millis(3500));
        let _third = start(&handshakes, now + Duration::from_millis(3500)).0.unwrap();
        assert!(handshakes.enqueue(peers.knocked().await, now).is_ok());
        assert!(start(&handshakes, now + Duration::from_millis(3900)).1.is_empty());
        assert!(handshakes.has_line());
        let (next, refused) = start(&handshakes, now + LINE_TIMEOUT);
        assert!(next.is_none());
        assert_eq!(refused, [HandshakeRefusal::Busy]);
        assert!(!handshakes.has_line());
    });
}
