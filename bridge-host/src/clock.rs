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
        self.has_passed_at(platform::since_boot(), SystemTime::now())
    }

    fn has_passed_at(&self, boot: Duration, wall: SystemTime) -> bool {
        boot >= self.boot || wall >= self.wall
    }

    /// The wall clock's deadline in seconds since 1970, for the conf.
    pub(crate) fn unix_seconds(&self) -> Option<u64> {
        Some(self.wall.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    /// A deadline an hour after these times.
    fn deadline(boot: Duration, wall: SystemTime) -> Deadline {
        Deadline { boot: boot + HOUR, wall: wall + HOUR }
    }

    #[test]
    fn a_wall_clock_set_back_prolongs_nothing() {
        let (boot, wall) = (10 * HOUR, SystemTime::UNIX_EPOCH + 1000 * HOUR);
        let deadline = deadline(boot, wall);
        let set_back = wall - 500 * HOUR;
        assert!(!deadline.has_passed_at(boot + HOUR / 2, set_back));
        assert!(deadline.has_passed_at(boot + HOUR, set_back));
    }

    #[test]
    fn a_wall_clock_set_forward_ends_the_bridge_early() {
        let (boot, wall) = (10 * HOUR, SystemTime::UNIX_EPOCH + 1000 * HOUR);
        let deadline = deadline(boot, wall);
        assert!(!deadline.has_passed_at(boot, wall + HOUR - Duration::from_secs(1)));
        assert!(deadline.has_passed_at(boot, wall + HOUR));
    }

    #[test]
    fn sleep_counts_even_if_the_wall_clock_stood_still() {
        let (boot, wall) = (10 * HOUR, SystemTime::UNIX_EPOCH + 1000 * HOUR);
        assert!(deadline(boot, wall).has_passed_at(boot + 2 * HOUR, wall));
    }

    #[test]
    fn a_lifetime_that_no_clock_can_represent_is_none() {
        assert!(Deadline::after(Duration::MAX).is_none());
        assert!(!Deadline::after(HOUR).unwrap().has_passed());
    }
}
