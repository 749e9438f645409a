//! Ends a program together with its descendants: many commands of users are shell scripts.

#[cfg_attr(unix, path = "process_tree/unix.rs")]
#[cfg_attr(windows, path = "process_tree/windows.rs")]
mod platform;

pub(crate) use platform::{ProcessTree, prepare};
