//! Output to a file that is shared with other processes.

use std::fs::File;
use std::io::{self, Write};

/// Writes all that it is given, and waits for room where another process has made the file non-blocking: that is a property of
/// the open file, and so of all processes that share it. node does that to its pipes.
#[derive(Debug)]
pub struct WaitingOutput(File);

impl WaitingOutput {
    pub fn new(file: File) -> Self {
        Self(file)
    }
}

impl Write for WaitingOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut has_waited = false;
        loop {
            match self.0.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    platform::wait_for_room(&self.0, has_waited)?;
                    has_waited = true;
                }
                done => return done,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(unix)]
mod platform {
    use std::fs::File;
    use std::io;
    use std::time::Duration;

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::Errno;

    /// For kinds of files about which poll(2) does not know when they have room.
    const PAUSE: Duration = Duration::from_millis(1);

    pub(super) fn wait_for_room(file: &File, has_waited: bool) -> io::Result<()> {
        if has_waited {
            std::thread::sleep(PAUSE);
        }
        match poll(&mut [PollFd::new(file, PollFlags::OUT)], None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(windows)]
mod platform {
    use std::fs::File;
    use std::io;

    /// Handles are never non-blocking there.
    pub(super) fn wait_for_room(_file: &File, _has_waited: bool) -> io::Result<()> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}
