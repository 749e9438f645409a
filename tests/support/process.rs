//! Processes that a test starts, waits for, and ends.

use std::io::{Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};

use super::{LIMIT, signals};

/// Starts a command whose output a test can wait for.
pub trait Start {
    fn start(&mut self) -> Process;

    /// Runs the command to its end.
    fn outcome(&mut self) -> Outcome;

    /// Runs the command to its end with `input` as its stdin.
    fn outcome_with(&mut self, input: impl Into<Vec<u8>>) -> Outcome;
}

impl Start for Command {
    fn start(&mut self) -> Process {
        Process::start(self)
    }

    fn outcome(&mut self) -> Outcome {
        self.start().ends()
    }

    fn outcome_with(&mut self, input: impl Into<Vec<u8>>) -> Outcome {
        let mut process = self.stdin(Stdio::piped()).start();
        let (mut stdin, input) = (process.stdin.take().unwrap(), input.into());
        // The write fails if the program does not read its stdin.
        let writer = thread::spawn(move || drop(stdin.write_all(&input)));
        let outcome = process.ends();
        writer.join().unwrap();
        outcome
    }
}

/// A process whose output is collected as it comes. It is killed when this is dropped.
pub struct Process {
    pub pid: Pid,
    /// `None` unless the command has `Stdio::piped()`.
    pub stdin: Option<ChildStdin>,
    watched: Arc<Watched>,
    shown: String,
}

#[derive(Default)]
struct Watched {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    streams_ended: u32,
    status: Option<ExitStatus>,
}

impl State {
    fn outcome(&mut self) -> Option<Outcome> {
        let status = self.status.filter(|_| self.streams_ended == 2)?;
        let stderr = String::from_utf8_lossy(&self.stderr).into_owned();
        Some(Outcome { status, stdout: std::mem::take(&mut self.stdout), stderr })
    }
}

impl Process {
    fn start(command: &mut Command) -> Self {
        signals::reset_in_children();
        let shown = format!("{:?}", command.get_args().collect::<Vec<_>>());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let pid = Pid::from_child(&child);
        let watched = Arc::<Watched>::default();
        watched.collect(child.stdout.take().unwrap(), |state| &mut state.stdout);
        watched.collect(child.stderr.take().unwrap(), |state| &mut state.stderr);
        let stdin = child.stdin.take();
        watched.await_exit(child, pid);
        Self { pid, stdin, watched, shown }
    }

    /// Waits for a line on stderr that contains `text`, and returns the line.
    pub fn says(&self, text: &str) -> String {
        self.wait_for(&format!("a line of stderr with {text:?}"), |state| {
            line_with(&String::from_utf8_lossy(&state.stderr), text)
        })
    }

    /// Waits for a line on stdout that contains `text`, and returns the line.
    pub fn prints(&self, text: &str) -> String {
        self.wait_for(&format!("a line of stdout with {text:?}"), |state| {
            line_with(&String::from_utf8_lossy(&state.stdout), text)
        })
    }

    /// The first line on stdout.
    pub fn prints_line(&self) -> String {
        self.prints("")
    }

    /// The first line on stdout; `None` if it ends without one.
    #[allow(dead_code, reason = "the tests in builders do not use it")]
    pub fn prints_or_ends(&self) -> Option<String> {
        self.wait_for("a line of stdout, or its end", |state| {
            let line = line_with(&String::from_utf8_lossy(&state.stdout), "");
            (line.is_some() || state.status.is_some() && state.streams_ended == 2).then_some(line)
        })
    }

    /// Waits for the line of this number, counted from 1, on stdout.
    #[allow(dead_code, reason = "the tests in builders do not use it")]
    pub fn prints_line_number(&self, number: usize) -> String {
        self.wait_for(&format!("line {number} of stdout"), |state| {
            let text = String::from_utf8_lossy(&state.stdout);
            let (whole, _) = text.rsplit_once('\n')?;
            whole.lines().nth(number - 1).map(str::to_owned)
        })
    }

    /// Waits for any bytes on stdout.
    #[allow(dead_code, reason = "the tests in builders do not use it")]
    pub fn prints_some(&self) {
        self.wait_for("output on stdout", |state| (!state.stdout.is_empty()).then_some(()));
    }

    /// Waits until its output on stdout ends with `text`.
    #[allow(dead_code, reason = "the tests in builders do not use it")]
    pub fn shows(&self, text: &str) {
        self.wait_for(&format!("stdout that ends with {text:?}"), |state| {
            state.stdout.ends_with(text.as_bytes()).then_some(())
        });
    }

    /// As [`Self::ends`], for a process that may take `limit`.
    #[allow(dead_code, reason = "the tests in builders do not use it")]
    pub fn ends_within(&self, limit: Duration) -> Outcome {
        self.wait_until(Instant::now() + limit, "its end and that of its output", State::outcome)
    }

