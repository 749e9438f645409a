//! The clock of Linux's file systems.

use std::time::Instant;

use rustix::time::{ClockId, clock_gettime};

/// If the clocks differ by more seconds, the clock was set back. Two clocks that are read one after the other may differ by
/// one.
const CLOCK_SLACK: i64 = 1;

/// Seconds and nanoseconds of the clock that file systems use.
pub(super) type Time = (i64, i64);

/// A point in time, by the clock that file systems use and by one that cannot be set.
pub(in crate::leak_check) struct Moment {
    files: Time,
    steady: Instant,
}

impl Moment {
    pub(in crate::leak_check) fn now() -> Self {
        Self { files: clock(ClockId::RealtimeCoarse), steady: Instant::now() }
    }

    /// The earliest time that a file changed since then can have, even if the clock was set back meanwhile.
    pub(super) fn earliest(&self) -> Time {
        let (seconds, nanos) = clock(ClockId::Realtime);
        let passed = i64::try_from(self.steady.elapsed().as_secs()).unwrap_or(i64::MAX);
        let by_now = (seconds.saturating_sub(passed), nanos);
        if self.files.0.saturating_sub(by_now.0) > CLOCK_SLACK { by_now } else { self.files }
    }
}

fn clock(id: ClockId) -> Time {
    let now = clock_gettime(id);
    (now.tv_sec, now.tv_nsec)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_that_was_set_back_hides_no_file() {
        let now = Moment::now();
        assert_eq!(now.earliest(), now.files);
        let (seconds, nanos) = now.files;
        // COMMAND ran for five seconds, in which the clock went back by an hour. (An `Instant` cannot be earlier than
        // the machine's start, so longer runs could not be tested on a fresh machine.)
        let steady = now.steady.checked_sub(Duration::from_secs(5)).unwrap();
        let before = Moment { files: (seconds + 3600 - 5, nanos), steady };
        assert!(before.earliest().0 <= seconds - 5 + CLOCK_SLACK);
    }
}
