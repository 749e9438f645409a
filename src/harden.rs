//! What keeps secrets out of core dumps and debuggers.

#[cfg_attr(unix, path = "harden/unix.rs")]
#[cfg_attr(not(unix), path = "harden/windows.rs")]
mod platform;

/// No core dumps, and no reading of this process's memory by others of the same user. Best effort: a failure leaves
/// what the system does anyway, and there is nobody to tell yet.
pub(crate) fn this_process() {
    platform::this_process();
}
