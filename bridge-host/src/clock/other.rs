//! Where no clock is known to count sleep, the monotonic one; the wall clock covers the rest.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(super) fn since_boot() -> Duration {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    FIRST.get_or_init(Instant::now).elapsed()
}
