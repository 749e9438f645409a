//! Standard error that may be a pipe which no process reads.

use std::io::{self, Write};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// A pipe that is ready takes this many bytes without waiting (pipe(7), `PIPE_BUF`).
const PIPE_BUF: usize = 4096;
/// How long a reader may pause. The bridge serves no client meanwhile.
const PATIENCE: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
const NONE: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };

/// Standard error. A write fails if it would wait for long, and then at once until there is room again.
#[derive(Default)]
pub(super) struct Stderr {
    is_stalled: bool,
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr();
        let mut wanted = [PollFd::new(&stderr, PollFlags::OUT)];
        let ready = poll(&mut wanted, Some(if self.is_stalled { &NONE } else { &PATIENCE }))?;
        self.is_stalled = ready == 0;
        if self.is_stalled {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no process reads standard error"));
        }
        stderr.write(bytes.get(..PIPE_BUF).unwrap_or(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
