//! Writes to an output of this process, on a thread of its own: a full pipe must hold up neither the other output nor the
//! masking.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write as _};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use local_ipc::WaitingOutput;

/// Limit of pieces that wait, each of some [`BUFFER_SIZE`](super::BUFFER_SIZE) bytes. Beyond it COMMAND is blocked.
const MAX_WAITING: usize = 2;

/// One output, and the thread that writes to it.
pub(super) struct Outlet {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
    /// Whether it took longer than [`ORDER_TIME`](super::ORDER_TIME) to take something, and has not caught up since.
    is_slow: bool,
}

/// Called by the thread when an output can take more again, or was closed.
pub(super) type Notify = Box<dyn Fn() + Send>;

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    is_writing: bool,
    /// No more is to come.
    is_finished: bool,
    /// Whether the sender waits for room.
    is_awaited: bool,
    end: Option<End>,
}

/// Why nothing is written any more.
enum End {
    /// The reader has closed its end, as `head` does.
    Closed,
    /// The rest is lost.
    Failed(io::Error),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.is_writing
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < MAX_WAITING
    }
}

impl Outlet {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn to(output: File, notify: Notify) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        let thread = Builder::new()
            .name("write".to_owned())
            .spawn(move || write(&of_thread, WaitingOutput::new(output), &notify))?;
        Ok(Self { shared, thread, is_slow: false })
    }

    /// Whether more may be sent. If not, the thread notifies when it may.
    pub(super) fn has_room(&self) -> bool {
        let mut state = self.shared.lock();
        state.is_awaited = !state.has_room();
        !state.is_awaited
    }

    /// Whether its reader has closed its end.
    #[cfg(unix)]
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.shared.lock().end, Some(End::Closed))
    }

    /// Writes `bytes` after all that was sent before. They are lost if writing has failed.
    pub(super) fn send(&self, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.shared.lock();
        if state.end.is_none() {
            state.waiting.push_back(bytes);
            drop(state);
            self.shared.changed.notify_all();
        }
    }

    /// Waits until everything is written, at most for `limit`, and not at all if it took longer the last time.
    pub(super) fn settle(&mut self, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.lock();
        while !self.is_slow && !state.is_idle() {
            let left = deadline.saturating_duration_since(Instant::now());
            self.is_slow = left.is_zero();
            let waited = self.shared.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        self.is_slow &= !state.is_idle();
    }

    /// Waits until everything is written, and returns why that failed.
    pub(super) fn finish(self) -> Option<io::Error> {
        self.shared.lock().is_finished = true;
        self.shared.changed.notify_all();
        // It does not panic. If it did, what it had to write is lost.
        if self.thread.join().is_err() {
            return Some(io::Error::other("the writing thread failed"));
        }
        match self.shared.lock().end.take() {
            Some(End::Failed(error)) => Some(error),
            Some(End::Closed) | None => None,
        }
    }
}

/// A thread that waits for room in an [`Outlet`] that another one sends to.
#[cfg(windows)]
pub(super) struct Room(Arc<Shared>);

#[cfg(windows)]
impl Room {
    pub(super) fn of(outlet: &Outlet) -> Self {
        Self(Arc::clone(&outlet.shared))
    }

    /// Returns when more may be sent, `false` if the output is closed.
    pub(super) fn wait(&self) -> bool {
        let mut state = self.0.lock();
        while !state.has_room() && state.end.is_none() {
            state = self.0.wait(state);
        }
        !matches!(state.end, Some(End::Closed))
    }
}

/// The thread: writes until the sender has finished, or writing fails.
fn write(shared: &Shared, mut output: WaitingOutput, notify: &Notify) {
    let mut state = shared.lock();
    loop {
        state.is_writing = false;
        if state.waiting.is_empty() {
            shared.changed.notify_all();
            if state.is_finished {
                return;
            }
            state = shared.wait(state);
            continue;
        }
        let Some(bytes) = state.waiting.pop_front() else { continue };
        state.is_writing = true;
        let was_awaited = std::mem::take(&mut state.is_awaited);
        drop(state);
        shared.changed.notify_all();
        if was_awaited {
            notify();
        }
        let written = output.write_all(&bytes);
        state = shared.lock();
        if let Err(error) = written {
            state.is_writing = false;
            state.waiting.clear();
            state.end = Some(end_for(error));
            drop(state);
            shared.changed.notify_all();
            notify();
            return;
        }
    }
}

fn end_for(error: io::Error) -> End {
    // A socket whose reader left something unread says the latter first.
    if matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset) {
        End::Closed
    } else {
        End::Failed(error)
    }
}
