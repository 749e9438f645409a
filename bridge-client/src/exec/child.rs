//! The command line of COMMAND, its environment, and its start.
//!
//! If nothing has to happen after COMMAND, this process becomes COMMAND ([`exec_replace`]). Otherwise a
//! [`Supervisor`](super::supervisor::Supervisor) starts COMMAND, forwards signals to it, and waits for it.

use std::ffi::OsString;
use std::io;
use std::process::Command;

#[cfg_attr(unix, path = "child/unix.rs")]
#[cfg_attr(windows, path = "child/windows.rs")]
mod platform;

/// COMMAND and its arguments.
#[derive(Debug, Clone)]
pub struct CommandLine {
    /// Searched in `PATH` unless it contains a separator, on Windows with the extensions of `PATHEXT`.
    pub program: OsString,
    pub(crate) arguments: Vec<OsString>,
    /// A script, if `program` is a shell. On Windows it is not quoted as arguments are.
    script: Option<OsString>,
}

impl CommandLine {
    pub fn new(program: OsString, arguments: Vec<OsString>) -> Self {
        Self { program, arguments, script: None }
    }

    /// Runs `script` in the system's shell: `/bin/sh -c`, or `cmd /C` on Windows.
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

/// Runs `command` in place of this process, with `variables` added to its environment and `removed` taken out.
///
/// On Unix this process becomes COMMAND, so this returns only if that failed. On Windows it returns COMMAND's exit code.
///
/// # Errors
/// The system's: `NotFound` if there is no such program.
pub(crate) fn exec_replace(
    command: &CommandLine,
    variables: Vec<(String, OsString)>,
    removed: &[&str],
) -> io::Result<u32> {
    platform::exec_replace(command.prepare(variables, removed))
}
