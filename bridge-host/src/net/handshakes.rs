//! The handshakes of peers that knocked: a limited number runs at once, and further ones wait in line. Only holders of the
//! conf, and those who observed a knock, get here; strangers cannot use up a place.

use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use futures_util::task::AtomicWaker;
use proto::client_hello::ClientHello;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::net::refusal::HandshakeRefusal;

/// Most handshakes at once. Each takes some 30 KB.
pub(crate) const MAX_RUNNING: usize = 128;
/// Most clients in line: a thousand that start at the same instant are all served. Each holds a socket and its
/// ClientHello, some 1.5 KB.
pub(crate) const MAX_WAITING: usize = 1024;
/// A client that waits so long has given up: it gives an endpoint 4 s.
const LINE_TIMEOUT: Duration = Duration::from_secs(4);
/// If no client at all has answered for so long, handshakes that are as old yield to those in line. Where a thousand
/// clients share the processors, each may take longer, but some answer all the time, and none of them must be ended.
const YIELDS_AFTER: Duration = Duration::from_secs(1);

/// A connection with a valid knock.
pub(crate) struct Knocked {
    pub(crate) tcp: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) hello: ClientHello,
}

/// The handshakes of a bridge.
pub(crate) struct Handshakes {
    max_running: usize,
    max_waiting: usize,
    table: Mutex<Table>,
    /// Woken when a place is free.
    accept_loop: AtomicWaker,
}

#[derive(Default)]
struct Table {
    next_id: u64,
    /// Oldest first.
    running: VecDeque<Running>,
    /// When a client last answered.
    answered: Option<Instant>,
    /// In the order of their arrival.
    line: VecDeque<(Knocked, Instant)>,
}

struct Running {
    id: u64,
    began: Instant,
    /// Whether the client has answered the bridge's part.
    answered: bool,
    /// The task that serves the connection, once it is spawned.
    task: Option<AbortHandle>,
}

/// The place of one handshake; dropping it frees the place.
pub(crate) struct Slot {
    handshakes: Arc<Handshakes>,
    id: u64,
}

impl Handshakes {
    /// At most `max_running` at once, and `max_waiting` clients in line.
    pub(super) fn new(max_running: usize, max_waiting: usize) -> Self {
        Self { max_running, max_waiting, table: Mutex::default(), accept_loop: AtomicWaker::new() }
    }

    /// Lets `knocked` wait for its handshake.
    ///
    /// # Errors
    /// [`HandshakeRefusal::Busy`] if the line is full. The connection is closed.
    pub(crate) fn enqueue(&self, knocked: Knocked, now: Instant) -> Result<(), HandshakeRefusal> {
        let mut table = self.lock();
        if table.line.len() >= self.max_waiting {
            return Err(HandshakeRefusal::Busy);
        }
        table.line.push_back((knocked, now));
        Ok(())
    }

    /// The next in line, if there is a place, or one can be freed. `refused` gets the causes of connections that were
    /// closed instead.
    pub(crate) fn start_next(
        self: &Arc<Self>,
        now: Instant,
        mut refused: impl FnMut(HandshakeRefusal),
    ) -> Option<(Knocked, Slot)> {
        let mut table = self.lock();
        while table.line.front().is_some_and(|(_, since)| now.duration_since(*since) >= LINE_TIMEOUT) {
            table.line.pop_front();
            refused(HandshakeRefusal::Busy);
        }
        loop {
            let (knocked, _) = table.line.front()?;
            if let Err(cause) = still_there(&knocked.tcp) {
                table.line.pop_front();
                refused(cause);
                continue;
            }
            if table.running.len() >= self.max_running {
                table.evict(now)?;
                refused(HandshakeRefusal::YieldedToNewcomer);
            }
            let (knocked, _) = table.line.pop_front()?;
            let id = table.next_id;
            table.next_id += 1;
            table.running.push_back(Running { id, began: now, answered: false, task: None });
            return Some((knocked, Slot { handshakes: Arc::clone(self), id }));
        }
    }

    /// Names the task that serves the connection in the slot `id`, so that eviction can abort it.
    pub(crate) fn set_task(&self, id: u64, task: AbortHandle) {
        if let Some(running) = self.lock().running.iter_mut().find(|running| running.id == id) {
            running.task = Some(task);
        } else {
            // Evicted before its task was known.
            task.abort();
        }
    }

    /// Whether clients wait.
    pub(crate) fn has_line(&self) -> bool {
        !self.lock().line.is_empty()
    }

