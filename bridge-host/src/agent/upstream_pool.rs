//! The connections to one agent of this host, shared by all that use it. Their number is limited: a connection for each
//! channel of each session would take all descriptors of ssh-agent, which then serves the host's user no longer.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::agent::{Identity, number};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tracing::debug;

use super::upstream::{ANSWER_TIMEOUT, Listed, Upstream, UpstreamConnection, identities, signature};

/// Most connections to one agent, whatever they are used for. A soft limit of 1,024 descriptors is usual for ssh-agent.
const MAX_CONNECTIONS: usize = 32;
/// Most connections that one session, or one `--agent-socket`, uses at once: two have to share the agent at the least.
const MAX_IN_USE_BY_ONE: usize = MAX_CONNECTIONS / 2;
/// How long a request waits for a connection. It is long because a signature may wait for a person.
const LINE_TIMEOUT: Duration = Duration::from_secs(60);

/// The connections to one agent.
pub(crate) struct UpstreamPool {
    upstream: Upstream,
    /// One permit for each connection in use. Together with those in `idle` they are at most [`MAX_CONNECTIONS`].
    in_use: Semaphore,
    /// The longest unused first.
    idle: Mutex<VecDeque<Idle>>,
    next_owner: AtomicU64,
}

struct Idle {
    /// The owner for whom session-binds were sent on the connection; `None` if none were.
    owner: Option<OwnerId>,
    connection: UpstreamConnection,
}

/// Number of an [`Owner`].
type OwnerId = u64;

/// The connections in use by one session, or by one `--agent-socket`.
pub(crate) struct Turns(Semaphore);

/// The right to use one connection at a time. The agent keeps the binds of a connection, so one with binds serves only
/// the owner that sent them. Dropping this closes it.
pub(crate) struct Owner<'a> {
    pool: &'a UpstreamPool,
    turns: &'a Turns,
    id: OwnerId,
}

/// The right to use one connection now.
struct Turn<'a> {
    _of_owner: Option<SemaphorePermit<'a>>,
    _of_pool: SemaphorePermit<'a>,
}

impl Default for Turns {
    fn default() -> Self {
        Self(Semaphore::new(MAX_IN_USE_BY_ONE))
    }
}

impl UpstreamPool {
    pub(crate) fn new(upstream: Upstream) -> Self {
        Self {
            upstream,
            in_use: Semaphore::new(MAX_CONNECTIONS),
            idle: Mutex::default(),
            next_owner: AtomicU64::new(0),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.upstream.path()
    }

    /// Its keys, and whether some hosts would see others.
    ///
    /// # Errors
    /// The system's, `TimedOut`, or an invalid answer.
    pub(crate) async fn list(&self) -> io::Result<Listed> {
        let _turn = self.turn(None).await?;
        self.make_room();
        self.upstream.list().await
    }

    /// A new owner, which takes its turns from `turns`.
    pub(crate) fn owner<'a>(&'a self, turns: &'a Turns) -> Owner<'a> {
        Owner { pool: self, turns, id: self.next_owner.fetch_add(1, Ordering::Relaxed) }
    }

    /// Waits in line for the right to use a connection.
    async fn turn<'a>(&'a self, turns: Option<&'a Turns>) -> io::Result<Turn<'a>> {
        let closed = |_| io::Error::from(io::ErrorKind::NotConnected); // neither semaphore is ever closed
        let wait = async {
            let of_owner = match turns {
                Some(turns) => Some(turns.0.acquire().await.map_err(closed)?),
                None => None,
            };
            let of_pool = self.in_use.acquire().await.map_err(closed)?;
            Ok(Turn { _of_owner: of_owner, _of_pool: of_pool })
        };
        timeout(LINE_TIMEOUT, wait).await.unwrap_or_else(|_| {
            let why = format!("all {MAX_CONNECTIONS} connections to it are in use");
            Err(io::Error::new(io::ErrorKind::TimedOut, why))
        })
    }

    /// Closes the longest unused connections, until one more may be opened. The caller has a turn.
    fn make_room(&self) {
        let mut idle = self.lock();
        while idle.len() > self.in_use.available_permits() {
            idle.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owner<'_> {
    /// The signature in the answer to the sign request `message`, on a connection on which `binds`, and no others, were
    /// sent; `None` if the agent refused. Waits in line while too many connections are in use.
    ///
    /// # Errors
    /// The system's, `TimedOut` in line, or an invalid answer. The connection is closed: a late answer would be taken for
    /// the answer to the next request.
    pub(crate) async fn sign(&self, binds: &[Vec<u8>], message: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let _turn = self.pool.turn(Some(self.turns)).await?;
        self.exchange(binds, message, signature).await
    }

    /// As [`Self::sign`], for the agent's keys. That needs no person's attention, so it has a time limit.
    ///
    /// # Errors
    /// Those of [`Self::sign`], and `TimedOut`.
    pub(crate) async fn list(&self, binds: &[Vec<u8>]) -> io::Result<Vec<Identity>> {
        let _turn = self.pool.turn(Some(self.turns)).await?;
        let listing = self.exchange(binds, &[number::REQUEST_IDENTITIES], identities);
        timeout(ANSWER_TIMEOUT, listing).await.map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// The answer to `message`, as `read` reads it; on a new connection, if the agent closed the idle one since its last
    /// use.
    async fn exchange<T>(
        &self,
        binds: &[Vec<u8>],
        message: &[u8],
        read: fn(&[u8]) -> io::Result<T>,
    ) -> io::Result<T> {
        let idle = self.take_idle(binds);
        let was_idle = idle.is_some();
        let mut connection = match idle {
            Some(connection) => connection,
            None => self.connect(binds).await?,
        };
        let answer = match connection.call(message).await {
            Err(error) if was_idle && is_hang_up(&error) => {
                debug!("the agent closed an idle connection: {error}");
                drop(connection);
                connection = self.connect(binds).await?;
                connection.call(message).await?
            }
            answer => answer?,
        };
        let answer = read(&answer)?;
        self.put_back(connection, binds);
        Ok(answer)
    }

    /// Closes the connection that has binds, because they no longer apply.
    pub(crate) fn forget_binds(&self) {
        self.pool.lock().retain(|idle| idle.owner != Some(self.id));
    }

    fn take_idle(&self, binds: &[Vec<u8>]) -> Option<UpstreamConnection> {
        let owner = (!binds.is_empty()).then_some(self.id);
        let mut idle = self.pool.lock();
        // The last used first: the longest unused ones are those to close.
        let index = idle.iter().rposition(|idle| idle.owner == owner)?;
        idle.remove(index).map(|idle| idle.connection)
    }

    async fn connect(&self, binds: &[Vec<u8>]) -> io::Result<UpstreamConnection> {
        self.pool.make_room();
        let mut connection = self.pool.upstream.connect().await?;
        for bind in binds {
            // Some agents on Windows close the connection when they get a bind.
            if connection.bind(bind).await.is_err() {
                drop(connection);
                return self.pool.upstream.connect().await;
            }
        }
        Ok(connection)
    }

    fn put_back(&self, connection: UpstreamConnection, binds: &[Vec<u8>]) {
        let owner = (!binds.is_empty()).then_some(self.id);
        self.pool.lock().push_back(Idle { owner, connection });
    }
}

impl Drop for Owner<'_> {
    fn drop(&mut self) {
        self.forget_binds();
    }
}

/// Whether the other end closed the connection, rather than sent an invalid answer.
fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&error.kind())
}
