//! Pipes for COMMAND's output, and the thread that masks it, on Unix.
//!
//! One thread reads both streams, so that output is passed on in the order in which it was written, as far as the kernel tells.
//! If both streams are one file, COMMAND gets one pipe for both, and the order is exact.

use std::fs::File;
use std::io::{self, IsTerminal as _, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;

use leaks::{Mask, MaskStream};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tracing::warn;
use zeroize::Zeroizing;

/// Output that may be the first letters of a secret is held back until nothing more came for this long: prompts are not delayed
/// noticeably. From six letters on it is held back until more comes.
const HOLD_TIME: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };
/// Bytes per read: the capacity of a pipe.
const BUFFER_SIZE: usize = 64 << 10;
/// Limit of reads after COMMAND has ended: a child of COMMAND that keeps writing must not keep the step from ending. The
/// capacity of a pipe can be raised to 1 MiB (pipe(7)).
const MAX_FINAL_READS: usize = (1 << 20) / BUFFER_SIZE;

/// The output of a running COMMAND, and the thread that passes it on.
pub(crate) struct MaskedOutput {
    thread: JoinHandle<Option<io::Error>>,
    /// Closed to tell the thread that COMMAND has ended.
    running: PipeWriter,
}

/// A stream from COMMAND to the output of this process.
struct Stream {
    from: PipeReader,
    to: File,
    mask: MaskStream,
}

impl MaskedOutput {
    /// Redirects the output of `command`, except to terminals, where people see what they typed. `None` if there is nothing to
    /// redirect.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn attach(command: &mut Command, mask: Mask) -> io::Result<Option<Self>> {
        let mask = Arc::new(mask);
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let mut streams = Vec::new();
        let mut add = |to: BorrowedFd<'_>| -> io::Result<PipeWriter> {
            let (from, writer) = io::pipe()?;
            streams.push(Stream { from, to: File::from(to.try_clone_to_owned()?), mask: mask.stream() });
            Ok(writer)
        };
        match (stdout.is_terminal(), stderr.is_terminal()) {
            (true, true) => return Ok(None),
            (false, false) if is_one_file(stdout.as_fd(), stderr.as_fd()) => {
                let writer = add(stdout.as_fd())?;
                command.stdout(writer.try_clone()?).stderr(writer);
            }
            (out_is_terminal, err_is_terminal) => {
                if !out_is_terminal {
                    command.stdout(add(stdout.as_fd())?);
                }
                if !err_is_terminal {
                    command.stderr(add(stderr.as_fd())?);
                }
            }
        }
        let (ended, running) = io::pipe()?;
        let thread =
            std::thread::Builder::new().name("output".to_owned()).spawn(move || pass_on(streams, &ended))?;
        Ok(Some(Self { thread, running }))
    }

    /// Waits until everything that COMMAND wrote has been passed on, after COMMAND has ended. What its children write later is
    /// lost, as it is when a build step ends.
    ///
    /// # Errors
    /// Output could not be written, as to a full disk, and is lost. COMMAND may not have noticed.
    pub(crate) fn finish(self) -> io::Result<()> {
        drop(self.running);
        match self.thread.join() {
            Ok(failure) => failure.map_or(Ok(()), Err),
            Err(_) => {
                warn!("a part of COMMAND's output may be missing");
                Ok(())
            }
        }
    }
}

/// Whether both are the same file, as after `2>&1`.
fn is_one_file(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> bool {
    let identity = |fd| rustix::fs::fstat(fd).map(|status| (status.st_dev, status.st_ino)).ok();
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

/// Passes on all output, and returns the first error of writing it.
fn pass_on(mut streams: Vec<Stream>, ended: &PipeReader) -> Option<io::Error> {
    let mut failure = None;
    let mut buffer = Zeroizing::new(vec![0; BUFFER_SIZE]);
    let mut out = Zeroizing::new(Vec::new());
    let mut is_running = true;
    let mut reads_left = MAX_FINAL_READS;
    while !streams.is_empty() && reads_left > 0 {
        reads_left -= usize::from(!is_running);
        let is_holding = streams.iter().any(|stream| stream.mask.is_holding_short());
        let Some(ready) = wait(&streams, is_running.then_some(ended), is_holding) else { break };
        let (ready, has_ended) = ready;
        let is_quiet = !ready.contains(&true);
        if is_quiet && !has_ended {
            if !is_running {
                break; // everything has been read
            }
            streams.iter_mut().for_each(|stream| stream.release_short(&mut out, &mut failure));
        }
        is_running &= !has_ended;
        let mut ready = ready.into_iter();
        streams.retain_mut(|stream| {
            !ready.next().unwrap_or_default() || stream.pass_on(&mut buffer, &mut out, &mut failure)
        });
    }
    streams.iter_mut().for_each(|stream| stream.finish(&mut out, &mut failure));
    failure
}

/// Which streams can be read, and whether COMMAND has ended. Waits for either, unless COMMAND has ended already (`ended` is
/// `None`). `None` if poll(2) fails.
fn wait(streams: &[Stream], ended: Option<&PipeReader>, is_holding: bool) -> Option<(Vec<bool>, bool)> {
    let mut watched: Vec<PollFd<'_>> =
        streams.iter().map(|stream| PollFd::new(&stream.from, PollFlags::IN)).collect();
    watched.extend(ended.map(|ended| PollFd::new(ended, PollFlags::IN)));
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let limit = match ended {
        None => Some(&at_once),
        Some(_) if is_holding => Some(&HOLD_TIME),
        Some(_) => None,
    };
    loop {
        match poll(&mut watched, limit) {
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return None,
            Ok(_) => break,
        }
    }
    let mut ready: Vec<bool> = watched.iter().map(|fd| !fd.revents().is_empty()).collect();
    let has_ended = ended.is_some() && ready.pop().unwrap_or_default();
    Some((ready, has_ended))
}

impl Stream {
    /// Passes on what can be read. Returns `false` at the end of the stream, and if the output of this process is closed:
    /// COMMAND then gets SIGPIPE, as it would without masking.
    fn pass_on(&mut self, buffer: &mut [u8], out: &mut Vec<u8>, failure: &mut Option<io::Error>) -> bool {
        match self.from.read(buffer) {
            Ok(0) => {
                self.finish(out, failure);
                false
            }
            Ok(length) => {
                out.clear();
                self.mask.push(buffer.get(..length).unwrap_or_default(), out);
                self.write(out, failure)
            }
            Err(error) => error.kind() == io::ErrorKind::Interrupted,
        }
    }

    fn release_short(&mut self, out: &mut Vec<u8>, failure: &mut Option<io::Error>) {
        out.clear();
        self.mask.release_short(out);
        self.write(out, failure);
    }

    fn finish(&mut self, out: &mut Vec<u8>, failure: &mut Option<io::Error>) {
        out.clear();
        self.mask.finish(out);
        self.write(out, failure);
    }

    /// Returns whether further output can be written. That the reader has closed its end is no failure: `head` does that.
    fn write(&mut self, out: &[u8], failure: &mut Option<io::Error>) -> bool {
        match self.to.write_all(out) {
            Ok(()) => true,
            Err(error) => {
                if error.kind() != io::ErrorKind::BrokenPipe {
                    failure.get_or_insert(error);
                }
                false
            }
        }
    }
}
