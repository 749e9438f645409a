//! What the bridge makes this side say in the build's log while COMMAND runs: refusals, and connections that break. A
//! hostile bridge must not flood the log, so its texts have a budget.

use std::mem::take;
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

/// Bytes that may be said at once.
const BURST: usize = 16 << 10;
/// In this time, the whole of [`BURST`] becomes available again.
const REFILL: Duration = Duration::from_secs(600);

/// The messages of one session. They appear at the level `warn`.
pub(super) struct Reports {
    budget: Budget,
    last: String,
    /// How often `last` came again since it was printed.
    repeated: u64,
    /// Messages that had no room since the last one that was printed.
    omitted: u64,
}

/// Bytes that refill with time.
struct Budget {
    left: usize,
    counted_at: Instant,
}

impl Reports {
    pub(super) fn new() -> Self {
        Self {
            budget: Budget { left: BURST, counted_at: Instant::now() },
            last: String::new(),
            repeated: 0,
            omitted: 0,
        }
    }

    /// Prints `message`, unless it is the one before again, or there is no room for it.
    pub(super) fn say(&mut self, message: String) {
        for line in self.lines(message, Instant::now()) {
            warn!("{line}");
        }
    }

    fn lines(&mut self, message: String, now: Instant) -> Vec<String> {
        if message == self.last {
            self.repeated += 1;
            return Vec::new();
        }
        if !self.budget.take(message.len(), now) {
            self.omitted += 1;
            return Vec::new();
        }
        let mut lines = self.counts();
        lines.push(message.clone());
        self.last = message;
        lines
    }

    /// What was not printed, as counts.
    fn counts(&mut self) -> Vec<String> {
        let (repeated, omitted) = (take(&mut self.repeated), take(&mut self.omitted));
        let repeated = (repeated > 0).then(|| format!("the last message came again ({repeated} times)"));
        let omitted =
            (omitted > 0).then(|| format!("{omitted} messages about the bridge were too many to be shown"));
        repeated.into_iter().chain(omitted).collect()
    }
}

impl Drop for Reports {
    fn drop(&mut self) {
        for line in self.counts() {
            warn!("{line}");
        }
    }
}

impl Budget {
    fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let share = now.duration_since(self.counted_at).as_secs_f64() / REFILL.as_secs_f64();
        let gained = (BURST as f64 * share) as usize;
        if gained > 0 {
            self.left = self.left.saturating_add(gained).min(BURST);
            self.counted_at = now;
        }
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_text_is_printed_once_with_a_count() {
        let mut reports = Reports::new();
        let now = Instant::now();
        let said: Vec<String> =
            ["a", "a", "a", "b"].iter().flat_map(|text| reports.lines((*text).to_owned(), now)).collect();
        assert_eq!(said, ["a", "the last message came again (2 times)", "b"]);
    }

    #[test]
    fn a_flood_of_different_texts_is_bounded_in_bytes() {
        let mut reports = Reports::new();
        let now = Instant::now();
        let flood = |reports: &mut Reports, now| -> usize {
            (0..10_000)
                .flat_map(|number| reports.lines(format!("refused: {number:100}"), now))
                .map(|line| line.len())
                .sum()
        };
        assert!(flood(&mut reports, now) <= BURST);
        assert!(reports.omitted > 9000);
        // An hour later there is room again, for no more than before, and what was omitted is counted.
        let later = flood(&mut reports, now + Duration::from_secs(3600));
        assert!((1000..BURST + 100).contains(&later), "{later}");
    }
}
