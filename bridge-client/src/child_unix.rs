//! Nothing is left to do once COMMAND has its secrets, so this process becomes it (execve(2)): signals, exit status,
//! terminal and process id need no forwarding then.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::CommandLine;

pub(super) fn shell(script: OsString) -> CommandLine {
    CommandLine { program: "/bin/sh".into(), arguments: vec!["-c".into(), script] }
}

pub(super) fn run(mut child: Command) -> io::Result<u32> {
    Err(child.exec())
}
