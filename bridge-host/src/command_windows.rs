//! A command in a job of its own, so that it can be ended together with what it started.

use tokio::process::{Child, Command};
use windows_access::job::Job;

/// `CREATE_NO_WINDOW`: a bridge in the background has no console, and Windows would open one for its commands.
const NO_WINDOW: u32 = 0x0800_0000;

pub(super) fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd.exe");
    // /S keeps cmd from guessing which quotes are its own (see `cmd /?`).
    shell.args(["/D", "/S", "/C"]).raw_arg(format!("\"{command}\""));
    shell.creation_flags(NO_WINDOW);
    shell
}

/// The shell and its descendants, ended when this is dropped before [`Self::has_ended`]. Without a job, the shell alone.
pub(super) struct Family(Option<Job>);

impl Family {
    pub(super) fn of(shell: &Child) -> Self {
        Self(shell.raw_handle().and_then(|shell| Job::of(shell).ok()))
    }

    /// The shell has ended. What it left behind, such as an agent that keeps a vault open, stays.
    pub(super) fn has_ended(&mut self) {
        if let Some(job) = self.0.take() {
            job.release();
        }
    }
}
