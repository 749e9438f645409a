//! What went wrong, in words for whoever typed the command. Nobody matches on it, so it is text.

use std::fmt;
use std::io;

/// An explanation, ready to be printed.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

/// What every step returns.
pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A failure, from a format string.
macro_rules! failure {
    ($($text:tt)*) => { $crate::failure::Failure(format!($($text)*)) };
}
pub(crate) use failure;

/// Says what was being done when the system refused.
pub(crate) trait While<T> {
    /// `doing` completes the sentence "could not …".
    fn while_doing(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T> While<T> for io::Result<T> {
    fn while_doing(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| failure!("could not {doing}: {error}"))
    }
}
