//! Signals and console events: they stop `serve`, and `run` forwards them to COMMAND.

#[cfg_attr(unix, path = "signals/unix.rs")]
#[cfg_attr(windows, path = "signals/windows.rs")]
mod platform;

pub(crate) use platform::{Forwarder, exit_code, shutdown};
