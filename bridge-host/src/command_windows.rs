//! A command on Windows. What it starts is not ended with it yet: that takes a job object.

use tokio::process::{Child, Command};

pub(super) fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd.exe");
    // /S keeps cmd from guessing which quotes are its own (see `cmd /?`).
    shell.args(["/D", "/S", "/C"]).raw_arg(format!("\"{command}\""));
    shell
}

/// There are no process groups to end.
pub(super) fn separate(_program: &mut Command) {}

/// The program; tokio ends it when it is dropped.
pub(super) struct Family;

impl Family {
    pub(super) fn of(_program: &Child) -> Self {
        Self
    }

    pub(super) fn has_ended(&mut self) {}
}
