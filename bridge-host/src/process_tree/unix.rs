//! A program in a process group of its own.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

/// To be called before `command` is spawned.
pub(crate) fn prepare(command: &mut Command) {
    command.process_group(0);
}

/// The program and its descendants, ended when this is dropped before [`Self::set_ended`].
pub(crate) struct ProcessTree(Option<Pid>);

impl ProcessTree {
    pub(crate) fn of(program: &Child) -> Self {
        Self(program.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// For a program that was reaped: its process id may be reused.
    pub(crate) fn set_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for ProcessTree {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // Fails if the program ended just now.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
