//! A program in a job object of its own.

use local_ipc::windows::job::Job;
use tokio::process::{Child, Command};

/// Nothing is needed before `command` is spawned.
pub(crate) fn prepare(_command: &mut Command) {}

/// The program and its descendants, ended when this is dropped before [`Self::set_ended`]. If no job can be created, the
/// program alone is ended.
pub(crate) struct ProcessTree(Option<Job>);

impl ProcessTree {
    pub(crate) fn of(program: &Child) -> Self {
        Self(program.raw_handle().and_then(|program| Job::of(program).ok()))
    }

    /// For a program that has ended: its descendants live on, such as an agent that keeps a vault open.
    pub(crate) fn set_ended(&mut self) {
        if let Some(job) = self.0.take() {
            job.release();
        }
    }
}
