//! COMMAND is in the same console and gets its events itself; they only must not end this process first. What it has
//! started ends with it.

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

/// What Windows itself says for a process that Ctrl-C ended (`STATUS_CONTROL_C_EXIT`).
const INTERRUPTED: u32 = 0xC000_013A;

/// What COMMAND gets to end by itself when its console is closed: Windows ends all of us 5 s after that, and then nothing
/// would be tidied up.
const CLOSING: Duration = Duration::from_secs(3);

pub(super) struct Supervisor {
    c: CtrlC,
    break_key: CtrlBreak,
    close: CtrlClose,
    logoff: CtrlLogoff,
    shutdown: CtrlShutdown,
}

/// What the console says.
enum Event {
    /// COMMAND decides what to make of it.
    Interrupt,
    /// Nobody can stay.
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
        // With it go our ends of its pipes, which would keep them open.
        drop(command);
        // It needs longer to start than we to get here. Without a job it runs all the same.
        let mut job = Job::of(child.as_raw_handle())
            .inspect_err(|error| debug!("what COMMAND starts may stay: {error}"))
            .ok();
        let mut waiting = spawn_blocking(move || child.wait());
        let mut end_at = None;
        loop {
            let deadline = end_at.unwrap_or_else(Instant::now);
            tokio::select! {
                status = &mut waiting => {
                    // A code is always there on Windows; it is an i32 only in std's eyes.
                    return Ok(status??.code().unwrap_or(-1).cast_unsigned());
                }
                event = self.event() => match event {
                    Event::Interrupt => {}
                    Event::Closing => end_at = end_at.or(Some(Instant::now() + CLOSING)),
                },
                () = sleep_until(deadline), if end_at.is_some() && job.is_some() => job = None,
            }
        }
    }
}
