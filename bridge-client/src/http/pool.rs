//! The streams that carry requests to the bridge.
//!
//! A stream belongs to a tool's connection while that has a request in progress, and is idle otherwise. One is kept idle, so
//! that a request costs one round trip even on a new connection of a tool. A bridge has a limit of streams for a session;
//! requests over it wait in line.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::join_all;
use proto::http::Origin;
use proto::limits::MAX_STREAMS;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use crate::connect::error::{ConnectError, SessionError};
use crate::connect::retry::Backoff;
use crate::connect::stream::Answer;

/// Streams of tools at once: all but the one that is opened ahead.
const MAX_LEASES: usize = MAX_STREAMS - 1;
/// Of the idle streams, all but one are closed after this long. Tools that open a connection for each request come back much
/// sooner.
const IDLE_TIME: Duration = Duration::from_secs(10);
/// For this long after a stream could not be opened, requests fail at once.
const FAILURE_TIME: Duration = Duration::from_secs(2);
/// Bounds of the longest wait before a stream is opened ahead again, after that has failed.
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LAST_RETRY: Duration = Duration::from_secs(5);
/// For so long a stream is opened ahead although that fails: as long as a bridge keeps a session without a connection.
const RETRY_TIME: Duration = Duration::from_secs(60);

/// A stream, as [`HttpStream`](crate::connect::stream::HttpStream) is one.
pub(crate) trait Stream {
    /// Gives the stream, which must be idle, to a connection of a tool, to `origin`.
    fn connect(&mut self, origin: &Origin);
    fn send(&mut self, bytes: &[u8]);
    fn has_room(&self) -> bool;
    async fn flushed(&mut self) -> Result<(), SessionError>;
    /// Can be dropped before it is ready.
    async fn next(&mut self) -> Result<Answer, SessionError>;
    async fn close(self);
}

/// Opens streams of one session.
pub(crate) trait Opener {
    type Stream: Stream;

    async fn open(&self) -> Result<Self::Stream, ConnectError>;
}

/// Why there is no stream.
#[derive(Debug, Clone)]
pub(crate) struct NoStream(String);

impl NoStream {
    /// What failed. May have several lines.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

pub(crate) struct Pool<O: Opener> {
    opener: O,
    /// The one that was used last is the last one.
    idle: RefCell<Vec<Idle<O::Stream>>>,
    leases: Semaphore,
    /// The last failure to open a stream, unless one was opened since.
    failure: RefCell<Option<(Instant, NoStream)>>,
    /// Whether another attempt cannot succeed.
    is_over: Cell<bool>,
    /// An idle stream has come or gone.
    idle_changed: Notify,
    /// There may be no idle stream.
    spare_wanted: Notify,
}

struct Idle<S> {
    stream: S,
    since: Instant,
}

/// A stream of one tool's connection. Closed when dropped, unless [`Lease::release`] returns it.
pub(crate) struct Lease<'a, O: Opener> {
    pool: &'a Pool<O>,
    pub(crate) stream: O::Stream,
    _permit: SemaphorePermit<'a>,
}

impl<O: Opener> Lease<'_, O> {
    /// Returns the stream, which must be idle.
    pub(crate) fn release(self) {
        self.pool.put(self.stream);
    }
}

impl<O: Opener> Pool<O> {
    pub(crate) fn new(opener: O) -> Self {
        Self {
            opener,
            idle: RefCell::default(),
            leases: Semaphore::new(MAX_LEASES),
            failure: RefCell::default(),
            is_over: Cell::new(false),
            idle_changed: Notify::new(),
            spare_wanted: Notify::new(),
        }
    }

    /// An idle stream; waits in line while there are as many as there may be.
    ///
    /// # Errors
    /// [`NoStream`] if none can be opened.
    pub(crate) async fn lease(&self) -> Result<Lease<'_, O>, NoStream> {
        let permit = self.leases.acquire().await.map_err(|_| NoStream("the proxy has ended".to_owned()))?;
        let idle = self.idle.borrow_mut().pop();
        let stream = match idle {
            Some(idle) => idle.stream,
            None => self.open().await?,
        };
        self.spare_wanted.notify_one();
        Ok(Lease { pool: self, stream, _permit: permit })
    }

    async fn open(&self) -> Result<O::Stream, NoStream> {
        if let Some((at, failure)) = &*self.failure.borrow()
            && (self.is_over.get() || at.elapsed() < FAILURE_TIME)
        {
            return Err(failure.clone());
        }
        self.try_open().await
    }

    async fn try_open(&self) -> Result<O::Stream, NoStream> {
        match self.opener.open().await {
            Ok(stream) => {
                self.failure.take();
                Ok(stream)
            }
            Err(error) => {
                debug!("cannot open a stream: {error}");
                self.is_over.set(self.is_over.get() || error.is_final());
                let failure = NoStream(error.to_string());
                self.failure.replace(Some((Instant::now(), failure.clone())));
                Err(failure)
            }
        }
    }

    fn put(&self, stream: O::Stream) {
        self.idle.borrow_mut().push(Idle { stream, since: Instant::now() });
        self.idle_changed.notify_one();
    }

    /// Keeps a stream idle, and closes those that have been idle for long or broke.
    pub(crate) async fn maintain(&self) -> Infallible {
        tokio::join!(self.keep_spare(), self.watch_idle()).0
    }

    async fn keep_spare(&self) -> Infallible {
        let mut backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
        let mut failing_since: Option<Instant> = None;
        loop {
            if !self.idle.borrow().is_empty() {
                self.spare_wanted.notified().await;
                continue;
            }
            match self.try_open().await {
                Ok(stream) => {
                    self.put(stream);
                    backoff = Backoff::new(FIRST_RETRY, LAST_RETRY);
                    failing_since = None;
                }
                Err(_) => {
                    let since = *failing_since.get_or_insert_with(Instant::now);
                    if self.is_over.get() || since.elapsed() > RETRY_TIME {
                        // Until a request has got a stream of its own.
                        self.spare_wanted.notified().await;
                        failing_since = None;
                    } else {
                        sleep(backoff.next()).await;
                    }
                }
            }
        }
    }

    /// Reads the idle streams, which answers the bridge's pings.
    async fn watch_idle(&self) -> Infallible {
        loop {
            let check_at = Instant::now() + IDLE_TIME;
            let broken = poll_fn(|context| {
                let mut idle = self.idle.borrow_mut();
                let before = idle.len();
                // Any message on an idle stream is against the protocol.
                idle.retain_mut(|idle| pin!(idle.stream.next()).poll(context).is_pending());
                if idle.len() < before { Poll::Ready(()) } else { Poll::Pending }
            });
            tokio::select! {
                () = broken => self.spare_wanted.notify_one(),
                () = self.idle_changed.notified() => {}
                () = sleep_until(check_at) => {
                    let unused = self.take_unused();
                    join_all(unused.into_iter().map(Stream::close)).await;
                }
            }
        }
    }

    /// All streams that have been idle for long, but one.
    fn take_unused(&self) -> Vec<O::Stream> {
        let mut idle = self.idle.borrow_mut();
        let old = idle.iter().take_while(|idle| idle.since.elapsed() >= IDLE_TIME).count();
        let closed = old.min(idle.len().saturating_sub(1));
        idle.drain(..closed).map(|idle| idle.stream).collect()
    }

    /// Ends the idle streams. The others end with their tools' connections.
    pub(crate) async fn close(&self) {
        let idle = self.idle.take();
        join_all(idle.into_iter().map(|idle| idle.stream.close())).await;
    }
}