    /// Its output on stderr so far.
    pub fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.watched.lock().stderr).into_owned()
    }

    /// Its output on stdout so far.
    #[allow(dead_code, reason = "only the tests in builders use it")]
    pub fn stdout(&self) -> Vec<u8> {
        self.watched.lock().stdout.clone()
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        self.watched.lock().status.is_none()
    }

    /// Sends it a signal, if it has not ended.
    pub fn signal(&self, signal: Signal) {
        // The process is reaped under this lock, so its id cannot belong to another process here.
        let state = self.watched.lock();
        if state.status.is_none() {
            kill_process(self.pid, signal).unwrap();
        }
    }

    /// Waits for its end. Its children may still have its output open.
    pub fn exits(&self) -> ExitStatus {
        self.wait_for("its end", |state| state.status)
    }

    /// Waits for its end and the end of its output.
    pub fn ends(&self) -> Outcome {
        self.wait_for("its end and that of its output", State::outcome)
    }

    fn wait_for<T>(&self, what: &str, find: impl FnMut(&mut State) -> Option<T>) -> T {
        self.wait_until(Instant::now() + LIMIT, what, find)
    }

    fn wait_until<T>(
        &self,
        deadline: Instant,
        what: &str,
        mut find: impl FnMut(&mut State) -> Option<T>,
    ) -> T {
        let mut state = self.watched.lock();
        loop {
            if let Some(found) = find(&mut state) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            // A process that has ended writes no more: there is no need to wait for the timeout.
            let over = state.status.is_some() && state.streams_ended == 2;
            if left.is_zero() || over {
                let why = if over { "it ended without" } else { "timed out waiting for" };
                let status = state.status;
                let (stdout, stderr) =
                    (String::from_utf8_lossy(&state.stdout), String::from_utf8_lossy(&state.stderr));
                panic!(
                    "{}: {why} {what}\nstatus: {status:?}\nstdout: {stdout:.2000}\nstderr: {stderr:.8000}",
                    self.shown
                );
            }
            state = self.watched.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

impl Watched {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn collect(
        self: &Arc<Self>,
        mut stream: impl Read + Send + 'static,
        into: fn(&mut State) -> &mut Vec<u8>,
    ) {
        let watched = Arc::clone(self);
        thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(length @ 1..) = stream.read(&mut buffer) {
                into(&mut watched.lock()).extend_from_slice(&buffer[..length]);
                watched.changed.notify_all();
            }
            watched.lock().streams_ended += 1;
            watched.changed.notify_all();
        });
    }

    fn await_exit(self: &Arc<Self>, mut child: Child, pid: Pid) {
        let watched = Arc::clone(self);
        thread::spawn(move || {
            // NOWAIT does not reap the process, so its id stays valid until the lock is held.
            let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT);
            let mut state = watched.lock();
            state.status = child.wait().ok();
            drop(state);
            watched.changed.notify_all();
        });
    }
}

fn line_with(text: &str, part: &str) -> Option<String> {
    // The last piece has no line end yet.
    let (whole, _) = text.rsplit_once('\n')?;
    whole.lines().find(|line| line.contains(part)).map(str::to_owned)
}

/// Exit status and output of a process that has ended.
#[derive(Debug)]
pub struct Outcome {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Outcome {
    /// Its exit code; `None` if a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// The signal that ended it.
    pub fn signal(&self) -> Option<i32> {
        self.status.signal()
    }

    /// What it wrote to stdout, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        self.exits_with(0)
    }

    #[track_caller]
    pub fn exits_with(self, code: i32) -> Self {
        assert_eq!(self.code(), Some(code), "{:?}\nstderr: {}", self.status, self.stderr);
        self
    }

    /// It ended with 125, the exit code of secrets-bridge's own failures, and wrote nothing to stdout.
    #[track_caller]
    pub fn fails(self) -> Self {
        let this = self.exits_with(125);
        assert_eq!(this.text(), "");
        this
    }

    /// Its stderr contains `text`.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stderr.contains(text), "no {text:?} in:\n{}", self.stderr);
        self
    }

    #[track_caller]
    pub fn never_says(self, text: &str) -> Self {
        assert!(!self.stderr.contains(text), "{text:?} in:\n{}", self.stderr);
        self
    }

    /// Its stdout is exactly `bytes`.
    #[track_caller]
    pub fn prints(self, bytes: impl AsRef<[u8]>) -> Self {
        let expected = bytes.as_ref();
        if self.stdout != expected {
            let (found, expected) =
                (String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(expected));
            panic!("stdout is {found:.2000?} and not {expected:.2000?}\nstderr: {}", self.stderr);
        }
        self
    }
}

/// A process that is not a child of the test. It is killed when this is dropped.
#[cfg(target_os = "linux")]
pub struct ForeignProcess {
    pub pid: Pid,
    descriptor: std::os::fd::OwnedFd,
}

#[cfg(target_os = "linux")]
impl ForeignProcess {
    /// The process with this id, which must exist.
    pub fn with_id(id: &str) -> Self {
        let pid = Pid::from_raw(id.trim().parse().unwrap()).unwrap();
        let descriptor = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        Self { pid, descriptor }
    }

    pub fn signal(&self, signal: Signal) {
        // The descriptor never names another process; the signal fails if this one has ended.
        let _ = rustix::process::pidfd_send_signal(&self.descriptor, signal);
    }

    /// Waits for its end.
    pub fn ends(&self) {
        assert!(self.ends_within(LIMIT), "process {:?} has not ended", self.pid);
    }

    /// Whether it has not ended yet.
    pub fn is_running(&self) -> bool {
        !self.ends_within(Duration::ZERO)
    }

    fn ends_within(&self, limit: Duration) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let timeout = Timespec { tv_sec: limit.as_secs().cast_signed(), tv_nsec: 0 };
        // Readable once it has ended, even if it is not reaped (pidfd_open(2)).
        let mut wanted = [PollFd::new(&self.descriptor, PollFlags::IN)];
        poll(&mut wanted, Some(&timeout)).unwrap() > 0
    }
}

#[cfg(target_os = "linux")]
impl Drop for ForeignProcess {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}
