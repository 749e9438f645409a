//! The bridge's memory for what waits because of its clients: messages that are not complete, requests and answers.
//!
//! A bridge has one [`MemoryPool`], a session one [`SessionMemory`], and what waits holds [`Reserved`] bytes. A session
//! has a sure share, which no other session can use; only more than that comes from the pool. Who needs memory that is not
//! free waits for it, and until then nothing more is read from that client.
//!
//! A session that holds bytes of the pool without progress for [`STALL_TIMEOUT`] is ended. A session within its sure
//! share never is: a person may think about a confirmation for minutes.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::limits::{MAX_STREAM_FRAME, MAX_STREAMS};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep_until, timeout};

/// Memory of a bridge for all of its sessions, if it has no other setting.
pub(crate) const DEFAULT_MEMORY: usize = 256 << 20;
/// Least memory of a bridge: the pool must be able to hold more than one session's largest message.
pub(crate) const MIN_MEMORY: usize = 8 << 20;
/// What a session is sure of, as long as the sure shares of all sessions are at most half of the bridge's memory.
pub(crate) const SURE_SHARE: usize = 64 << 10;
/// Most memory of one session, from its sure share and the pool. Four messages of the largest size that an agent takes
/// would be half of it.
pub(crate) const MAX_SESSION: usize = 2 << 20;
/// What a stream of a session is sure of: two messages of its client, what the gateway keeps of requests, and a piece of an
/// answer. Nothing of it comes from the pool, so that a stream waits for no other one, and may wait for a slow server or a
/// slow tool for long.
const STREAM_SHARE: usize = 64 << 10;
/// As [`STREAM_SHARE`], in a bridge with little memory: one message.
const MIN_STREAM_SHARE: usize = 17 << 10;
/// A session that holds bytes of the pool without progress for this time is ended.
pub(crate) const STALL_TIMEOUT: Duration =
    if cfg!(test) { Duration::from_millis(50) } else { Duration::from_secs(10) };
/// Bytes that count as progress once they have moved, together. One byte every few seconds must not hold the pool.
const PROGRESS: usize = 16 << 10;

/// The memory that sessions share.
pub(crate) struct MemoryPool {
    /// One permit for each free byte. First come, first served.
    free: Semaphore,
    sure_share: usize,
    /// See [`stream_share`].
    stream_share: usize,
    /// Sure shares that no session has.
    shares_left: AtomicUsize,
    /// How many reservations wait for free bytes.
    waiting: AtomicUsize,
}

/// The memory of one session.
pub(crate) struct SessionMemory {
    pool: Arc<MemoryPool>,
    /// One permit for each byte that this session may still reserve.
    room: Semaphore,
    ledger: Mutex<Ledger>,
    /// Notified when bytes of the pool are taken.
    took_from_pool: Notify,
}

#[derive(Default)]
struct Ledger {
    /// Whether this session took one of the pool's sure shares.
    has_share: bool,
    /// What messages may use of the sure share.
    sure: usize,
    reserved: usize,
    /// The part of `reserved` for what a session keeps for long, such as its channels.
    kept: usize,
    /// The part of `reserved` that the pool has given.
    of_pool: usize,
    /// Bytes moved since the last progress.
    moved: usize,
    /// When there was progress, or when the session began to hold bytes of the pool.
    progress: Option<Instant>,
}

/// Bytes of a session's memory. Dropping this gives them back.
pub(crate) struct Reserved {
    memory: Arc<SessionMemory>,
    bytes: usize,
    kept: bool,
}

impl MemoryPool {
    /// A pool for a bridge that may use `total` bytes for at most `sessions` sessions and `streams` streams at once. Every
    /// session is sure of [`SURE_SHARE`], or of less if all sure shares would exceed half of `total`. What streams are sure
    /// of takes about a quarter at most (see [`most_streams`]).
    pub(crate) fn new(total: usize, sessions: usize, streams: usize) -> Arc<Self> {
        let (total, sessions) = (total.max(MIN_MEMORY), sessions.max(1));
        let sure_share = SURE_SHARE.min(total / 2 / sessions);
        let stream_share = stream_share(total);
        let free = (total - sure_share * sessions).saturating_sub(stream_share * streams);
        Arc::new(Self {
            free: Semaphore::new(free.min(Semaphore::MAX_PERMITS)),
            sure_share,
            stream_share,
            shares_left: AtomicUsize::new(sessions),
            waiting: AtomicUsize::new(0),
        })
    }

