//! Signals.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd as _;
use std::task::Poll;

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
pub(crate) struct Forwarder(Vec<(Signal, Stream)>);

impl Forwarder {
    /// From now on signals no longer end this process. Those that it ignores stay ignored.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn new() -> io::Result<Self> {
        let to_forward = local_ipc::signals::to_forward().into_iter();
        // A terminal stops and continues COMMAND together with this process.
        let streams =
            to_forward.filter(|number| !matches!(*number, Signal::TSTP | Signal::CONT)).map(|number| {
                let stream = signal(SignalKind::from_raw(number.as_raw()))?;
                Ok((number, stream))
            });
        streams.collect::<io::Result<_>>().map(Self)
    }

    async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            let ready = self
                .0
                .iter_mut()
                .find_map(|(number, stream)| stream.poll_recv(context).is_ready().then_some(*number));
            ready.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Waits for one signal and forwards it to the process `child`.
    pub(crate) async fn forward_one(&mut self, child: Option<u32>) {
        let signal = self.next().await;
        // The terminal sends the signal of a key to the whole foreground group: COMMAND has it already, and some
        // programs (docker) stop at once on a second one.
        if matches!(signal, Signal::INT | Signal::QUIT | Signal::WINCH) && is_terminals_foreground()
            || local_ipc::signals::is_about_own_file(signal)
        {
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
