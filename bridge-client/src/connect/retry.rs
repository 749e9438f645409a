//! When to try again, and how long to wait before.

use std::time::Duration;

use aws_lc_rs::rand;
use tokio::time::{Instant, sleep};

/// How long a client tries again altogether. A flood that keeps it out for longer keeps its build waiting for longer than
/// an error is worth.
const LIMIT: Duration = Duration::from_secs(10);
/// Bounds of the longest wait before an attempt, which doubles with each.
const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(2);

/// Longest wait before the first redial of a session whose COMMAND runs, and before any; doubled for each further one.
pub(crate) const FIRST_REDIAL: Duration = Duration::from_millis(200);
pub(crate) const LAST_REDIAL: Duration = Duration::from_secs(5);
/// A connection that breaks sooner does not reset the backoff of redials: a hostile bridge must not have itself dialled in
/// a loop.
pub(crate) const LASTING: Duration = Duration::from_secs(10);
/// How long the bridge keeps a session whose connection broke.
pub(crate) const SESSION_GRACE: Duration = Duration::from_secs(60);

/// Exponential backoff with full jitter: each wait is random, from nothing to a limit that doubles. Clients that a bridge
/// turned away at the same instant do not come back at the same instant.
#[derive(Debug)]
pub(crate) struct Backoff {
    longest: Duration,
    limit: Duration,
}

impl Backoff {
    pub(crate) fn new(first: Duration, limit: Duration) -> Self {
        Self { longest: first, limit }
    }

    pub(crate) fn next(&mut self) -> Duration {
        let mut random = [0; 4];
        // Without randomness, the middle.
        let fraction = match rand::fill(&mut random) {
            Ok(()) => f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX),
            Err(_) => 0.5,
        };
        let wait = self.longest.mul_f64(fraction);
        self.longest = (self.longest * 2).min(self.limit);
        wait
    }
}

/// The attempts to connect once.
#[derive(Debug)]
pub(crate) struct Retries {
    began: Instant,
    /// Attempts so far, the present one included.
    pub(crate) tries: u32,
    backoff: Backoff,
    /// Time that does not count: the bridge had accepted the client, and let it wait.
    exempt: Duration,
}

impl Retries {
    /// Begins the first attempt.
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), tries: 1, backoff: Backoff::new(FIRST, LAST), exempt: Duration::ZERO }
    }

    pub(crate) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn exempt(&mut self, time: Duration) {
        self.exempt += time;
    }

    /// When the present attempt ends, if it is not the first, which has timeouts of its own.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        (self.tries > 1).then(|| self.end())
    }

    fn end(&self) -> Instant {
        self.began + LIMIT + self.exempt
    }

    /// Waits, and begins another attempt; `false` if there is no time for one.
    pub(crate) async fn again(&mut self) -> bool {
        let wait = self.backoff.next();
        if Instant::now() + wait >= self.end() {
            return false;
        }
        sleep(wait).await;
        self.tries += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_are_random_and_their_limit_doubles() {
        let mut backoff = Backoff::new(FIRST, LAST);
        for limit in [100, 200, 400, 800, 1600, 2000, 2000] {
            assert!(backoff.next() <= Duration::from_millis(limit));
        }
        let waits: Vec<Duration> = (0..16).map(|_| backoff.next()).collect();
        assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
    }
}
