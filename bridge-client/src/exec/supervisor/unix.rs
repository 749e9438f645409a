//! Signals, job control and orphans around COMMAND.

use std::future::poll_fn;
use std::io;
use std::os::fd::AsFd as _;
use std::process::Command;
use std::task::Poll;

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::signal::unix::{Signal as Stream, SignalKind, signal};

/// What COMMAND is to get in our place. TTIN and TTOU are missing: the kernel sends them to the whole group.
const FORWARDED: [Signal; 9] = [
    Signal::INT,
    Signal::QUIT,
    Signal::TERM,
    Signal::HUP,
    Signal::USR1,
    Signal::USR2,
    // Servers take it for "end gracefully" where there is no terminal.
    Signal::WINCH,
    Signal::TSTP,
    Signal::CONT,
];

pub(super) struct Supervisor {
    signals: Vec<(Signal, Stream)>,
    children: Stream,
}

impl Supervisor {
    pub(super) fn new() -> io::Result<Self> {
        let ignored = ignored_signals();
        let mut signals = Vec::new();
        for kind in FORWARDED {
            // execve(2) leaves ignored signals ignored, and handled ones not: with a handler `nohup` would end here.
            let bit = kind.as_raw().checked_sub(1).and_then(|shift| 1_u64.checked_shl(shift.cast_unsigned()));
            if bit.is_none_or(|bit| ignored & bit == 0) {
                signals.push((kind, signal(SignalKind::from_raw(kind.as_raw()))?));
            }
        }
        Ok(Self { signals, children: signal(SignalKind::child())? })
    }

    pub(super) async fn interrupted(&mut self) -> u32 {
        loop {
            let signal = next(&mut self.signals).await;
            if matches!(signal, Signal::INT | Signal::QUIT | Signal::TERM | Signal::HUP) {
                return 128 + signal.as_raw().cast_unsigned();
            }
            if signal == Signal::TSTP {
                stop_this_process();
            }
        }
    }

    pub(super) async fn run(&mut self, mut command: Command) -> io::Result<u32> {
        // std gives SIGPIPE back its default in the child, and unblocks all signals there; ours had handlers, which
        // end at execve(2).
        let child = Pid::from_child(&command.spawn()?);
        // With it go our ends of its pipes, which would keep them open.
        drop(command);
        loop {
            if let Some(code) = reap(child)? {
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

fn forward(signal: Signal, child: Pid) {
    // What the terminal sends reaches the whole foreground group: COMMAND has it already, and some programs take a
    // second interrupt for impatience.
    let from_terminal =
        matches!(signal, Signal::INT | Signal::QUIT | Signal::WINCH | Signal::TSTP | Signal::CONT);
    if !(from_terminal && is_terminals_foreground()) {
        // It may have ended this moment; its exit is awaited anyway. Its id is not given away before that.
        let _ = rustix::process::kill_process(child, signal);
    }
}

/// Collects all children that have ended: orphans come to the first process of a container, and to subreapers.
/// Returns COMMAND's exit code once it is among them.
fn reap(command: Pid) -> io::Result<Option<u32>> {
    loop {
        match rustix::process::wait(WaitOptions::NOHANG | WaitOptions::UNTRACED) {
            Ok(Some((pid, status))) if pid == command => {
                if let Some(code) = exit_code(status) {
                    return Ok(Some(code));
                }
                follow_into_stop(status);
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

/// Whoever watches this process must see COMMAND's stop, as if there were one process: a shell takes its terminal
/// back then. Without a terminal nobody would ever continue us.
fn follow_into_stop(status: WaitStatus) {
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

fn is_terminals_foreground() -> bool {
    terminal().is_some_and(|tty| {
        rustix::termios::tcgetpgrp(tty.as_fd()).is_ok_and(|group| group == rustix::process::getpgrp())
    })
}

/// The signals that this process ignores, as bits; none where the system does not say it in a file.
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default()
}
