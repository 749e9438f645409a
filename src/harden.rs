//! Keeps secrets out of core dumps and debuggers.

#[cfg_attr(unix, path = "harden/unix.rs")]
#[cfg_attr(not(unix), path = "harden/windows.rs")]
mod platform;

/// No core dumps, and no access to the memory of this process by others of the same user. Best effort: on failure the
/// defaults of the system stay, and messages are not set up yet.
pub(crate) fn this_process() {
    platform::this_process();
}
