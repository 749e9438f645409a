//! The monotonic clock, where no clock is known to include sleep; the wall clock of the deadline covers that.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(super) fn since_boot() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}
