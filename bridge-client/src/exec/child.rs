//! COMMAND: what it inherits, and how it starts.
//!
//! With nothing left to do for it, this process becomes COMMAND ([`exec_replace`]). Where something of ours has to live as long
//! as COMMAND does, a [`Supervisor`](super::supervisor::Supervisor) starts it, hands signals to it, and waits.

use std::ffi::OsString;
use std::io;
use std::process::Command;

#[cfg_attr(unix, path = "child/unix.rs")]
#[cfg_attr(windows, path = "child/windows.rs")]
mod platform;

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
pub(crate) fn exec_replace(
    command: &CommandLine,
    variables: Vec<(String, OsString)>,
    removed: &[&str],
) -> io::Result<u32> {
    platform::exec_replace(command.prepare(variables, removed))
}
