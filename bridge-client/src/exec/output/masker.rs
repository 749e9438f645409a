//! The thread that reads COMMAND's output and masks it.

use std::io::{self, PipeReader, Read as _};
use std::time::{Duration, Instant};

use leaks::MaskStream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionread};
use zeroize::Zeroizing;

use crate::exec::output::outlet::Outlet;
use crate::exec::output::{BUFFER_SIZE, HOLD_TIME, LINGER, ORDER_TIME, PassedOn, end_of};

pub(super) struct Masker {
    pub(super) streams: Vec<Stream>,
    /// Closed when COMMAND has ended.
    pub(super) ended: PipeReader,
    /// Gets a byte when an outlet has room again, or is closed.
    pub(super) notified: PipeReader,
}

/// A stream from COMMAND to an output of this process.
pub(super) struct Stream {
    /// `None` after its end, and when the reader of the output has closed that.
    from: Option<PipeReader>,
    to: Outlet,
    mask: MaskStream,
    /// When the beginning of a secret is released that is too short to tell, if nothing more has come.
    release_at: Option<Instant>,
    /// Bytes that were written before COMMAND ended, and are still to be read. Counts once COMMAND has ended.
    due: u64,
}

/// What there is to do.
struct Ready {
    /// Streams that can be read, by their index.
    streams: Vec<usize>,
    has_ended: bool,
}

impl Masker {
    /// Passes on all output.
    pub(super) fn pass_on(mut self) -> PassedOn {
        let mut buffer = Zeroizing::new(vec![0; BUFFER_SIZE]);
        // Since COMMAND has ended.
        let mut linger_until = None;
        loop {
            let is_over = linger_until.is_some_and(|end| Instant::now() >= end);
            if !self.streams.iter().any(|stream| stream.is_read(is_over)) {
                break;
            }
            let Some(ready) = self.wait(linger_until, is_over) else { break };
            for index in ready.streams {
                self.pass_on_some(index, &mut buffer);
            }
            self.streams.iter_mut().for_each(Stream::release_if_quiet);
            if ready.has_ended {
                linger_until = Some(Instant::now() + LINGER);
                self.streams.iter_mut().for_each(Stream::measure_due);
            }
        }
        self.finish()
    }

    /// Waits for something to do. `None` if poll(2) fails.
    fn wait(&mut self, linger_until: Option<Instant>, is_over: bool) -> Option<Ready> {
        let read: Vec<(usize, &PipeReader)> = (self.streams.iter().enumerate())
            .filter(|(_, stream)| stream.is_read(is_over) && stream.to.has_room())
            .filter_map(|(index, stream)| Some((index, stream.from.as_ref()?)))
            .collect();
        let mut watched = vec![PollFd::new(&self.notified, PollFlags::IN)];
        watched.extend(read.iter().map(|(_, from)| PollFd::new(from, PollFlags::IN)));
        if linger_until.is_none() {
            watched.push(PollFd::new(&self.ended, PollFlags::IN));
        }
        let releases = self.streams.iter().filter_map(|stream| stream.release_at);
        let next = releases.chain(linger_until.filter(|_| !is_over)).min();
        let limit = next.map(|next| timespec(next.saturating_duration_since(Instant::now())));
        loop {
            match poll(&mut watched, limit.as_ref()) {
                Err(Errno::INTR) => {}
                Err(_) => return None,
                Ok(_) => break,
            }
        }
        let mut ready = watched.iter().map(|fd| !fd.revents().is_empty());
        let is_notified = ready.next().unwrap_or_default();
        let streams = read.iter().filter(|_| ready.next().unwrap_or_default()).map(|(index, _)| *index);
        let streams = streams.collect();
        let has_ended = ready.next().unwrap_or_default();
        if is_notified {
            let _ = (&self.notified).read(&mut [0; 64]);
            // COMMAND gets SIGPIPE when it writes on, as it would without masking.
            self.streams
                .iter_mut()
                .filter(|stream| stream.to.is_closed())
                .for_each(|stream| stream.from = None);
        }
        Some(Ready { streams, has_ended })
    }

