//! A program in a job of its own, so that its window's helpers end with it.

use local_ipc::windows::job::Job;
use tokio::process::{Child, Command};

pub(super) fn lead_a_group(_command: &mut Command) {}

/// The program and its descendants, ended when this is dropped before [`Self::has_ended`]. Without a job, the program
/// alone.
pub(super) struct Group(Option<Job>);

impl Group {
    pub(super) fn of(leader: &Child) -> Self {
        Self(leader.raw_handle().and_then(|leader| Job::of(leader).ok()))
    }

    /// The program has ended.
    pub(super) fn has_ended(&mut self) {
        if let Some(job) = self.0.take() {
            job.release();
        }
    }
}
