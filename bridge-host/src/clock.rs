//! The time at which a bridge ends by itself.

use std::time::{Duration, SystemTime};

#[cfg_attr(target_os = "linux", path = "clock/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "clock/other.rs")]
mod platform;

/// A deadline by two clocks: the time since boot, which includes a suspended laptop's sleep, and the wall clock. The
/// first to pass it decides, so that neither sleep nor a clock set back prolongs a bridge's life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    boot: Duration,
    wall: SystemTime,
}

impl Deadline {
    /// The deadline `lifetime` from now; `None` if a clock cannot represent it.
    pub(crate) fn after(lifetime: Duration) -> Option<Self> {
        Some(Self {
            boot: platform::since_boot().checked_add(lifetime)?,
            wall: SystemTime::now().checked_add(lifetime)?,
        })
    }

    pub(crate) fn has_passed(&self) -> bool {
        platform::since_boot() >= self.boot || SystemTime::now() >= self.wall
    }

    /// The wall clock's deadline in seconds since 1970, for the conf.
    pub(crate) fn unix_seconds(&self) -> Option<u64> {
        Some(self.wall.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
    }
}
