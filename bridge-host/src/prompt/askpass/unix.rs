//! Runs the program in its own process group, so that its descendants end with it: many programs are shell scripts.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

pub(super) fn set_process_group(command: &mut Command) {
    command.process_group(0);
}

/// The program and its descendants, ended when this is dropped before [`Self::set_ended`].
pub(super) struct Group(Option<Pid>);

impl Group {
    pub(super) fn led_by(leader: &Child) -> Self {
        Self(leader.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// For a program that was reaped: its process id may be reused.
    pub(super) fn set_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // An error means that it has just ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
