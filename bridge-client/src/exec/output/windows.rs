//! Pipes for COMMAND's output: a thread reads each, and one thread masks and passes on, in the order in which the others
//! have read. (Windows cannot wait for a pipe, and does not say safely whether two handles are one file: `2>&1` keeps its
//! order as far as those threads are woken in it.)

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

/// What may begin a secret is held back until so much time passed without more: nobody waits for a prompt, and a secret
/// that is written in two halves is still seen.
const QUIET: Duration = Duration::from_millis(20);
/// What is read at once.
const BUFFER: usize = 64 << 10;
/// How many reads wait to be passed on; then COMMAND waits.
const QUEUE: usize = 4;
/// So many of them are passed on once COMMAND has ended. What it started has ended too, so this is for what escaped
/// that: it must not keep the step from ending.
const LAST_READS: usize = 64;

/// The pipes of a COMMAND, and who passes on what comes out of them.
pub(crate) struct MaskedOutput {
    thread: JoinHandle<()>,
    events: SyncSender<Event>,
}

enum Event {
    /// The stream of this number has written.
    Written(usize, Zeroizing<Vec<u8>>),
    /// It has come to its end.
    Closed(usize),
    /// COMMAND has ended.
    Ended,
}

/// One stream: to where our own output goes.
struct Stream {
    to: File,
    mask: MaskStream,
    is_open: bool,
}

impl MaskedOutput {
    /// Takes what `command` will write, where that is no terminal: people at one see what they typed. `None` if there is
    /// nothing to take.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn attach(command: &mut Command, mask: Mask) -> io::Result<Option<Self>> {
        let mask = Arc::new(mask);
        let (stdout, stderr) = (io::stdout(), io::stderr());
        let (events, queue) = sync_channel(QUEUE);
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
        let thread = Builder::new().name("mask".to_owned()).spawn(move || carry(streams, &queue))?;
        Ok(Some(Self { thread, events }))
    }

    /// COMMAND has ended: waits until all that it wrote has been passed on.
    pub(crate) fn finish(self) {
        // Where nobody takes it, all streams have come to their end already.
        let _ = self.events.send(Event::Ended);
        if self.thread.join().is_err() {
            warn!("a part of COMMAND's output may be missing");
        }
    }
}

/// Reads until the end, or until nobody wants it any more: COMMAND learns that at its next write.
fn read(mut from: PipeReader, number: usize, events: &SyncSender<Event>) {
    let mut buffer = Zeroizing::new(vec![0; BUFFER]);
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

fn carry(mut streams: Vec<Stream>, events: &Receiver<Event>) {
    let mut out = Zeroizing::new(Vec::new());
    let mut has_ended = false;
    let mut reads_left = LAST_READS;
    while streams.iter().any(|stream| stream.is_open) && reads_left > 0 {
        let is_holding = streams.iter().any(|stream| stream.mask.is_holding());
        let event = if is_holding || has_ended {
            events.recv_timeout(QUIET)
        } else {
            events.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match event {
            Ok(Event::Written(number, bytes)) => {
                reads_left -= usize::from(has_ended);
                if let Some(stream) = streams.get_mut(number) {
                    stream.pass_on(&bytes, &mut out);
                }
            }
            Ok(Event::Closed(number)) => {
                if let Some(stream) = streams.get_mut(number) {
                    stream.is_open = false;
                    stream.flush(&mut out);
                }
            }
            Ok(Event::Ended) => has_ended = true,
            Err(RecvTimeoutError::Timeout) if has_ended => break, // all that was there has been read
            Err(RecvTimeoutError::Timeout) => streams.iter_mut().for_each(|stream| stream.flush(&mut out)),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    streams.iter_mut().for_each(|stream| stream.flush(&mut out));
}

impl Stream {
    fn pass_on(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.clear();
        self.mask.push(bytes, out);
        self.is_open &= self.to.write_all(out).is_ok();
    }

    fn flush(&mut self, out: &mut Vec<u8>) {
        out.clear();
        self.mask.flush(out);
        // Nobody reads: there is nobody to tell.
        let _ = self.to.write_all(out);
    }
}
