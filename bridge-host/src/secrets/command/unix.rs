//! A command in a process group of its own, so that it can be ended together with what it started.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

pub(super) fn shell(command: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command);
    shell
}

/// Gives `program` a process group of its own.
pub(super) fn separate(program: &mut Command) {
    program.process_group(0);
}

/// The program and its descendants, ended when this is dropped before [`Self::has_ended`].
pub(super) struct Family(Option<Pid>);

impl Family {
    pub(super) fn of(program: &Child) -> Self {
        Self(program.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// The program was reaped: its number may soon be another process's.
    pub(super) fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended this moment, unreaped.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
