//! A program in a process group of its own, so that its window's helpers end with it: many are shell scripts.

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::process::{Child, Command};

pub(super) fn lead_a_group(command: &mut Command) {
    command.process_group(0);
}

/// The program and its descendants, ended when this is dropped before [`Self::has_ended`].
pub(super) struct Group(Option<Pid>);

impl Group {
    pub(super) fn of(leader: &Child) -> Self {
        Self(leader.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    /// The program was reaped: its number may soon be another process's.
    pub(super) fn has_ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended this moment, unreaped.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}