    fn pass_on_some(&mut self, index: usize, buffer: &mut [u8]) {
        let others = self.streams.iter_mut().enumerate().filter(|(other, _)| *other != index);
        others.for_each(|(_, stream)| stream.to.settle(ORDER_TIME));
        if let Some(stream) = self.streams.get_mut(index) {
            stream.pass_on_some(buffer);
        }
    }

    fn finish(self) -> PassedOn {
        let mut done = PassedOn::default();
        for mut stream in self.streams {
            done.left_open.extend(stream.from);
            stream.to.send(end_of(&mut stream.mask));
            let failure = stream.to.finish();
            done.failure = done.failure.or(failure);
        }
        done
    }
}

impl Stream {
    pub(super) fn new(from: PipeReader, to: Outlet, mask: MaskStream) -> Self {
        Self { from: Some(from), to, mask, release_at: None, due: 0 }
    }

    /// Whether anything is still read from it. When the time after COMMAND's end `is_over`, only what is due.
    fn is_read(&self, is_over: bool) -> bool {
        self.from.is_some() && !(is_over && self.due == 0)
    }

    fn measure_due(&mut self) {
        self.due = self.from.as_ref().and_then(|from| ioctl_fionread(from).ok()).unwrap_or(0);
    }

    fn pass_on_some(&mut self, buffer: &mut [u8]) {
        let Some(from) = &mut self.from else { return };
        match from.read(buffer) {
            Ok(0) => {
                self.from = None;
                self.release_at = None;
                self.to.send(end_of(&mut self.mask));
            }
            Ok(length) => {
                let mut out = Vec::with_capacity(length);
                self.mask.push(buffer.get(..length).unwrap_or_default(), &mut out);
                self.to.send(out);
                self.due = self.due.saturating_sub(length as u64);
                self.release_at = self.mask.is_holding_short().then(|| Instant::now() + HOLD_TIME);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => self.from = None,
        }
    }

    fn release_if_quiet(&mut self) {
        if self.release_at.is_none_or(|at| Instant::now() < at) {
            return;
        }
        self.release_at = None;
        // More is in the pipe where the output takes nothing, or where this thread did not run for a moment.
        let has_more =
            self.from.as_ref().and_then(|from| ioctl_fionread(from).ok()).is_some_and(|more| more > 0);
        if !has_more {
            let mut out = Vec::new();
            self.mask.release_short(&mut out);
            self.to.send(out);
        }
    }
}

fn timespec(duration: Duration) -> Timespec {
    // One nanosecond more, so that it is over after the wait.
    let duration = duration + Duration::from_nanos(1);
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;
    use std::os::fd::OwnedFd;
    use std::sync::Arc;

    use leaks::Mask;
    use proto::{Key, Secret};

    use super::*;

    #[test]
    fn what_is_still_to_be_read_is_no_pause() {
        let secret = Secret::from("secret-value".to_owned());
        let pairs: [(Key, &Secret); 1] = [("K".parse().unwrap(), &secret)];
        let mask = Arc::new(Mask::new(&pairs).unwrap());
        let (from, mut command) = io::pipe().unwrap();
        let (mut shown, to) = io::pipe().unwrap();
        let outlet = Outlet::to(File::from(OwnedFd::from(to)), Box::new(|| {})).unwrap();
        let mut stream = Stream::new(from, outlet, mask.stream());
        let mut buffer = [0; 64];
        command.write_all(b"the sec").unwrap();
        stream.pass_on_some(&mut buffer);
        assert!(stream.release_at.is_some());
        command.write_all(b"ret-value\nsec").unwrap();
        stream.release_at = Some(Instant::now());
        stream.release_if_quiet();
        stream.pass_on_some(&mut buffer);
        // A pause.
        stream.release_at = Some(Instant::now());
        stream.release_if_quiet();
        stream.to.finish();
        let mut all = String::new();
        shown.read_to_string(&mut all).unwrap();
        assert_eq!(all, "the ***\nsec");
    }
}
