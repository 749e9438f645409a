//! The handshakes of peers that knocked: a limited number runs at once, and further ones wait in line. Only holders of the
//! conf, and those who observed a knock, get here; strangers cannot use up a place.

use std::collections::{HashMap, VecDeque};
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
use line::{Line, Source};
use patience::Patience;

mod line;
mod patience;

/// Most handshakes at once. Each takes some 30 KB.
pub(crate) const MAX_RUNNING: usize = 256;
/// Most clients in line: a thousand that start at the same instant are all served. Each holds a socket and its
/// ClientHello, some 1.5 KB.
pub(crate) const MAX_WAITING: usize = 1024;
/// How often the time limit of those in line is checked.
const EXPIRY_INTERVAL: Duration = Duration::from_millis(100);

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
    /// How many places each source has; none of them is zero.
    places: HashMap<Source, usize>,
    patience: Patience,
    line: Line,
    /// When the time limit of those in line was last checked.
    expired: Option<Instant>,
}

struct Running {
    id: u64,
    source: Source,
    began: Instant,
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
    /// [`HandshakeRefusal::Busy`] if the line is full. One connection is closed: this one, or the last one of the source that
    /// has the most in line.
    pub(crate) fn enqueue(&self, knocked: Knocked, now: Instant) -> Result<(), HandshakeRefusal> {
        let is_added = self.lock().line.push(knocked, now, self.max_waiting);
        if is_added { Ok(()) } else { Err(HandshakeRefusal::Busy) }
    }

    /// The next in line, if there is a place, or one can be freed. `refused` gets the causes of connections that were
    /// closed instead.
    pub(crate) fn start_next(
        self: &Arc<Self>,
        now: Instant,
        mut refused: impl FnMut(HandshakeRefusal),
    ) -> Option<(Knocked, Slot)> {
        let mut table = self.lock();
        if table.expired.is_none_or(|expired| now.duration_since(expired) >= EXPIRY_INTERVAL) {
            table.expired = Some(now);
            (0..table.line.expire(now)).for_each(|_| refused(HandshakeRefusal::Busy));
        }
        loop {
            if let Err(cause) = still_there(&table.line.first()?.tcp) {
                table.line.pop();
                refused(cause);
                continue;
            }
            if table.running.len() >= self.max_running {
                table.evict(now)?;
                refused(HandshakeRefusal::YieldedToNewcomer);
            }
            let knocked = table.line.pop()?;
            let id = table.add(Source::of(knocked.peer), now);
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
    fn add(&mut self, source: Source, now: Instant) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        self.running.push_back(Running { id, source, began: now, task: None });
        *self.places.entry(source).or_default() += 1;
        id
    }

    fn remove(&mut self, index: usize) -> Option<Running> {
        let running = self.running.remove(index)?;
        if let Some(places) = self.places.get_mut(&running.source) {
            *places -= 1;
            if *places == 0 {
                self.places.remove(&running.source);
            }
        }
        Some(running)
    }

    /// As [`Self::remove`], for the handshake `id`; `None` if it was evicted.
    fn remove_id(&mut self, id: u64) -> Option<Running> {
        let index = self.running.iter().position(|running| running.id == id)?;
        self.remove(index)
    }

    /// Ends the oldest handshake of the source that has the most places, among those that are as old as [`Patience`]
    /// says; `None` if there is none.
    fn evict(&mut self, now: Instant) -> Option<()> {
        let limit = self.patience.limit(now)?;
        let mut most = (0, None);
        for (index, running) in self.running.iter().enumerate() {
            if now.duration_since(running.began) < limit {
                break;
            }
            let places = self.places.get(&running.source).copied().unwrap_or(1);
            if places > most.0 {
                most = (places, Some(index));
            }
        }
        let evicted = self.remove(most.1?)?;
        self.patience.failed(now.duration_since(evicted.began));
        if let Some(task) = evicted.task {
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

    /// Frees the place of a client that has proven itself.
    pub(crate) fn proven(self, now: Instant) {
        let mut table = self.handshakes.lock();
        if let Some(running) = table.remove_id(self.id) {
            table.patience.proven(now, now.duration_since(running.began));
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut table = self.handshakes.lock();
        if let Some(running) = table.remove_id(self.id) {
            table.patience.failed(running.began.elapsed());
        }
        drop(table);
        self.handshakes.accept_loop.wake();
    }
}

#[cfg(test)]
mod tests;