    /// The memory of a new connection. It has no sure share before [`SessionMemory::take_share`].
    pub(crate) fn session(self: &Arc<Self>) -> Arc<SessionMemory> {
        Arc::new(SessionMemory {
            pool: Arc::clone(self),
            room: Semaphore::new(MAX_SESSION),
            ledger: Mutex::default(),
            took_from_pool: Notify::new(),
        })
    }

    /// The memory of a new stream: its share, and nothing of the pool.
    pub(crate) fn stream(self: &Arc<Self>) -> Arc<SessionMemory> {
        // The rest is for what the gateway keeps.
        let room = (self.stream_share / 2).max(MAX_STREAM_FRAME);
        Arc::new(SessionMemory {
            pool: Arc::clone(self),
            room: Semaphore::new(room),
            ledger: Mutex::new(Ledger { sure: room, ..Ledger::default() }),
            took_from_pool: Notify::new(),
        })
    }

    /// Takes `bytes` for good; the caller gives them back with [`Self::give_back`]. A request that must wait for more
    /// than [`STALL_TIMEOUT`] goes to the end of the line, so that a large one does not hold up small ones for longer.
    async fn take(&self, bytes: usize) {
        let _waits = Waits::among(&self.waiting);
        loop {
            if let Ok(Ok(taken)) = timeout(STALL_TIMEOUT, self.free.acquire_many(permits(bytes))).await {
                return taken.forget();
            }
        }
    }

    fn try_take(&self, bytes: usize) -> bool {
        // A request that waits is first, or large ones would never be served.
        self.waiting.load(Ordering::Relaxed) == 0
            && self.free.try_acquire_many(permits(bytes)).map(SemaphorePermit::forget).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.free.add_permits(bytes);
    }
}

/// What each stream is sure of in a bridge that may use `total` bytes: [`STREAM_SHARE`], or less if those of one session
/// would take more than a quarter.
fn stream_share(total: usize) -> usize {
    (total / 4 / MAX_STREAMS).clamp(MIN_STREAM_SHARE, STREAM_SHARE)
}

/// How many streams a bridge can have at once that may use `total` bytes: at least those of one session, and no more than
/// have their shares in a quarter.
pub(crate) fn most_streams(total: usize) -> usize {
    (total / 4 / stream_share(total)).max(MAX_STREAMS)
}

/// Counts one waiting reservation, until it is dropped.
struct Waits<'a>(&'a AtomicUsize);

