//! Runs the program in its own job object, so that its descendants end with it.

use local_ipc::windows::job::Job;
use tokio::process::{Child, Command};

pub(super) fn set_process_group(_command: &mut Command) {}

/// The program and its descendants, ended when this is dropped before [`Self::set_ended`]. Without a job, the program
/// alone.
pub(super) struct Group(Option<Job>);

impl Group {
    pub(super) fn led_by(leader: &Child) -> Self {
        Self(leader.raw_handle().and_then(|leader| Job::of(leader).ok()))
    }

    /// For a program that has ended.
    pub(super) fn set_ended(&mut self) {
        if let Some(job) = self.0.take() {
            job.release();
        }
    }
}
