//! Signals.

use std::io;
use std::os::fd::AsFd as _;

use rustix::process::Signal;
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// A future that resolves when the process is asked to stop.
///
/// # Errors
/// An error of the system. Handlers are set up when this returns.
pub(crate) fn shutdown() -> io::Result<impl Future<Output = ()>> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    })
}

/// Receives signals, and forwards them to COMMAND.
pub(crate) struct Forwarder {
    interrupt: Stream,
    quit: Stream,
    terminate: Stream,
    hangup: Stream,
    user1: Stream,
    user2: Stream,
}

impl Forwarder {
    /// From now on these signals no longer end this process.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            quit: signal(SignalKind::quit())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            user1: signal(SignalKind::user_defined1())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for one signal and forwards it to the process `child`.
    pub(crate) async fn forward_one(&mut self, child: Option<u32>) {
        let signal = tokio::select! {
            _ = self.interrupt.recv() => Signal::INT,
            _ = self.quit.recv() => Signal::QUIT,
            _ = self.terminate.recv() => Signal::TERM,
            _ = self.hangup.recv() => Signal::HUP,
            _ = self.user1.recv() => Signal::USR1,
            _ = self.user2.recv() => Signal::USR2,
        };
        // The terminal sends the signal of a key to the whole foreground group: COMMAND has it already, and some
        // programs (docker) stop at once on a second one.
        if matches!(signal, Signal::INT | Signal::QUIT) && is_terminals_foreground() {
            return;
        }
        let pid = child.and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            // COMMAND may have ended just now; the caller waits for that anyway.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

fn is_terminals_foreground() -> bool {
    std::fs::File::open("/dev/tty").is_ok_and(|tty| {
        rustix::termios::tcgetpgrp(tty.as_fd()).is_ok_and(|group| group == rustix::process::getpgrp())
    })
}

/// The exit code of the program, or 128 + N for signal N.
pub(crate) fn exit_code(status: std::process::ExitStatus) -> u32 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u32::try_from(code).ok()).unwrap_or(125)
}
