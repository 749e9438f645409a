//! Windows cannot replace a process: COMMAND is a child, and its exit code (32 bits) is ours.

use std::ffi::OsString;
use std::io;
use std::process::Command;

use super::CommandLine;

pub(super) fn shell(script: OsString) -> CommandLine {
    CommandLine { program: "cmd.exe".into(), arguments: vec!["/D".into(), "/S".into(), "/C".into(), script] }
}

pub(super) fn run(mut child: Command) -> io::Result<u32> {
    // A code is always there on Windows; it is an i32 only in std's eyes.
    Ok(child.status()?.code().unwrap_or(-1).cast_unsigned())
}
