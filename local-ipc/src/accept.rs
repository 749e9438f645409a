//! The accept loop.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use thiserror::Error;
use tokio::time::{Instant, sleep_until};

use crate::{LocalListener, LocalStream};

/// Wait after a failed accept(2). With too many open files it fails at once, and the loop would spin.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(50);

/// A problem with one connection. The accept loop goes on.
#[derive(Debug, Error)]
pub enum ConnectionError {
    /// Too many open files, for example.
    #[error("cannot accept a connection: {0}")]
    Accept(io::Error),
    /// The peer was another user's process; its connection is closed.
    #[error("refused a connection from a process of another user")]
    OtherUser,
    /// The connection's handler failed.
    #[error("a connection ended: {0}")]
    Ended(io::Error),
}

/// Accepts connections from `listener` and runs `handle` on each, at most `limit` at once; further ones wait in
/// the system's backlog. Problems go to `report`. Dropping the future ends every connection.
pub async fn serve_connections<F: Future<Output = io::Result<()>>>(
    listener: &LocalListener,
    limit: usize,
    handle: impl FnMut(LocalStream) -> F,
    report: impl FnMut(ConnectionError),
) -> Infallible {
    serve(async || listener.accept().await, limit, handle, report).await
}

async fn serve<S, F: Future<Output = io::Result<()>>>(
    accept: impl AsyncFn() -> io::Result<Option<S>>,
    limit: usize,
    mut handle: impl FnMut(S) -> F,
    mut report: impl FnMut(ConnectionError),
) -> Infallible {
    let mut connections = FuturesUnordered::new();
    let mut retry_at: Option<Instant> = None;
    loop {
        // The back-off is part of this future, so that connections are served, and removed when they end, meanwhile.
        let next = async {
            if let Some(time) = retry_at {
                sleep_until(time).await;
            }
            accept().await
        };
        tokio::select! {
            accepted = next, if connections.len() < limit => {
                retry_at = None;
                match accepted {
                    Ok(Some(stream)) => connections.push(handle(stream)),
                    Ok(None) => report(ConnectionError::OtherUser),
                    Err(error) => {
                        report(ConnectionError::Accept(error));
                        retry_at = Some(Instant::now() + ACCEPT_BACKOFF);
                    }
                }
            }
            Some(ended) = connections.next() => {
                if let Err(error) = ended {
                    report(ConnectionError::Ended(error));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::sync::{Semaphore, mpsc};
    use tokio::time::{sleep, timeout};

    use super::*;

    /// Runs the loop for `time`.
    async fn run_for(time: Duration, serving: impl Future<Output = Infallible>) {
        assert!(timeout(time, serving).await.is_err());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn accept_errors_are_retried_after_a_wait() {
        let (attempts, reports) = (Cell::new(0), Cell::new(0));
        let accept = async || {
            attempts.set(attempts.get() + 1);
            Err::<Option<()>, _>(io::Error::other("too many open files"))
        };
        let report = |_| reports.set(reports.get() + 1);
        run_for(ACCEPT_BACKOFF * 3, serve(accept, 8, async |()| Ok(()), report)).await;
        assert!((1..=4).contains(&attempts.get()), "{} attempts", attempts.get());
        assert!(reports.get() <= attempts.get());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn connections_are_served_during_the_wait_after_an_error() {
        let (accepted, finished) = (Cell::new(0), Cell::new(false));
        let accept = async || {
            accepted.set(accepted.get() + 1);
            if accepted.get() == 1 { Ok(Some(())) } else { Err(io::Error::other("too many open files")) }
        };
        let handle = async |()| {
            sleep(Duration::from_millis(1)).await;
            finished.set(true);
            Ok(())
        };
        run_for(ACCEPT_BACKOFF / 2, serve(accept, 8, handle, |_| {})).await;
        assert!(finished.get());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn connections_over_the_limit_wait_until_one_ends() {
        let (sender, receiver) = mpsc::channel(8);
        for number in 0..3 {
            sender.send(number).await.unwrap();
        }
        let receiver = RefCell::new(receiver);
        let accept =
            async || Ok(std::future::poll_fn(|context| receiver.borrow_mut().poll_recv(context)).await);
        let (open, most, served) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let gate = Semaphore::new(0);
        let handle = async |_number: i32| {
            open.set(open.get() + 1);
            most.set(most.get().max(open.get()));
            gate.acquire().await.unwrap().forget();
            open.set(open.get() - 1);
            served.set(served.get() + 1);
            Ok(())
        };
        let end_all = async {
            sleep(Duration::from_millis(5)).await;
            assert_eq!(open.get(), 2);
            gate.add_permits(3);
            std::future::pending::<()>().await
        };
        let serving = async { tokio::join!(serve(accept, 2, handle, |_| {}), end_all).0 };
        run_for(Duration::from_millis(50), serving).await;
        assert_eq!((most.get(), served.get(), open.get()), (2, 3, 0));
    }
}
