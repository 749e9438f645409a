//! Errors of `accept`: they neither make the accept loop spin nor flood the log.

use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};
use tracing::warn;

/// Pause after an error that would come again at once: without descriptors, the listener stays readable.
const PAUSE: Duration = Duration::from_millis(50);
/// At most one message in this time.
const MESSAGE_INTERVAL: Duration = Duration::from_secs(10);

/// The state after errors of `accept`.
#[derive(Default)]
pub(super) struct AcceptErrors {
    pause: Option<Pin<Box<Sleep>>>,
    reported: Option<Instant>,
}

impl AcceptErrors {
    /// Whether `error` is about this machine, and not about the connection that would have been next. Then a pause
    /// begins.
    pub(super) fn is_exhaustion(&mut self, error: &io::Error, now: Instant) -> bool {
        if is_about_the_connection(error) {
            return false;
        }
        self.pause = Some(Box::pin(sleep_until(now + PAUSE)));
        if self.reported.is_none_or(|at| now.duration_since(at) >= MESSAGE_INTERVAL) {
            self.reported = Some(now);
            warn!("cannot accept connections at present: {error}");
        }
        true
    }

    /// Ready unless a pause lasts.
    pub(super) fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            if pause.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.pause = None;
        }
        Poll::Ready(())
    }
}

/// Whether the next connection was broken before it was accepted. Linux reports a pending error of that connection as
/// one of `accept` (accept(2)), and EPERM if its firewall forbids it.
fn is_about_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::Interrupted
            | ErrorKind::PermissionDenied
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::HostUnreachable
            | ErrorKind::TimedOut
    )
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn only_exhaustion_pauses() {
        // EMFILE, ENFILE, ENOBUFS, ENOMEM; ECONNABORTED, EPERM, EHOSTUNREACH.
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
            let mut errors = AcceptErrors::default();
            for (number, is_exhaustion) in
                [(24, true), (23, true), (105, true), (12, true), (103, false), (1, false), (113, false)]
            {
                let error = io::Error::from_raw_os_error(number);
                assert_eq!(errors.is_exhaustion(&error, Instant::now()), is_exhaustion, "{number}");
            }
        });
    }
}
