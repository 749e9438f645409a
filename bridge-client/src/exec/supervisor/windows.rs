//! Console events and the job on Windows. COMMAND is in the same console and gets its events itself; this process only has to
//! survive them until COMMAND has ended. The processes that COMMAND has started end with COMMAND.

use std::io;
use std::os::windows::io::AsRawHandle as _;
use std::process::Command;
use std::time::Duration;

use local_ipc::windows::job::Job;
use tokio::signal::windows::{
    CtrlBreak, CtrlC, CtrlClose, CtrlLogoff, CtrlShutdown, ctrl_break, ctrl_c, ctrl_close, ctrl_logoff,
    ctrl_shutdown,
};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

/// The exit code of a process that Ctrl-C ended (`STATUS_CONTROL_C_EXIT`).
const INTERRUPTED: u32 = 0xC000_013A;

/// Time for COMMAND to end when its console is closed. After 5 s Windows ends all processes of the console, and nothing
/// would be cleaned up.
const CLOSING_GRACE: Duration = Duration::from_secs(3);

pub(super) struct Supervisor {
    c: CtrlC,
    break_key: CtrlBreak,
    close: CtrlClose,
    logoff: CtrlLogoff,
    shutdown: CtrlShutdown,
}

/// A console event.
enum Event {
    /// COMMAND decides how to react.
    Interrupt,
    /// Windows is about to end all processes of the console.
    Closing,
}

impl Supervisor {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            c: ctrl_c()?,
            break_key: ctrl_break()?,
            close: ctrl_close()?,
            logoff: ctrl_logoff()?,
            shutdown: ctrl_shutdown()?,
        })
    }

    async fn event(&mut self) -> Event {
        tokio::select! {
            _ = self.c.recv() => Event::Interrupt,
            _ = self.break_key.recv() => Event::Interrupt,
            _ = self.close.recv() => Event::Closing,
            _ = self.logoff.recv() => Event::Closing,
            _ = self.shutdown.recv() => Event::Closing,
        }
    }

    pub(super) async fn interrupted(&mut self) -> u32 {
        self.event().await;
        INTERRUPTED
    }

    pub(super) async fn run(&mut self, mut command: Command) -> io::Result<u32> {
        let mut child = command.spawn()?;
        // Closes this process's ends of the pipes, which would keep them open.
        drop(command);
        // A process that COMMAND starts before this call outlives it. To create COMMAND suspended, or in the job, needs a
        // thread handle or an attribute that std does not give on stable Rust. It also runs without a job.
        let mut job = Job::of(child.as_raw_handle())
            .inspect_err(|error| debug!("processes that COMMAND starts may outlive it: {error}"))
            .ok();
        let mut waiting = spawn_blocking(move || child.wait());
        let mut end_at = None;
        loop {
            let deadline = end_at.unwrap_or_else(Instant::now);
            tokio::select! {
                status = &mut waiting => {
                    // Windows always has a code. std represents it as an i32.
                    return Ok(status??.code().unwrap_or(-1).cast_unsigned());
                }
                event = self.event() => match event {
                    Event::Interrupt => {}
                    Event::Closing => end_at = end_at.or(Some(Instant::now() + CLOSING_GRACE)),
                },
                () = sleep_until(deadline), if end_at.is_some() && job.is_some() => job = None,
            }
        }
    }
}