impl<'a> Waits<'a> {
    fn among(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All amounts are below [`MAX_SESSION`], so nothing is cut.
fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

impl SessionMemory {
    /// Takes a sure share, unless this session has one, or all are taken. A client that says nothing after its handshake
    /// takes none.
    pub(crate) fn take_share(&self) {
        let mut ledger = self.ledger();
        let left = &self.pool.shares_left;
        if !ledger.has_share
            && left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
        {
            ledger.has_share = true;
            // The rest is what TLS holds at most: a record that is not complete and one that is, of 16 KiB each, and a
            // piece of an answer (`net::frames::SURE_PIECE`).
            ledger.sure = self.pool.sure_share / 3;
            self.return_surplus(&mut ledger);
        }
    }

    /// Reserves `bytes`, at most [`MAX_SESSION`]; waits until the session and the pool have them.
    pub(crate) async fn reserve(self: &Arc<Self>, bytes: usize) -> Reserved {
        let bytes = bytes.min(MAX_SESSION);
        // Fails only if the semaphore is closed, which it never is.
        let room = self.room.acquire_many(permits(bytes)).await.ok();
        let mut taken = 0;
        loop {
            let short = match self.book(bytes, taken) {
                Ok(()) => break,
                Err(short) => short,
            };
            let gives_back = GivesBack { pool: &self.pool, bytes: taken };
            self.pool.take(short).await;
            std::mem::forget(gives_back);
            taken += short;
        }
        if let Some(room) = room {
            room.forget();
        }
        Reserved { memory: Arc::clone(self), bytes, kept: false }
    }

    /// Reserves `bytes` if they are free now.
    pub(crate) fn try_reserve(self: &Arc<Self>, bytes: usize) -> Option<Reserved> {
        let room = self.room.try_acquire_many(permits(bytes)).ok()?;
        if let Err(short) = self.book(bytes, 0) {
            if !self.pool.try_take(short) {
                return None;
            }
            if self.book(bytes, short).is_err() {
                self.pool.give_back(short);
                return None;
            }
        }
        room.forget();
        Some(Reserved { memory: Arc::clone(self), bytes, kept: false })
    }

    /// Books `bytes`, for which the pool has given `taken` already.
    ///
    /// # Errors
    /// How many bytes the pool has to give in addition; nothing is booked then.
    fn book(&self, bytes: usize, taken: usize) -> Result<(), usize> {
        let mut ledger = self.ledger();
        let needed = (ledger.reserved + bytes).saturating_sub(ledger.sure);
        let short = needed.saturating_sub(ledger.of_pool + taken);
        if short > 0 {
            return Err(short);
        }
        if taken > 0 && ledger.of_pool == 0 {
            ledger.progress = Some(Instant::now());
            ledger.moved = 0;
        }
        ledger.reserved += bytes;
        ledger.of_pool += taken;
        self.return_surplus(&mut ledger);
        if ledger.of_pool > 0 {
            self.took_from_pool.notify_one();
        }
        Ok(())
    }

    fn release(&self, bytes: usize, kept: bool) {
        let mut ledger = self.ledger();
        ledger.reserved -= bytes;
        if kept {
            ledger.kept -= bytes;
        }
        self.return_surplus(&mut ledger);
        self.room.add_permits(bytes);
    }

    /// Gives the pool what the sure share suffices for.
    fn return_surplus(&self, ledger: &mut Ledger) {
        let needed = ledger.reserved.saturating_sub(ledger.sure);
        let surplus = ledger.of_pool.saturating_sub(needed);
        ledger.of_pool -= surplus;
        self.pool.give_back(surplus);
    }

    /// Says that `bytes` of messages have moved over the connection, in either direction. Bytes that were only written
    /// to a buffer have not.
    pub(crate) fn moved(&self, bytes: usize) {
        let mut ledger = self.ledger();
        ledger.moved += bytes;
        if ledger.moved >= PROGRESS {
            ledger.moved = 0;
            ledger.progress = Some(Instant::now());
        }
    }

    /// Resolves when the session has held bytes of the pool without progress for [`STALL_TIMEOUT`]. What it keeps for
    /// long, such as channels, counts only while other reservations wait for the pool.
    pub(crate) async fn stalled(&self) {
        loop {
            let holds_since = {
                let ledger = self.ledger();
                if ledger.of_pool > 0 { ledger.progress } else { None }
            };
            let Some(since) = holds_since else {
                self.took_from_pool.notified().await;
                continue;
            };
            sleep_until(since + STALL_TIMEOUT).await;
            let mut ledger = self.ledger();
            if ledger.of_pool == 0 || ledger.progress != Some(since) {
                continue;
            }
            if ledger.reserved - ledger.kept > ledger.sure || self.pool.waiting.load(Ordering::Relaxed) > 0 {
                return;
            }
            ledger.progress = Some(Instant::now());
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SessionMemory {
    fn drop(&mut self) {
        if self.ledger().has_share {
            self.pool.shares_left.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Gives bytes back to the pool if the wait for more of them is cancelled.
struct GivesBack<'a> {
    pool: &'a MemoryPool,
    bytes: usize,
}

impl Drop for GivesBack<'_> {
    fn drop(&mut self) {
        self.pool.give_back(self.bytes);
    }
}

impl Reserved {
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        let surplus = self.bytes.saturating_sub(bytes);
        self.bytes -= surplus;
        self.memory.release(surplus, self.kept);
    }

    /// Adds the bytes of `other`, of the same session.
    pub(crate) fn join(&mut self, mut other: Self) {
        debug_assert!(Arc::ptr_eq(&self.memory, &other.memory) && !self.kept && !other.kept);
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// For what a session keeps for long; see [`SessionMemory::stalled`].
    pub(crate) fn keep(mut self) -> Self {
        if !self.kept {
            self.kept = true;
            self.memory.ledger().kept += self.bytes;
        }
        self
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.memory.release(self.bytes, self.kept);
    }
}

#[cfg(test)]
mod tests;
