//! COMMAND: what it inherits, and how it starts.
//!
//! With nothing left to do for it, this process becomes COMMAND ([`run`]). Where something of ours has to live as long
//! as COMMAND does, a [`Supervisor`] starts it, hands signals to it, and waits.

use std::ffi::OsString;
use std::io;
use std::process::Command;

#[cfg_attr(unix, path = "child_unix.rs")]
#[cfg_attr(windows, path = "child_windows.rs")]
mod platform;
#[cfg_attr(unix, path = "supervisor_unix.rs")]
#[cfg_attr(windows, path = "supervisor_windows.rs")]
mod supervisor;

/// COMMAND with its arguments; at least the program is there.
#[derive(Debug, Clone)]
pub struct CommandLine {
    /// Found in `PATH` unless it contains a separator; on Windows with the extensions of `PATHEXT`.
    pub program: OsString,
    arguments: Vec<OsString>,
    /// A script for the shell that `program` is: what follows, on Windows, is not quoted as arguments are.
    script: Option<OsString>,
}

impl CommandLine {
    /// `program` with `arguments`.
    pub fn new(program: OsString, arguments: Vec<OsString>) -> Self {
        Self { program, arguments, script: None }
    }

    /// `script` for the system's shell: `/bin/sh -c`, or `cmd /C` on Windows.
    pub fn shell(script: OsString) -> Self {
        let (program, arguments) = platform::SHELL;
        let arguments = arguments.iter().map(OsString::from).collect();
        Self { script: Some(script), ..Self::new(program.into(), arguments) }
    }

    pub(crate) fn prepare(&self, variables: Vec<(String, OsString)>, removed: &[&str]) -> Command {
        let path = variables.iter().find(|(name, _)| name.eq_ignore_ascii_case("PATH")).map(|(_, path)| path);
        let mut child = Command::new(platform::find(&self.program, path.map(OsString::as_os_str)));
        child.args(&self.arguments);
        if let Some(script) = &self.script {
            platform::add_script(&mut child, script);
        }
        for name in removed {
            child.env_remove(name);
        }
        child.envs(variables);
        child
    }
}

/// Starts `command` with `variables` added to the environment and `removed` taken out of it.
///
/// On Unix this process becomes COMMAND, so it returns only if that failed. Elsewhere COMMAND's exit code is returned.
///
/// # Errors
/// Whatever the system says: `NotFound` if there is no such program.
pub fn run(command: &CommandLine, variables: Vec<(String, OsString)>, removed: &[&str]) -> io::Result<u32> {
    platform::run(command.prepare(variables, removed))
}

/// Stands between COMMAND and whoever sends signals, from before there is anything to clean up until it is done.
///
/// On Unix it collects every child of this process, those included that it inherits as the first process of a
/// container. So nobody else may wait for children while [`Supervisor::run`] does, `tokio::process` included.
pub struct Supervisor(supervisor::Supervisor);

impl Supervisor {
    /// From now on signals no longer end this process; those that were ignored stay so, as under `nohup`.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        supervisor::Supervisor::new().map(Self)
    }

    /// Resolves with an exit code when this process is asked to end. For the time before COMMAND runs.
    pub async fn interrupted(&mut self) -> u32 {
        self.0.interrupted().await
    }

    /// Starts `command` as [`run`] does, hands signals to it, and resolves with its exit code, 128 + N if signal N
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
