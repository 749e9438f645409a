//! When a source that failed may run again: after pauses that grow, and not without end. Clients decide how often a secret
//! is asked for, so without a limit they would decide how often a command runs on this host.

use std::fmt;
use std::time::{Duration, Instant};

/// The pause after the first failure. It doubles with each further one, up to [`MAX_PAUSE`]. A build that retries at once
/// must not hammer a password manager; a person who unlocks it must not have to start the bridge again.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// Most runs of one source in the life of a bridge: some eight hours of failures.
const MAX_RUNS: u32 = 100;

/// The failures of one source.
#[derive(Debug)]
pub(super) struct Failures {
    count: u32,
    last: Instant,
    pause: Duration,
    /// Of the last failure.
    pub(super) why: String,
}

/// Why a source is not run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextRun {
    /// Not before this time has passed.
    After(Duration),
    /// Not in the life of this bridge: it failed this number of times.
    Never(u32),
}

impl Failures {
    /// The failures of a source that failed at `now`, after the `earlier` ones.
    pub(super) fn after(earlier: Option<&Self>, why: String, now: Instant) -> Self {
        let pause = earlier.map_or(FIRST_PAUSE, |earlier| (earlier.pause * 2).min(MAX_PAUSE));
        Self { count: earlier.map_or(1, |earlier| earlier.count.saturating_add(1)), last: now, pause, why }
    }

    /// When the source may run again; `None` if it may now.
    pub(super) fn next_run(&self, now: Instant) -> Option<NextRun> {
        if self.count >= MAX_RUNS {
            return Some(NextRun::Never(self.count));
        }
        let left = self.pause.saturating_sub(now.saturating_duration_since(self.last));
        (!left.is_zero()).then_some(NextRun::After(left))
    }

    /// For tests that do not wait.
    #[cfg(test)]
    pub(super) fn end_pause(&mut self) {
        self.pause = Duration::ZERO;
    }
}

impl fmt::Display for NextRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Rounded up: a client that comes back after this time is not too early.
            Self::After(left) => write!(f, "not run again for {} s", left.as_millis().div_ceil(1000)),
            Self::Never(runs) => {
                write!(f, "failed {runs} times, not run again before the bridge is restarted")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_minutes_and_runs_end() {
        let mut now = Instant::now();
        let mut failures = Failures::after(None, "why".to_owned(), now);
        let mut pauses = Vec::new();
        while let Some(NextRun::After(pause)) = failures.next_run(now) {
            pauses.push(pause.as_secs());
            assert!(failures.next_run(now + pause - Duration::from_millis(1)).is_some());
            now += pause;
            assert_eq!(failures.next_run(now), None);
            failures = Failures::after(Some(&failures), "why".to_owned(), now);
        }
        assert_eq!(pauses[..7], [10, 20, 40, 80, 160, 300, 300]);
        assert_eq!((pauses.len(), failures.next_run(now)), (99, Some(NextRun::Never(100))));
        assert_eq!(failures.next_run(now + Duration::from_secs(1 << 30)), Some(NextRun::Never(100)));
    }

    #[test]
    fn the_time_to_wait_is_rounded_up() {
        assert_eq!(NextRun::After(Duration::from_millis(9_001)).to_string(), "not run again for 10 s");
    }
}
