//! Standard input with a larger pipe, for `scan`.

#[cfg_attr(target_os = "linux", path = "stdin/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "stdin/other.rs")]
mod platform;

pub(crate) use platform::widen;
