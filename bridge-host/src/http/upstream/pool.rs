//! Connections to servers that are kept for the next request of the same session and rule.
//!
//! They are never shared between sessions or rules: what one build has sent on a connection must not meet what another one
//! reads from it. A pool ends with the last stream of its session.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead as _, ReadBuf};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::wire::Wire;

/// Most idle connections of one session to the server of one rule. Tools open 4 to 66 at once, and need as many again only
/// if they are as busy again.
const MAX_IDLE: usize = 16;
/// Most idle connections of one session.
const MAX_IDLE_OF_SESSION: usize = 32;
/// An idle connection is kept for this time, if the server does not say less. nginx closes after 75 s.
const MAX_AGE: Duration = Duration::from_secs(60);
/// A request that cannot be sent again uses a connection that was idle for less than this: some servers close after 2 s, and
/// a request that crosses the close is lost.
const FRESH: Duration = if cfg!(test) { Duration::from_secs(30) } else { Duration::from_secs(1) };

/// Most idle connections of a bridge: each takes a descriptor.
const MAX_IDLE_OF_BRIDGE: usize = 256;

/// The idle connections of one session, by rule.
pub(crate) struct Pool {
    idle: Mutex<BTreeMap<usize, Vec<Idle>>>,
    limit: PoolLimit,
}

/// The limit that all pools of a bridge share.
#[derive(Clone)]
pub(crate) struct PoolLimit(Arc<Semaphore>);

struct Idle {
    wire: Wire,
    _permit: OwnedSemaphorePermit,
    since: Instant,
    /// The server may close it from then on.
    until: Instant,
}

/// Whether a request can be sent again if its connection turns out to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeatable {
    Yes,
    No,
}

impl PoolLimit {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(MAX_IDLE_OF_BRIDGE)))
    }
}

impl Pool {
    pub(crate) fn new(limit: PoolLimit) -> Self {
        Self { idle: Mutex::default(), limit }
    }

    /// A connection to the server of `rule` that is still open, the one that was idle for the shortest time.
    pub(crate) async fn take(&self, rule: usize, repeatable: Repeatable) -> Option<Wire> {
        loop {
            let mut idle = {
                let mut all = self.all();
                drop_old(&mut all);
                all.get_mut(&rule)?.pop()?
            };
            let fits = repeatable == Repeatable::Yes || idle.since.elapsed() < FRESH;
            if is_open(&mut idle.wire).await {
                if fits {
                    return Some(idle.wire);
                }
                // Those before it were idle for longer.
                self.all().entry(rule).or_default().push(idle);
                return None;
            }
        }
    }

    /// Keeps a connection on which an answer is complete and nothing is left over. `server_keeps` is the time for which
    /// the server says that it keeps it.
    pub(crate) fn put(&self, rule: usize, wire: Wire, server_keeps: Option<Duration>) {
        let now = Instant::now();
        // A second less, for the way of the next request.
        let keep =
            server_keeps.map_or(MAX_AGE, |keep| keep.saturating_sub(Duration::from_secs(1)).min(MAX_AGE));
        let mut all = self.all();
        drop_old(&mut all);
        if keep.is_zero() || all.values().map(Vec::len).sum::<usize>() >= MAX_IDLE_OF_SESSION {
            return;
        }
        let idle = all.entry(rule).or_default();
        if idle.len() >= MAX_IDLE {
            idle.remove(0);
        }
        if let Ok(permit) = Arc::clone(&self.limit.0).try_acquire_owned() {
            idle.push(Idle { wire, _permit: permit, since: now, until: now + keep });
        }
    }

    /// Closes connections that were idle for too long.
    pub(crate) fn close_old(&self) {
        drop_old(&mut self.all());
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<usize, Vec<Idle>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn drop_old(all: &mut BTreeMap<usize, Vec<Idle>>) {
    let now = Instant::now();
    for idle in all.values_mut() {
        idle.retain(|idle| idle.until > now);
    }
}

/// Whether the server has neither closed the connection nor sent anything on it. What it sent without a request would be
/// taken for the answer to the next one.
async fn is_open(wire: &mut Wire) -> bool {
    poll_fn(|context| {
        let mut byte = [0];
        Poll::Ready(Pin::new(&mut *wire).poll_read(context, &mut ReadBuf::new(&mut byte)).is_pending())
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::io::AsyncWriteExt as _;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::advance;

    use super::*;

    async fn connection(listener: &TcpListener) -> (Wire, TcpStream) {
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (Wire::Plain(near), listener.accept().await.unwrap().0)
    }

    async fn count(pool: &Pool, rule: usize) -> usize {
        let mut count = 0;
        while pool.take(rule, Repeatable::Yes).await.is_some() {
            count += 1;
        }
        count
    }

    #[tokio::test]
    async fn a_connection_is_used_again_by_its_rule_only() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let pool = Pool::new(PoolLimit::new());
        let (near, _far) = connection(&listener).await;
        pool.put(1, near, None);
        assert!(pool.take(0, Repeatable::Yes).await.is_none());
        assert!(pool.take(1, Repeatable::Yes).await.is_some());
        assert!(pool.take(1, Repeatable::Yes).await.is_none());
    }

    #[tokio::test]
    async fn what_the_server_closed_or_wrote_to_is_dropped() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let pool = Pool::new(PoolLimit::new());
        let (near, far) = connection(&listener).await;
        pool.put(0, near, None);
        drop(far);
        let (near, mut far) = connection(&listener).await;
        pool.put(0, near, None);
        far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        // Loopback delivers before the write returns, and the runtime sees it once it looks.
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(count(&pool, 0).await, 0);
    }

    #[tokio::test]
    async fn idle_connections_are_limited_in_number_and_age() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let pool = Pool::new(PoolLimit::new());
        let mut kept = Vec::new();
        for rule in [0; MAX_IDLE + 5].into_iter().chain([1; MAX_IDLE + 5]).chain([2; 5]) {
            let (near, far) = connection(&listener).await;
            pool.put(rule, near, None);
            kept.push(far);
        }
        assert_eq!(count(&pool, 0).await, MAX_IDLE);
        assert_eq!(count(&pool, 1).await, MAX_IDLE);
        assert_eq!(count(&pool, 2).await, 0);

        tokio::time::pause();
        for (server_keeps, age) in [(None, MAX_AGE), (Some(Duration::from_secs(5)), Duration::from_secs(4))] {
            let (near, _far) = connection(&listener).await;
            pool.put(0, near, server_keeps);
            advance(age - Duration::from_millis(1)).await;
            let wire = pool.take(0, Repeatable::Yes).await.unwrap();
            pool.put(0, wire, server_keeps);
            advance(age).await;
            assert_eq!(count(&pool, 0).await, 0);
        }
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_repeated_takes_a_fresh_connection_only() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let pool = Pool::new(PoolLimit::new());
        let (near, _far) = connection(&listener).await;
        tokio::time::pause();
        pool.put(0, near, None);
        let fresh = pool.take(0, Repeatable::No).await.unwrap();
        pool.put(0, fresh, None);
        advance(FRESH).await;
        assert!(pool.take(0, Repeatable::No).await.is_none());
        assert_eq!(count(&pool, 0).await, 1);
    }
}
