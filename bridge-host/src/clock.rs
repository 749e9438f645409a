//! When a bridge ends by itself.

use std::time::{Duration, SystemTime};

#[cfg_attr(target_os = "linux", path = "clock/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "clock/other.rs")]
mod platform;

/// A moment by two clocks: time since boot, which counts a suspended laptop's sleep too, and the wall clock. Whichever
/// gets there first decides, so that neither sleep nor a clock set back lengthens a bridge's life.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    boot: Duration,
    wall: SystemTime,
}

impl Deadline {
    /// `lifetime` from now; `None` if that is beyond what the clocks can say.
    pub(crate) fn after(lifetime: Duration) -> Option<Self> {
        Some(Self {
            boot: platform::since_boot().checked_add(lifetime)?,
            wall: SystemTime::now().checked_add(lifetime)?,
        })
    }

    /// Whether it has come.
    pub(crate) fn has_passed(&self) -> bool {
        platform::since_boot() >= self.boot || SystemTime::now() >= self.wall
    }

    /// In seconds since 1970, for the conf.
    pub(crate) fn unix_seconds(&self) -> Option<u64> {
        Some(self.wall.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
    }
}
