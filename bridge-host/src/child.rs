//! Starts programs: every program that the host side starts is started here, except the background process of `serve -d`,
//! which is this program again.

use std::ffi::OsStr;
use std::io;

use crate::descriptors::{self, with_original_limit};

mod git_variables;

/// A command for `program`, which the bridge starts for itself, to be started by [`spawn`] or [`spawn_async`] right away: as
/// [`command`], without git's variables for a repository. COMMAND of `run` keeps these.
pub fn helper(program: impl AsRef<OsStr>) -> std::process::Command {
    let mut command = command(program);
    git_variables::remove(&mut command);
    command
}

/// As [`spawn`], for a command that was not made by [`helper`] and must be one.
///
/// # Errors
/// Those of [`std::process::Command::spawn`].
pub fn spawn_helper(command: &mut std::process::Command) -> io::Result<std::process::Child> {
    git_variables::remove(command);
    spawn(command)
}

/// A command for `program`, to be started by [`spawn`] or [`spawn_async`] right away.
pub fn command(program: impl AsRef<OsStr>) -> std::process::Command {
    descriptors::command(program.as_ref())
}

/// Starts `command` with the limit of open descriptors that this process was started with.
///
/// # Errors
/// Those of [`std::process::Command::spawn`].
pub fn spawn(command: &mut std::process::Command) -> io::Result<std::process::Child> {
    with_original_limit(|| command.spawn(), |child| Some(child.id()))
}

/// As [`spawn`], for a program that is awaited.
///
/// # Errors
/// Those of [`tokio::process::Command::spawn`].
pub fn spawn_async(command: &mut tokio::process::Command) -> io::Result<tokio::process::Child> {
    with_original_limit(|| command.spawn(), tokio::process::Child::id)
}
