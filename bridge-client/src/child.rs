//! COMMAND: what it inherits, and how it starts.

use std::ffi::OsString;
use std::io;
use std::process::Command;

#[cfg_attr(unix, path = "child_unix.rs")]
#[cfg_attr(windows, path = "child_windows.rs")]
mod platform;

/// COMMAND with its arguments; at least the program is there.
#[derive(Debug, Clone)]
pub struct CommandLine {
    /// Found in `PATH` unless it contains a separator.
    pub program: OsString,
    /// What follows it.
    pub arguments: Vec<OsString>,
}

impl CommandLine {
    /// `script` for the system's shell.
    pub fn shell(script: OsString) -> Self {
        platform::shell(script)
    }
}

/// Starts `command` with `variables` added to the environment and `removed` taken out of it.
///
/// On Unix this process becomes COMMAND, so it returns only if that failed. Elsewhere COMMAND's exit code is returned.
///
/// # Errors
/// Whatever the system says: `NotFound` if there is no such program.
pub fn run(command: &CommandLine, variables: Vec<(String, OsString)>, removed: &[&str]) -> io::Result<u32> {
    let mut child = Command::new(&command.program);
    child.args(&command.arguments);
    for name in removed {
        child.env_remove(name);
    }
    child.envs(variables);
    platform::run(child)
}
