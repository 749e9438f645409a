//! A command in a process group of its own, so that its descendants can be ended with it.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

pub(super) fn shell(command: &str) -> Command {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command);
    shell
}

pub(super) fn separate(program: &mut Command) {
    program.process_group(0);
}

/// The program and its descendants, ended when this is dropped before [`Self::has_ended`].
pub(super) struct ProcessTree(Option<Pid>);

impl ProcessTree {
    pub(super) fn of(program: &Child) -> Self {
        Self(program.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// To be called when the program was reaped: its process id may be reused.
    pub(super) fn has_ended(&mut self) {
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
