//! COMMAND's output, with secrets masked.

#[cfg_attr(unix, path = "output_unix.rs")]
#[cfg_attr(windows, path = "output_windows.rs")]
mod platform;

pub(crate) use platform::MaskedOutput;
