//! Messages go to stderr; the background half of `serve -d` is started with its log as stderr.

use std::io::{self, Write};
use std::os::fd::AsFd as _;
use std::sync::{Mutex, PoisonError};

use local_ipc::WaitingOutput;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// Stderr for what must be seen: it waits for room, also where another process has made stderr non-blocking.
pub(super) fn output() -> Box<dyn Write> {
    match io::stderr().as_fd().try_clone_to_owned() {
        Ok(stderr) => Box::new(WaitingOutput::new(stderr.into())),
        // Without a free descriptor.
        Err(_) => Box::new(io::stderr()),
    }
}

/// A pipe that is ready takes this many bytes without waiting (pipe(7), `PIPE_BUF`).
const PIPE_BUF: usize = 4096;
/// How long a reader of stderr may pause before messages are lost.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
const NONE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

static STATE: Mutex<State> = Mutex::new(State { is_stalled: false, is_cut: false });

struct State {
    /// Whether the last write would have waited too long.
    is_stalled: bool,
    /// Whether the last line is not whole.
    is_cut: bool,
}

/// Stderr for messages: a pipe that no process reads must stop neither bridge nor client, so what it does not take is
/// lost. Data, errors that end the program and questions go to [`output`] instead, and wait.
pub(super) fn log() -> Patient {
    Patient
}

pub(super) struct Patient;

impl Write for Patient {
    /// Never fails: there is nowhere to report it, and tracing-subscriber would panic if stderr is closed.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = STATE.lock().unwrap_or_else(PoisonError::into_inner);
        let begin = if state.is_cut { [b"\n", bytes].concat() } else { bytes.to_vec() };
        for part in begin.chunks(PIPE_BUF) {
            if write_part(part, &mut state).is_err() {
                break;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_part(bytes: &[u8], state: &mut State) -> io::Result<()> {
    let mut stderr = io::stderr();
    let mut wanted = [PollFd::new(&stderr, PollFlags::OUT)];
    let ready = poll(&mut wanted, Some(if state.is_stalled { &NONE } else { &PATIENCE }))?;
    state.is_stalled = ready == 0;
    if state.is_stalled {
        return Err(io::ErrorKind::TimedOut.into());
    }
    stderr.write_all(bytes)?;
    state.is_cut = !bytes.ends_with(b"\n");
    Ok(())
}
