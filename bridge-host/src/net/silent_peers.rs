//! Connections that have not sent a whole ClientHello yet. Each costs a socket, an entry here and what has arrived of its
//! message; there are no tasks, timers or TLS states, so that a flood leaves nothing to clean up.

use std::collections::{BTreeMap, VecDeque};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use proto::client_hello::{ClientHello, ClientHelloReader};
use proto::limits::MAX_CLIENT_HELLO;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::net::refusal::HandshakeRefusal;

/// Most such connections of a bridge; the oldest yields to a new one. With 4 KiB of an incomplete message each, they hold 4 MiB. A
/// flood of 30,000 connections a second leaves each 34 ms, and a client's ClientHello comes right behind the
/// acknowledgement that opens its connection.
pub(crate) const MAX_SILENT: usize = 1024;
/// Time for a whole ClientHello.
const HELLO_TIMEOUT: Duration = Duration::from_secs(3);

/// The outcome of reading from a peer.
pub(super) enum Judged {
    /// Its ClientHello is whole. The knock in it is not checked yet.
    Hello(TcpStream, SocketAddr, ClientHello),
    Refused(TcpStream, HandshakeRefusal),
}

/// The connections.
pub(super) struct SilentPeers {
    limit: usize,
    next_id: u64,
    /// By id, so that the oldest is the first.
    peers: BTreeMap<u64, SilentPeer>,
    readable: Arc<Readable>,
}

struct SilentPeer {
    tcp: TcpStream,
    address: SocketAddr,
    reader: ClientHelloReader,
    since: Instant,
    waker: Waker,
}

impl SilentPeers {
    /// At most `limit` connections.
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, next_id: 0, peers: BTreeMap::new(), readable: Arc::default() }
    }

    /// Adds a connection that has sent what `reader` holds, and no more. Returns the judgement on the oldest if that
    /// had to yield.
    pub(super) fn add(
        &mut self,
        tcp: TcpStream,
        address: SocketAddr,
        reader: ClientHelloReader,
        now: Instant,
    ) -> Option<Judged> {
        let oldest = if self.peers.len() >= self.limit { self.evict_oldest() } else { None };
        let id = self.next_id;
        self.next_id += 1;
        let waker = Waker::from(Arc::new(PeerWaker { id, readable: Arc::clone(&self.readable) }));
        // Its first turn arms the waker.
        self.readable.lock().push_back(id);
        self.peers.insert(id, SilentPeer { tcp, address, reader, since: now, waker });
        oldest
    }

    /// Removes the oldest connection. What it has sent meanwhile decides.
    pub(super) fn evict_oldest(&mut self) -> Option<Judged> {
        let (_, peer) = self.peers.pop_first()?;
        Some(peer.judge_at_last(HandshakeRefusal::YieldedToNewcomer))
    }

    /// Removes the oldest connection if its time is up.
    pub(super) fn expire_oldest(&mut self, now: Instant) -> Option<Judged> {
        let oldest = self.peers.first_entry()?;
        if now.duration_since(oldest.get().since) < HELLO_TIMEOUT {
            return None;
        }
        Some(oldest.remove().judge_at_last(HandshakeRefusal::Silent))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.peers.is_empty()
    }

    /// Reads from the next connection that has something to read. Ready with `None` means that its message is still
    /// incomplete.
    pub(super) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Judged>> {
        self.readable.task.register(cx.waker());
        loop {
            let Some(id) = self.readable.lock().pop_front() else { return Poll::Pending };
            // Others were evicted since.
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            let outcome = peer.read();
            let Some(outcome) = outcome.transpose() else { return Poll::Ready(None) };
            let Some(peer) = self.peers.remove(&id) else { return Poll::Ready(None) };
            return Poll::Ready(Some(peer.into_judged(outcome)));
        }
    }
}

impl SilentPeer {
    /// Reads all that has arrived. `None` means that the message is incomplete, and arms the waker.
    fn read(&mut self) -> Result<Option<ClientHello>, HandshakeRefusal> {
        loop {
            let mut buffer = [0; MAX_CLIENT_HELLO];
            match self.tcp.try_read(&mut buffer) {
                Ok(0) => return Err(HandshakeRefusal::GaveUp),
                Ok(length) => {
                    if let Some(hello) = self.reader.push(buffer.get(..length).unwrap_or_default())? {
                        return Ok(Some(hello));
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    match self.tcp.poll_read_ready(&mut Context::from_waker(&self.waker)) {
                        Poll::Pending => return Ok(None),
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(_)) => return Err(HandshakeRefusal::GaveUp),
                    }
                }
                Err(_) => return Err(HandshakeRefusal::GaveUp),
            }
        }
    }

    /// Reads for the last time: a loaded bridge may not have got to what has arrived. `cause` applies if it is not whole.
    fn judge_at_last(mut self, cause: HandshakeRefusal) -> Judged {
        let outcome = self.read().and_then(|hello| hello.ok_or(cause));
        self.into_judged(outcome)
    }

    fn into_judged(self, outcome: Result<ClientHello, HandshakeRefusal>) -> Judged {
        match outcome {
            Ok(hello) => Judged::Hello(self.tcp, self.address, hello),
            Err(cause) => Judged::Refused(self.tcp, cause),
        }
    }
}

