//! Runs COMMAND as a child, for as long as there is something to clean up after it.

use std::ffi::OsString;
use std::io;
use std::process::Command;

use super::child::CommandLine;

#[cfg_attr(unix, path = "supervisor/unix.rs")]
#[cfg_attr(windows, path = "supervisor/windows.rs")]
mod platform;

/// Receives the signals of this process, from before there is anything to clean up until that is done.
///
/// On Unix it reaps every child of this process, including orphans that it inherits as the first process of a container. So
/// nothing else in this process may wait for children while [`Supervisor::run`] runs, including `tokio::process`.
pub struct Supervisor(platform::Supervisor);

impl Supervisor {
    /// From now on, signals do not end this process. Signals that were ignored, as under `nohup`, stay ignored.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        platform::Supervisor::new().map(Self)
    }

    /// Resolves with an exit code when a signal asks this process to end. For the time when COMMAND is not running.
    pub async fn interrupted(&mut self) -> u32 {
        self.0.interrupted().await
    }

    /// Starts `command` with `variables` added to its environment and `removed` taken out, forwards signals to it, and
    /// resolves with its exit code, which is 128 + N if signal N ended it. Signals that came before are forwarded now. If
    /// this future is dropped, COMMAND keeps running. On Windows, the processes that COMMAND has started end with it, and
    /// all of them end with this process, however that ends.
    ///
    /// # Errors
    /// The system's: `NotFound` if there is no such program.
    pub async fn run(
        &mut self,
        command: &CommandLine,
        variables: Vec<(String, OsString)>,
        removed: &[&str],
    ) -> io::Result<u32> {
        self.run_prepared(command.prepare(variables, removed)).await
    }

    /// As [`Self::run`], for a command that is configured already.
    pub(crate) async fn run_prepared(&mut self, command: Command) -> io::Result<u32> {
        self.0.run(command).await
    }
}

/// Runs one COMMAND under a [`Supervisor`], if nothing has to be cleaned up when a signal comes before COMMAND starts.
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
