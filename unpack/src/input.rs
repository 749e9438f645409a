//! The bytes of one stream, fed to the sink as they are read.

use std::io::{self, BufRead};

use crate::sink::Shared;

/// Where a stream comes from. It has no errors: a stream that breaks ends.
pub(crate) trait Source {
    /// The next bytes; empty at the end only.
    fn chunk(&mut self) -> &[u8];

    /// Removes the first bytes of [`Self::chunk`].
    fn consume(&mut self, count: usize);
}

/// A stream that can be looked ahead in.
pub(crate) trait Input: Source {
    /// The next `count` bytes, or fewer at the end. They are not consumed.
    fn peek(&mut self, count: usize) -> &[u8];

    /// Removes `count` bytes. `false` at the end.
    fn skip(&mut self, mut count: u64) -> bool {
        while count > 0 {
            let length = (self.chunk().len() as u64).min(count);
            if length == 0 {
                return false;
            }
            self.consume(usize::try_from(length).unwrap_or(usize::MAX));
            count -= length;
        }
        true
    }

    /// Removes and returns the next byte.
    fn byte(&mut self) -> Option<u8> {
        let byte = self.chunk().first().copied()?;
        self.consume(1);
        Some(byte)
    }
}

/// The file itself.
pub(crate) struct File<'a, 's> {
    pub(crate) input: &'a mut dyn BufRead,
    pub(crate) shared: &'a Shared<'s>,
    pub(crate) is_ended: bool,
}

impl Source for File<'_, '_> {
    fn chunk(&mut self) -> &[u8] {
        self.is_ended = self.is_ended || self.shared.is_stopped();
        while !self.is_ended {
            match self.input.fill_buf() {
                Ok(chunk) => {
                    self.is_ended = chunk.is_empty();
                    break;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.shared.fail(error);
                    self.is_ended = true;
                }
            }
        }
        if self.is_ended {
            return &[];
        }
        // Returns what is in the buffer already.
        self.input.fill_buf().unwrap_or_default()
    }

    fn consume(&mut self, count: usize) {
        self.input.consume(count);
    }
}

/// A source, of which every byte is fed to the sink once, before it is returned first.
pub(crate) struct Fed<'a, 's> {
    source: &'a mut dyn Source,
    shared: &'a Shared<'s>,
    depth: usize,
    /// Number of bytes at the start of the source's chunk that were fed.
    fed: usize,
    /// Bytes that were taken from the source to look ahead, from `at` on. All of them were fed.
    ahead: Vec<u8>,
    at: usize,
    position: u64,
}

impl<'a, 's> Fed<'a, 's> {
    pub(crate) fn new(source: &'a mut dyn Source, shared: &'a Shared<'s>, depth: usize) -> Self {
        Self { source, shared, depth, fed: 0, ahead: Vec::new(), at: 0, position: 0 }
    }

    /// Number of bytes that were consumed.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The source's chunk, fed.
    fn fresh(&mut self) -> &[u8] {
        let chunk = self.source.chunk();
        if let Some(unfed) = chunk.get(self.fed..)
            && !unfed.is_empty()
        {
            self.shared.feed(self.depth, unfed);
            self.fed = chunk.len();
        }
        chunk
    }

    fn pending(&self) -> &[u8] {
        self.ahead.get(self.at..).unwrap_or_default()
    }
}

impl Source for Fed<'_, '_> {
    fn chunk(&mut self) -> &[u8] {
        if self.pending().is_empty() { self.fresh() } else { self.pending() }
    }

    fn consume(&mut self, count: usize) {
        self.position = self.position.saturating_add(count as u64);
        if self.pending().is_empty() {
            self.source.consume(count);
            self.fed = self.fed.saturating_sub(count);
        } else {
            self.at += count;
        }
    }
}

impl Input for Fed<'_, '_> {
    fn peek(&mut self, count: usize) -> &[u8] {
        if self.pending().is_empty() {
            if self.fresh().len() >= count {
                return self.source.chunk().get(..count).unwrap_or_default();
            }
            self.ahead.clear();
            self.at = 0;
        }
        while self.pending().len() < count {
            let missing = count - self.pending().len();
            let chunk = self.fresh();
            let taken = chunk.get(..missing).unwrap_or(chunk).to_vec();
            if taken.is_empty() {
                break;
            }
            self.source.consume(taken.len());
            self.fed = self.fed.saturating_sub(taken.len());
            self.ahead.extend_from_slice(&taken);
        }
        let pending = self.pending();
        pending.get(..count).unwrap_or(pending)
    }
}
