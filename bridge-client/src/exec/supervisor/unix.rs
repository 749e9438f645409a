//! Signals, job control and orphans on Unix.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::task::Poll;

use local_ipc::signals;
use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

pub(super) struct Supervisor {
    signals: Vec<(Signal, Stream)>,
    children: Stream,
}

impl Supervisor {
    pub(super) fn new() -> io::Result<Self> {
        let streams = signals::to_forward().into_iter().map(|number| {
            let stream = signal(SignalKind::from_raw(number.as_raw()))?;
            Ok((number, stream))
        });
        Ok(Self { signals: streams.collect::<io::Result<_>>()?, children: signal(SignalKind::child())? })
    }

    pub(super) async fn interrupted(&mut self) -> u32 {
        loop {
            let signal = next(&mut self.signals).await;
            if signal == Signal::TSTP {
                stop_this_process();
            }
            if asks_to_end(signal) {
                return 128 + signal.as_raw().cast_unsigned();
            }
        }
    }

    pub(super) async fn run(&mut self, mut command: Command) -> io::Result<u32> {
        // In the child, std resets SIGPIPE to its default and unblocks all signals, and execve(2) resets signals that have
        // handlers.
        let child = Pid::from_child(&command.spawn()?);
        // Closes this process's ends of the pipes, which would keep them open.
        drop(command);
        loop {
            if let Some(code) = reap(child)? {
                // They were for COMMAND, which had them from the terminal, or has ended before.
                forget_pending(&mut self.signals).await;
                return Ok(code);
            }
            tokio::select! {
                _ = self.children.recv() => {}
                signal = next(&mut self.signals) => forward(signal, child),
            }
        }
    }
}

async fn next(signals: &mut [(Signal, Stream)]) -> Signal {
    poll_fn(|context| {
        for (signal, stream) in &mut *signals {
            if stream.poll_recv(context).is_ready() {
                return Poll::Ready(*signal);
            }
        }
        Poll::Pending
    })
    .await
}

async fn forget_pending(signals: &mut [(Signal, Stream)]) {
    poll_fn(|context| {
        for (_, stream) in &mut *signals {
            while stream.poll_recv(context).is_ready() {}
        }
        Poll::Ready(())
    })
    .await;
}

fn forward(signal: Signal, child: Pid) {
    // A signal from the terminal reaches the whole foreground group, so COMMAND has it already. Some programs take a second
    // interrupt as the request to end at once.
    let may_be_from_terminal =
        matches!(signal, Signal::INT | Signal::QUIT | Signal::WINCH | Signal::TSTP | Signal::CONT);
    if !(may_be_from_terminal && is_in_foreground() || signals::is_about_own_file(signal)) {
        // COMMAND may have ended just now. Its id is not reused before it is reaped.
        let _ = rustix::process::kill_process(child, signal);
    }
}

/// Whether a signal that comes after COMMAND has ended means this process. Most end a process that does not handle them, such
/// as SIGRTMIN+3, by which some container engines stop a container. Others are also sent to programs that are expected to
/// handle them, such as COMMAND.
fn asks_to_end(signal: Signal) -> bool {
    let others = [
        Signal::USR1,
        Signal::USR2,
        Signal::XFSZ,
        Signal::IO,
        // Their default is to do nothing, to continue, and to stop.
        Signal::URG,
        Signal::WINCH,
        Signal::CONT,
        Signal::TSTP,
        #[cfg(target_os = "macos")]
        Signal::INFO,
    ];
    !others.contains(&signal)
}

/// Reaps all children that have ended, including orphans, which the first process of a container and subreapers inherit.
/// Returns COMMAND's exit code once COMMAND is among them.
fn reap(command: Pid) -> io::Result<Option<u32>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            Ok(Some((pid, status))) if pid == command => {
                if let Some(code) = exit_code(status) {
                    return Ok(Some(code));
                }
                stop_like_command(status);
            }
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
    }
}

fn exit_code(status: WaitStatus) -> Option<u32> {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal))?;
    u32::try_from(code).ok()
}

/// Stops this process when COMMAND was stopped, as if both were one process: a shell that waits for it then takes back its
/// terminal. Without a terminal, nothing would continue this process.
fn stop_like_command(status: WaitStatus) {
    let stops = [Signal::TSTP, Signal::TTIN, Signal::TTOU].map(Signal::as_raw);
    if status.stopping_signal().is_some_and(|signal| stops.contains(&signal)) && terminal().is_some() {
        stop_this_process();
    }
}

fn stop_this_process() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), Signal::STOP);
}

fn terminal() -> Option<std::fs::File> {
    std::fs::File::open("/dev/tty").ok()
}

fn is_in_foreground() -> bool {
    terminal().is_some_and(|tty| {
        rustix::termios::tcgetpgrp(tty.as_fd()).is_ok_and(|group| group == rustix::process::getpgrp())
    })
}