    /// Wakes `waker` when a place becomes free.
    pub(crate) fn register(&self, waker: &Waker) {
        self.accept_loop.register(waker);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Ends the oldest handshake without an answer, if it and the last answer of any client are [`YIELDS_AFTER`] old; `None`
    /// if there is none.
    fn evict(&mut self, now: Instant) -> Option<()> {
        if self.answered.is_some_and(|answered| now.duration_since(answered) < YIELDS_AFTER) {
            return None;
        }
        let silent =
            |running: &Running| !running.answered && now.duration_since(running.began) >= YIELDS_AFTER;
        let index = self.running.iter().position(silent)?;
        if let Some(task) = self.running.remove(index)?.task {
            task.abort();
        }
        Some(())
    }
}

/// Whether the peer of a connection that waits is still there, and silent, as it must be.
fn still_there(tcp: &TcpStream) -> Result<(), HandshakeRefusal> {
    match tcp.try_read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Ok(0) | Err(_) => Err(HandshakeRefusal::GaveUp),
        Ok(_) => Err(HandshakeRefusal::InvalidTls),
    }
}

impl Slot {
    /// The id for [`Handshakes::set_task`].
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The client has answered: its handshake is not evicted any more.
    pub(crate) fn answered(&self, now: Instant) {
        let mut table = self.handshakes.lock();
        table.answered = Some(now);
        if let Some(running) = table.running.iter_mut().find(|running| running.id == self.id) {
            running.answered = true;
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.handshakes.lock().running.retain(|running| running.id != self.id);
        self.handshakes.accept_loop.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::io::Write as _;
    use std::net::TcpStream as StdStream;

    use proto::client_hello::ClientHelloReader;
    use tokio::net::TcpListener;
    use tokio::runtime;

    use super::*;

    /// Runs a test with two places for handshakes and four in line.
    fn with_handshakes<T: Future<Output = ()>>(test: impl FnOnce(Arc<Handshakes>, Peers) -> T) {
        runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            test(Arc::new(Handshakes::new(2, 4)), Peers { listener, clients: Vec::new() }).await;
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
            Knocked { tcp, peer, hello: hello() }
        }
    }

    /// A ClientHello with the protocol `a`, which nothing here looks at.
    fn hello() -> ClientHello {
        let mut body = vec![3, 3];
        body.extend([0; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0, 0, 8, 0, 16, 0, 4, 0, 2, 1, b'a']);
        let length = body.len() as u8;
        let message = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length], body.as_slice()].concat();
        ClientHelloReader::default().push(&message).unwrap().unwrap()
    }

    /// Starts the next, and collects what was refused.
    fn start(
        handshakes: &Arc<Handshakes>,
        now: Instant,
    ) -> (Option<(SocketAddr, Slot)>, Vec<HandshakeRefusal>) {
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
    fn only_a_handshake_without_answer_for_1_s_is_evicted() {
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
            first.answered(at(50));
            // The first has answered, the second is young.
            for milliseconds in [999, 1000, 1099] {
                assert!(start(&handshakes, at(milliseconds)).0.is_none(), "{milliseconds}");
            }
            let (third, refused) = start(&handshakes, at(1100));
            assert!(third.is_some());
            assert_eq!(refused, [HandshakeRefusal::YieldedToNewcomer]);
            let [first_task, second_task] = tasks;
            assert!(second_task.await.unwrap_err().is_cancelled());
            assert!(!first_task.is_finished());
        });
    }

    #[test]
    fn nothing_is_evicted_while_clients_answer() {
        with_handshakes(|handshakes, mut peers| async move {
            let now = Instant::now();
            let at = |milliseconds| now + Duration::from_millis(milliseconds);
            for _ in 0..4 {
                assert!(handshakes.enqueue(peers.knocked().await, now).is_ok());
            }
            let _slow = start(&handshakes, now).0.unwrap();
            let (_, quick) = start(&handshakes, now).0.unwrap();
            quick.answered(at(1500));
            drop(quick);
            let _next = start(&handshakes, at(1500)).0.unwrap();
            assert!(start(&handshakes, at(2499)).0.is_none());
            assert!(start(&handshakes, at(2500)).0.is_some(), "nothing moves: the slow one yields");
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
            let places = [start(&handshakes, now).0.unwrap(), start(&handshakes, now).0.unwrap()];
            for (_, slot) in &places {
                slot.answered(now);
            }
            assert!(start(&handshakes, now + Duration::from_millis(3999)).1.is_empty());
            assert!(handshakes.has_line());
            let (next, refused) = start(&handshakes, now + LINE_TIMEOUT);
            assert!(next.is_none());
            assert_eq!(refused, [HandshakeRefusal::Busy]);
            assert!(!handshakes.has_line());
        });
    }
}
