//! `CLOCK_BOOTTIME`, which includes the time that the machine sleeps (clock_gettime(2)).

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

pub(super) fn since_boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}
