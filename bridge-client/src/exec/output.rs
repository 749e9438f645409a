//! Masks secrets in COMMAND's output.

#[cfg_attr(unix, path = "output/unix.rs")]
#[cfg_attr(windows, path = "output/windows.rs")]
mod platform;

pub(crate) use platform::MaskedOutput;
