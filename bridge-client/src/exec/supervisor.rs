//! A process between COMMAND and the signals, as long as there is something to clean up.

use std::ffi::OsString;
use std::io;
use std::process::Command;

use super::child::CommandLine;

#[cfg_attr(unix, path = "supervisor/unix.rs")]
#[cfg_attr(windows, path = "supervisor/windows.rs")]
mod platform;

/// Stands between COMMAND and whoever sends signals, from before there is anything to clean up until it is done.
///
/// On Unix it collects every child of this process, those included that it inherits as the first process of a
/// container. So nobody else may wait for children while [`Supervisor::run`] does, `tokio::process` included.
pub struct Supervisor(platform::Supervisor);

impl Supervisor {
    /// From now on signals no longer end this process; those that were ignored stay so, as under `nohup`.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        platform::Supervisor::new().map(Self)
    }

    /// Resolves with an exit code when this process is asked to end. For the time before COMMAND runs.
    pub async fn interrupted(&mut self) -> u32 {
        self.0.interrupted().await
    }

    /// Starts `command` as [`exec_replace`](super::child::exec_replace) does, hands signals to it, and resolves with its exit code, 128 + N if signal N
    /// ended it. Signals that came before it started are handed to it now. Dropping this future leaves COMMAND running.
    /// On Windows what COMMAND has started ends with it, and all of it with this process, whatever ends that.
    ///
    /// # Errors
    /// Whatever the system says: `NotFound` if there is no such program.
    pub async fn run(
        &mut self,
        command: &CommandLine,
        variables: Vec<(String, OsString)>,
        removed: &[&str],
    ) -> io::Result<u32> {
        self.run_prepared(command.prepare(variables, removed)).await
    }

    /// As [`Self::run`], with whatever else was prepared.
    pub(crate) async fn run_prepared(&mut self, command: Command) -> io::Result<u32> {
        self.0.run(command).await
    }
}

/// A [`Supervisor`] for one COMMAND, where nothing has to be cleaned up if a signal comes before it starts.
///
/// # Errors
/// As [`Supervisor::run`].
pub async fn supervise(
    command: &CommandLine,
    variables: Vec<(String, OsString)>,
    removed: &[&str],
) -> io::Result<u32> {
    Supervisor::new()?.run(command, variables, removed).await
}
