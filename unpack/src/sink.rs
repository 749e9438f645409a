//! What receives the bytes, and what it learns about those that were not unpacked.

use std::cell::{Cell, RefCell};
use std::io;

use crate::inflater::Inflater;
use crate::limits::{Budget, MAX_DEPTH, MAX_STREAMS};

/// Receives the bytes of a file and of the streams in it.
///
/// Streams are inside each other: `enter` begins one inside of the innermost that is open, and `leave` ends the innermost.
pub trait Sink {
    /// The next bytes of the stream at `depth`: 0 is the file itself, 1 the stream that was entered first.
    fn feed(&mut self, depth: usize, chunk: &[u8]);

    /// A stream begins. `what` says how it is packed: `gzip`, `zlib`, `zip entry NAME`, `git pack`. Names are as in the
    /// archive: of any characters, possibly with a secret.
    fn enter(&mut self, what: &str);

    /// The innermost stream has ended.
    fn leave(&mut self);

    /// Whether reading has to end early.
    fn is_stopped(&self) -> bool {
        false
    }
}

/// What was recognised in a file and not unpacked. Its bytes as they are in the file were fed all the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Whether a limit was reached: bytes, depth or number of streams. Ordinary files stay far below all of them.
    pub limited: bool,
    /// Streams that are not valid from some byte on. One that only ends too early is none: all of it was unpacked.
    pub corrupt: u64,
    /// Encrypted zip entries.
    pub encrypted: u64,
    /// Files and zip entries in formats that are not unpacked: xz, zstd, bzip2, lz4, 7z, rar.
    pub unsupported: u64,
}

impl Skipped {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub fn add(&mut self, other: Self) {
        self.limited |= other.limited;
        self.corrupt = self.corrupt.saturating_add(other.corrupt);
        self.encrypted = self.encrypted.saturating_add(other.encrypted);
        self.unsupported = self.unsupported.saturating_add(other.unsupported);
    }
}

/// What the depths of one file share.
pub(crate) struct Shared<'s> {
    sink: RefCell<&'s mut dyn Sink>,
    budget: &'s Budget,
    read: Cell<u64>,
    unpacked: Cell<u64>,
    streams: Cell<u64>,
    skipped: Cell<Skipped>,
    failure: RefCell<Option<io::Error>>,
    /// Decoders that are not in use.
    pub(crate) spare: RefCell<Vec<Inflater>>,
}

impl<'s> Shared<'s> {
    pub(crate) fn new(sink: &'s mut dyn Sink, budget: &'s Budget) -> Self {
        Self {
            sink: RefCell::new(sink),
            budget,
            read: Cell::default(),
            unpacked: Cell::default(),
            streams: Cell::default(),
            skipped: Cell::default(),
            failure: RefCell::default(),
            spare: RefCell::default(),
        }
    }

    pub(crate) fn feed(&self, depth: usize, chunk: &[u8]) {
        if depth == 0 {
            self.read.set(self.read.get().saturating_add(chunk.len() as u64));
            self.budget.read(chunk.len() as u64);
        }
        self.sink.borrow_mut().feed(depth, chunk);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.failure.borrow().is_some() || self.sink.borrow().is_stopped()
    }

    /// Begins a stream inside the one at `depth`. `false` if there may be no further one.
    pub(crate) fn enter(&self, depth: usize, what: &str) -> bool {
        if self.skipped.get().limited {
            return false;
        }
        if depth >= MAX_DEPTH || self.streams.get() >= MAX_STREAMS {
            self.skip(|skipped| skipped.limited = true);
            return false;
        }
        self.streams.set(self.streams.get() + 1);
        self.sink.borrow_mut().enter(what);
        true
    }

    pub(crate) fn leave(&self) {
        self.sink.borrow_mut().leave();
    }

    /// Counts unpacked bytes. `false` if there may be no more.
    pub(crate) fn unpack(&self, bytes: usize) -> bool {
        self.unpacked.set(self.unpacked.get().saturating_add(bytes as u64));
        let is_within = self.budget.unpack(bytes as u64, self.read.get(), self.unpacked.get());
        if !is_within {
            self.skip(|skipped| skipped.limited = true);
        }
        is_within
    }

    pub(crate) fn skip(&self, what: impl FnOnce(&mut Skipped)) {
        let mut skipped = self.skipped.get();
        what(&mut skipped);
        self.skipped.set(skipped);
    }

    /// Keeps why the file cannot be read. What depends on it then ends as if the file did.
    pub(crate) fn fail(&self, error: io::Error) {
        self.failure.borrow_mut().get_or_insert(error);
    }

    pub(crate) fn result(&self) -> io::Result<Skipped> {
        self.failure.borrow_mut().take().map_or(Ok(self.skipped.get()), Err)
    }
}
