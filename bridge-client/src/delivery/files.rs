//! Secrets as files.

#[cfg_attr(unix, path = "files_unix.rs")]
#[cfg_attr(windows, path = "files_windows.rs")]
mod platform;

pub(crate) use platform::Files;
