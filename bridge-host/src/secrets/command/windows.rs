//! A command in a job of its own, so that its descendants can be ended with it.

use local_ipc::windows::job::Job;
use tokio::process::{Child, Command};

/// `CREATE_NO_WINDOW`: a bridge in the background has no console, and Windows would open one for its commands.
const NO_WINDOW: u32 = 0x0800_0000;

pub(super) fn shell(command: &str) -> Command {
    let mut shell = Command::new("cmd.exe");
    // /S keeps cmd from guessing which quotes are its own (see `cmd /?`).
    shell.args(["/D", "/S", "/C"]).raw_arg(format!("\"{command}\""));
    shell
}

/// Opens no window. A job takes the place of a process group.
pub(super) fn separate(program: &mut Command) {
    program.creation_flags(NO_WINDOW);
}

/// The program and its descendants, ended when this is dropped before [`Self::has_ended`]. If no job can
/// be made, the program alone is ended.
pub(super) struct ProcessTree(Option<Job>);

impl ProcessTree {
    pub(super) fn of(program: &Child) -> Self {
        Self(program.raw_handle().and_then(|program| Job::of(program).ok()))
    }

    /// To be called when the shell has ended: its descendants live on, such as an agent that keeps a vault open.
    pub(super) fn has_ended(&mut self) {
        if let Some(job) = self.0.take() {
            job.release();
        }
    }
}
