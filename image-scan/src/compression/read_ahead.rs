//! A reader in a thread of its own, ahead of the thread that uses what it reads.

use std::io::{self, BufRead, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use crate::error::corrupt;
use crate::limits::CHUNK;

/// Chunks that are unpacked in advance.
const AHEAD: usize = 3;

/// Reads `input` in another thread, ahead of `consume`.
pub(super) fn read<T>(
    input: impl Read + Send,
    consume: impl FnOnce(&mut (dyn BufRead + Send)) -> io::Result<T>,
) -> io::Result<T> {
    thread::scope(|scope| {
        let (full, coming) = sync_channel(AHEAD);
        // Buffers are reused: freed memory is wiped, which costs as much as reading it.
        let (back, empty) = channel();
        scope.spawn(move || pump(input, &full, &empty));
        consume(&mut ReadAhead { coming, back, chunk: Chunk::default(), at: 0, ended: false })
    })
}

/// The first `length` bytes of a buffer.
#[derive(Default)]
struct Chunk {
    buffer: Vec<u8>,
    length: usize,
}

/// Reads until the end or an error, or until the receiver is dropped.
fn pump(mut input: impl Read, full: &SyncSender<io::Result<Chunk>>, empty: &Receiver<Chunk>) {
    loop {
        let mut chunk = empty.try_recv().unwrap_or_default();
        chunk.buffer.resize(CHUNK, 0);
        let read = fill(&mut input, &mut chunk.buffer);
        let ended = !matches!(read, Ok(1..));
        if full.send(read.map(|length| Chunk { length, ..chunk })).is_err() || ended {
            return;
        }
    }
}

fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match input.read(rest)? {
            0 => break,
            length => filled += length,
        }
    }
    Ok(filled)
}

/// The receiving end.
struct ReadAhead {
    coming: Receiver<io::Result<Chunk>>,
    back: Sender<Chunk>,
    chunk: Chunk,
    at: usize,
    ended: bool,
}

impl BufRead for ReadAhead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.chunk.length && !self.ended {
            // The other thread sends an empty chunk or an error at its end, unless it panicked.
            let next = self.coming.recv().map_err(|_| corrupt("unpacking stopped unexpectedly"))??;
            self.ended = next.length == 0;
            // Fails if the other thread has ended, which needs no more buffers.
            let _ = self.back.send(std::mem::replace(&mut self.chunk, next));
            self.at = 0;
        }
        Ok(self.chunk.buffer.get(self.at..self.chunk.length).unwrap_or_default())
    }

    fn consume(&mut self, amount: usize) {
        self.at = self.at.saturating_add(amount);
    }
}

impl Read for ReadAhead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut available = self.fill_buf()?;
        let length = available.read(buffer)?;
        self.consume(length);
        Ok(length)
    }
}
