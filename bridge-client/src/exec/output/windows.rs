//! Pipes for COMMAND's output, and the threads that read and mask it, on Windows.
//!
//! One thread reads each pipe, and another masks what they have read. Windows cannot wait for several pipes, and has no safe way
//! to tell whether two handles are one file: with `2>&1`, the order is the one in which these threads are woken.

use std::fs::File;
use std::io::{self, IsTerminal as _, PipeReader, Read as _};
use std::os::windows::io::AsHandle;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::Builder;
use std::time::Instant;

use leaks::{Mask, MaskStream};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

use super::outlet::{Outlet, Room};
use super::{BUFFER_SIZE, HOLD_TIME, LINGER, ORDER_TIME, PassedOn, end_of, outcome};

/// Limit of reads that wait to be masked. Beyond it COMMAND is blocked.
const MAX_QUEUED_READS: usize = 4;

/// The output of a running COMMAND, and the thread that passes it on.
pub(crate) struct MaskedOutput {
    thread: oneshot::Receiver<PassedOn>,
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

/// A stream from COMMAND to an output of this process.
struct Stream {
    to: Outlet,
    mask: MaskStream,
    /// When the beginning of a secret is released that is too short to tell, if nothing more has come.
    release_at: Option<Instant>,
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
            // The reading thread waits for room by itself.
            let to = Outlet::to(File::from(to.as_handle().try_clone_to_owned()?), Box::new(|| {}))?;
            let room = Room::of(&to);
            streams.push(Stream { to, mask: mask.stream(), release_at: None, is_open: true });
            let events = events.clone();
            Builder::new().name("output".to_owned()).spawn(move || read(from, number, &room, &events))?;
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
        let (done, thread) = oneshot::channel();
        Builder::new()
            .name("mask".to_owned())
            // Fails if the main thread no longer waits for it, because an event has ended this process.
            .spawn(move || drop(done.send(pass_on(streams, &queue))))?;
        Ok(Some(Self { thread, events }))
    }

    /// Waits until everything that COMMAND wrote has been passed on, after COMMAND has ended.
    ///
    /// # Errors
    /// Output could not be written, as to a full disk, and is lost. COMMAND may not have noticed.
    pub(crate) async fn finish(self) -> io::Result<()> {
        // Waits at most for the masking thread, which waits for no output. Fails after the ends of all streams.
        let _ = self.events.send(Event::Ended);
        outcome(self.thread).await.failure.map_or(Ok(()), Err)
    }
}

/// Reads until the end of the pipe, or until the output is closed. Then COMMAND's next write fails.
fn read(mut from: PipeReader, number: usize, room: &Room, events: &SyncSender<Event>) {
    let mut buffer = Zeroizing::new(vec![0; BUFFER_SIZE]);
    while room.wait() {
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

/// Passes on all output.
fn pass_on(mut streams: Vec<Stream>, events: &Receiver<Event>) -> PassedOn {
    // Since COMMAND has ended. The processes that it started end with it, so that their pipes are closed.
    let mut linger_until = None;
    while streams.iter().any(|stream| stream.is_open) {
        let releases = streams.iter().filter_map(|stream| stream.release_at);
        let event = match releases.chain(linger_until).min() {
            Some(next) => events.recv_timeout(next.saturating_duration_since(Instant::now())),
            None => events.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match event {
            Ok(Event::Written(number, bytes)) => {
                let others = streams.iter_mut().enumerate().filter(|(other, _)| *other != number);
                others.for_each(|(_, stream)| stream.to.settle(ORDER_TIME));
                if let Some(stream) = streams.get_mut(number) {
                    stream.pass_on(&bytes);
                }
            }
            Ok(Event::Closed(number)) => {
                if let Some(stream) = streams.get_mut(number) {
                    stream.is_open = false;
                    stream.release_at = None;
                    stream.to.send(end_of(&mut stream.mask));
                }
            }
            Ok(Event::Ended) => linger_until = Some(Instant::now() + LINGER),
            Err(RecvTimeoutError::Timeout) if is_past(linger_until) => {
                // A reading thread that waits for an output may still have something of COMMAND to read.
                if streams.iter().all(|stream| !stream.is_open || stream.to.has_room()) {
                    break;
                }
                linger_until = Some(Instant::now() + LINGER);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        streams.iter_mut().for_each(Stream::release_if_quiet);
    }
    let mut done = PassedOn::default();
    for mut stream in streams {
        stream.to.send(end_of(&mut stream.mask));
        let failure = stream.to.finish();
        done.failure = done.failure.or(failure);
    }
    done
}

fn is_past(moment: Option<Instant>) -> bool {
    moment.is_some_and(|moment| Instant::now() >= moment)
}

impl Stream {
    fn pass_on(&mut self, bytes: &[u8]) {
        let mut out = Vec::with_capacity(bytes.len());
        self.mask.push(bytes, &mut out);
        self.to.send(out);
        self.release_at = self.mask.is_holding_short().then(|| Instant::now() + HOLD_TIME);
    }

    fn release_if_quiet(&mut self) {
        if !is_past(self.release_at) {
            return;
        }
        // While the output takes nothing, nothing more is read either.
        self.release_at = (!self.to.has_room()).then(|| Instant::now() + HOLD_TIME);
        if self.release_at.is_none() {
            let mut out = Vec::new();
            self.mask.release_short(&mut out);
            self.to.send(out);
        }
    }
}