/// The ids of connections that have something to read.
#[derive(Default)]
struct Readable {
    /// Each id at most twice: a waker fires once for each time it is armed.
    ids: Mutex<VecDeque<u64>>,
    /// The accept loop.
    task: AtomicWaker,
}

impl Readable {
    fn lock(&self) -> MutexGuard<'_, VecDeque<u64>> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Wakes the accept loop for one connection.
struct PeerWaker {
    id: u64,
    readable: Arc<Readable>,
}

impl Wake for PeerWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.readable.lock().push_back(self.id);
        self.readable.task.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write as _;
    use std::net::TcpStream as StdStream;

    use tokio::net::TcpListener;
    use tokio::runtime;

    use super::*;
    use crate::net::testing::client_hello;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    /// Both ends of a connection.
    async fn connected(listener: &TcpListener) -> (StdStream, TcpStream, SocketAddr) {
        let client = StdStream::connect(listener.local_addr().unwrap()).unwrap();
        let (tcp, address) = listener.accept().await.unwrap();
        (client, tcp, address)
    }

    async fn listener() -> TcpListener {
        TcpListener::bind("127.0.0.1:0").await.unwrap()
    }

    fn cause(judged: &Judged) -> HandshakeRefusal {
        match judged {
            Judged::Refused(_, cause) => *cause,
            Judged::Hello(..) => panic!("a whole ClientHello"),
        }
    }

    #[test]
    fn the_oldest_yields_and_no_other() {
        block_on(async {
            let (listener, mut peers) = (listener().await, SilentPeers::new(3));
            let mut clients = Vec::new();
            for number in 0..10 {
                let (client, tcp, address) = connected(&listener).await;
                let evicted = peers.add(tcp, address, ClientHelloReader::default(), Instant::now());
                clients.push(client);
                match evicted {
                    None => assert!(number < 3),
                    Some(Judged::Refused(tcp, cause)) => {
                        assert_eq!(cause, HandshakeRefusal::YieldedToNewcomer);
                        assert_eq!(tcp.peer_addr().unwrap(), clients[number - 3].local_addr().unwrap());
                    }
                    Some(Judged::Hello(..)) => panic!("nothing was sent"),
                }
                assert!(peers.peers.len() <= 3);
            }
        });
    }

    #[test]
    fn what_has_arrived_counts_when_a_peer_yields() {
        block_on(async {
            let (listener, mut peers) = (listener().await, SilentPeers::new(1));
            let (mut client, tcp, address) = connected(&listener).await;
            assert!(peers.add(tcp, address, ClientHelloReader::default(), Instant::now()).is_none());
            for (sent, expected) in [(client_hello(), None), (b"GET".into(), Some(HandshakeRefusal::NotTls))]
            {
                client.write_all(&sent).unwrap();
                peers.peers.first_entry().unwrap().get().tcp.readable().await.unwrap();
                let (next, tcp, address) = connected(&listener).await;
                let judged = peers.add(tcp, address, ClientHelloReader::default(), Instant::now()).unwrap();
                match judged {
                    Judged::Hello(..) => assert_eq!(expected, None),
                    Judged::Refused(_, cause) => assert_eq!(Some(cause), expected),
                }
                client = next;
            }
        });
    }

    #[test]
    fn a_peer_is_read_when_bytes_arrive_and_only_then() {
        block_on(async {
            let (listener, mut peers) = (listener().await, SilentPeers::new(10));
            let (mut client, tcp, address) = connected(&listener).await;
            let (_silent, other, other_address) = connected(&listener).await;
            assert!(peers.add(tcp, address, ClientHelloReader::default(), Instant::now()).is_none());
            assert!(peers.add(other, other_address, ClientHelloReader::default(), Instant::now()).is_none());
            // Both wakers are armed.
            for _ in 0..2 {
                assert!(poll_fn(|cx| peers.poll_next(cx)).await.is_none());
            }
            for byte in [22, 3, 1, 0] {
                client.write_all(&[byte]).unwrap();
                assert!(poll_fn(|cx| peers.poll_next(cx)).await.is_none(), "incomplete");
            }
            client.write_all(&[0]).unwrap();
            let judged = poll_fn(|cx| peers.poll_next(cx)).await.unwrap();
            assert_eq!(cause(&judged), HandshakeRefusal::NoKnock, "an empty record");
            assert_eq!(peers.peers.len(), 1);
        });
    }

    #[test]
    fn a_peer_has_3_s_for_its_hello() {
        block_on(async {
            let (listener, mut peers) = (listener().await, SilentPeers::new(10));
            let (_client, tcp, address) = connected(&listener).await;
            let began = Instant::now();
            assert!(peers.add(tcp, address, ClientHelloReader::default(), began).is_none());
            let at = |milliseconds| began + Duration::from_millis(milliseconds);
            assert!(peers.expire_oldest(at(2999)).is_none());
            let judged = peers.expire_oldest(at(3000)).unwrap();
            assert_eq!(cause(&judged), HandshakeRefusal::Silent);
            assert!(peers.is_empty());
        });
    }
}
