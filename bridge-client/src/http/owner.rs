//! Whether a connection to loopback comes from a process of COMMAND.
//!
//! Loopback is shared by all processes of a network namespace: with `--network=host`, or in a pod, also by those of other
//! users. Some tools of COMMAND do not send the password.

#[cfg_attr(target_os = "linux", path = "owner/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "owner/other.rs")]
mod platform;

pub(crate) use platform::{KNOWS_OWNERS, adopt_orphans, owner_of};

/// Whose process has the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// A descendant of this process.
    Command,
    /// A user as whom no descendant of this process runs.
    OtherUser,
    /// Not known to be one of the above.
    Unknown,
}
