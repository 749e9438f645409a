//! The limit of open file descriptors: raised for the bridge, which needs one for each connection, and as it was for the
//! programs that the bridge starts.
//!
//! A program may rely on the usual soft limit of 1,024: `select(2)` fails for larger descriptors, and some programs close
//! every descriptor up to the limit when they start.

#[cfg_attr(unix, path = "descriptors/unix.rs")]
#[cfg_attr(windows, path = "descriptors/windows.rs")]
mod platform;

pub(crate) use platform::{command, with_original_limit};

/// The soft limit that a bridge raises its own to, if the hard limit allows that, unless its settings need more. A bridge
/// with default settings needs less, and a larger limit would only let a fault go further.
const USUAL_LIMIT: u64 = 65_536;

/// Raises the soft limit of open descriptors of this process towards the hard limit: to [`USUAL_LIMIT`], or to `needed` if
/// that is more. Never lowers it. Returns the limit that holds now, which is less than `needed` if the hard limit is.
pub(crate) fn raise(needed: u64) -> u64 {
    platform::raise(needed.max(USUAL_LIMIT))
}
