//! The walk through all files that were created or changed since a point in time.

#[cfg_attr(target_os = "linux", path = "walk/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "walk/other.rs")]
mod platform;

pub(super) use platform::{Directory, Moment, Walk};
