//! Pipes for COMMAND's output, and the threads that mask it, on Windows.
//!
//! One thread reads each pipe, and another masks and passes on what they have read. Windows cannot wait for several pipes, and
//! has no safe way to tell whether two handles are one file: with `2>&1`, the order is the one in which these threads are
//! woken.

use std::fs::File;
use std::io::{self, IsTerminal as _, PipeReader, Read as _, Write as _};
use std::os::windows::io::AsHandle;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use leaks::{Mask, MaskStream};
use tracing::warn;
use zeroize::Zeroizing;

/// Output that may be the first letters of a secret is held back until nothing more came for this long: prompts are not delayed
/// noticeably. From six letters on it is held back until more comes.
const HOLD_TIME: Duration = Duration::from_millis(20);
/// Bytes per read.
const BUFFER_SIZE: usize = 64 << 10;
/// Limit of reads that wait to be passed on. Beyond it COMMAND is blocked.
const MAX_QUEUED_READS: usize = 4;
/// Limit of reads that are passed on after COMMAND has ended. The processes that it started have usually ended too. One
/// that has not must not keep the step from ending.
const MAX_FINAL_READS: usize = 64;

/// The output of a running COMMAND, and the thread that passes it on.
pub(crate) struct MaskedOutput {
    thread: JoinHandle<Option<io::Error>>,
    events: SyncSender<Event>,
}

enum Event {
    /// Bytes of the stream with this number.
    Written(usize, Zeroizing<Vec<u8>>),
    /// The end of the stream with this number.
    Closed(usize),
    /// COMMAND has ended.
    Ended,
}

/// A stream from COMMAND to the output of this process.
struct Stream {
    to: File,
    mask: MaskStream,
    is_open: bool,
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
        let (events, queue) = sync_channel(MAX_QUEUED_READS);
        let mut streams = Vec::new();
        let mut add = |to: &dyn AsHandle| -> io::Result<io::PipeWriter> {
            let (from, writer) = io::pipe()?;
            let number = streams.len();
            let to = File::from(to.as_handle().try_clone_to_owned()?);
            streams.push(Stream { to, mask: mask.stream(), is_open: true });
            let events = events.clone();
            Builder::new().name("output".to_owned()).spawn(move || read(from, number, &events))?;
            Ok(writer)
        };
        if !stdout.is_terminal() {
            command.stdout(add(&stdout)?);
        }
        if !stderr.is_terminal() {
            command.stderr(add(&stderr)?);
        }
        if streams.is_empty() {
            return Ok(None);
        }
        let thread = Builder::new().name("mask".to_owned()).spawn(move || pass_on(streams, &queue))?;
        Ok(Some(Self { thread, events }))
    }

    /// Waits until everything that COMMAND wrote has been passed on, after COMMAND has ended.
    ///
    /// # Errors
    /// Output could not be written, as to a full disk, and is lost. COMMAND may not have noticed.
    pub(crate) fn finish(self) -> io::Result<()> {
        // Fails if the thread has ended, after the ends of all streams.
        let _ = self.events.send(Event::Ended);
        match self.thread.join() {
            Ok(failure) => failure.map_or(Ok(()), Err),
            Err(_) => {
                warn!("a part of COMMAND's output may be missing");
                Ok(())
            }
        }
    }
}

/// Reads until the end of the pipe, or until the other thread has ended. Then COMMAND's next write fails.
fn read(mut from: PipeReader, number: usize, events: &SyncSender<Event>) {
    let mut buffer = Zeroizing::new(vec![0; BUFFER_SIZE]);
    loop {
        match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => {
                let bytes = buffer.get(..length).unwrap_or_default().to_vec();
                if events.send(Event::Written(number, Zeroizing::new(bytes))).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    let _ = events.send(Event::Closed(number));
}

/// Passes on all output, and returns the first error of writing it.
fn pass_on(mut streams: Vec<Stream>, events: &Receiver<Event>) -> Option<io::Error> {
    let mut failure = None;
    let mut out = Zeroizing::new(Vec::new());
    let mut has_ended = false;
    let mut reads_left = MAX_FINAL_READS;
    while streams.iter().any(|stream| stream.is_open) && reads_left > 0 {
        let is_holding = streams.iter().any(|stream| stream.mask.is_holding_short());
        let event = if is_holding || has_ended {
            events.recv_timeout(HOLD_TIME)
        } else {
            events.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match event {
            Ok(Event::Written(number, bytes)) => {
                reads_left -= usize::from(has_ended);
                if let Some(stream) = streams.get_mut(number) {
                    stream.pass_on(&bytes, &mut out, &mut failure);
                }
            }
            Ok(Event::Closed(number)) => {
                if let Some(stream) = streams.get_mut(number) {
                    stream.is_open = false;
                    stream.finish(&mut out, &mut failure);
                }
            }
            Ok(Event::Ended) => has_ended = true,
            Err(RecvTimeoutError::Timeout) if has_ended => break, // everything has been read
            Err(RecvTimeoutError::Timeout) => {
                streams.iter_mut().for_each(|stream| stream.release_short(&mut out, &mut failure));
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    streams.iter_mut().for_each(|stream| stream.finish(&mut out, &mut failure));
    failure
}

impl Stream {
    fn pass_on(&mut self, bytes: &[u8], out: &mut Vec<u8>, failure: &mut Option<io::Error>) {
        out.clear();
        self.mask.push(bytes, out);
        self.is_open &= self.write(out, failure);
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

    /// Returns whether further output can be written. That the reader has closed its end is no failure.
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
