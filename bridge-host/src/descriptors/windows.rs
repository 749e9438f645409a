//! Windows has no limit of descriptors that a process could raise: a process may have 16 million handles.

use std::ffi::OsStr;
use std::io;
use std::process::Command;

/// What a bridge plans with.
const LIMIT: u64 = 65_536;

pub(super) fn raise(_wanted: u64) -> u64 {
    LIMIT
}

pub(crate) fn command(program: &OsStr) -> Command {
    Command::new(program)
}

/// Runs `spawn`, which starts a program.
///
/// # Errors
/// Those of `spawn`.
pub(crate) fn with_original_limit<T>(
    mut spawn: impl FnMut() -> io::Result<T>,
    _id: impl Fn(&T) -> Option<u32>,
) -> io::Result<T> {
    spawn()
}
