//! Errors of the developer commands. No code distinguishes them, so they are text.

use std::fmt;
use std::io;

/// A message for the user of the command.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) String);

pub(crate) type Result<T, E = Failure> = std::result::Result<T, E>;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Makes a [`Failure`] from a format string.
macro_rules! failure {
    ($($text:tt)*) => { $crate::failure::Failure(format!($($text)*)) };
}
pub(crate) use failure;

/// Adds the attempted action to an I/O error.
pub(crate) trait While<T> {
    /// The message becomes `cannot ACTION: CAUSE`.
    fn while_doing(self, action: impl fmt::Display) -> Result<T>;
}

impl<T> While<T> for io::Result<T> {
    fn while_doing(self, action: impl fmt::Display) -> Result<T> {
        self.map_err(|error| failure!("cannot {action}: {error}"))
    }
}
