//! Nothing is left to do once COMMAND has its secrets, so this process becomes it (execve(2)): signals, exit status,
//! terminal and process id need no forwarding then.

use std::ffi::OsStr;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// The shell, and what comes before a script.
pub(super) const SHELL: (&str, &[&str]) = ("/bin/sh", &["-c"]);

pub(super) fn add_script(shell: &mut Command, script: &OsStr) {
    shell.arg(script);
}

/// execvp(3) finds it.
pub(super) fn find<'a>(program: &'a OsStr, _path: Option<&OsStr>) -> &'a OsStr {
    program
}

pub(super) fn exec_replace(mut child: Command) -> io::Result<u32> {
    Err(child.exec())
}
