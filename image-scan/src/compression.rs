//! gzip and zstd, unpacked in a thread of their own while another searches the output.

use std::io::{self, BufRead, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use flate2::bufread::MultiGzDecoder;

use crate::error::corrupt;
use crate::limits::{CHUNK, MAX_UNPACKED, MAX_ZSTD_WINDOW_LOG};

/// Chunks that are unpacked in advance.
const AHEAD: usize = 3;

/// How a blob is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// Recognised by the first bytes; `None` if not compressed.
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        if head.starts_with(&[0x1f, 0x8b]) {
            Some(Self::Gzip)
        } else if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Some(Self::Zstd)
        } else {
            None
        }
    }

    /// Unpacks `input` in another thread, and calls `consume` with the output in this one. Subtracts the unpacked bytes
    /// from `allowance`.
    pub(crate) fn unpack<T>(
        self,
        input: impl BufRead + Send,
        allowance: &AtomicU64,
        consume: impl FnOnce(&mut (dyn BufRead + Send)) -> io::Result<T>,
    ) -> io::Result<T> {
        match self {
            Self::Gzip => read_ahead(Bounded { input: MultiGzDecoder::new(input), allowance }, consume),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(input)?;
                decoder.window_log_max(MAX_ZSTD_WINDOW_LOG)?;
                read_ahead(Bounded { input: decoder, allowance }, consume)
            }
        }
    }
}

/// A reader that fails once an allowance, which it may share with others, is used up.
struct Bounded<'a, R> {
    input: R,
    allowance: &'a AtomicU64,
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.input.read(buffer)?;
        let take = |left: u64| left.checked_sub(length as u64);
        match self.allowance.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => Ok(length),
            Err(_) => {
                let gib = MAX_UNPACKED >> 30;
                Err(io::Error::other(format!("the compressed blobs unpack to more than {gib} GiB")))
            }
        }
    }
}

/// Reads `input` in another thread, ahead of `consume`.
fn read_ahead<T>(
    input: impl Read + Send,
    consume: impl FnOnce(&mut (dyn BufRead + Send)) -> io::Result<T>,
) -> io::Result<T> {
    thread::scope(|scope| {
        let (full, coming) = sync_channel(AHEAD);
        // Buffers are reused: freed memory is wiped, which costs as much as reading it.
        let (back, empty) = channel();
        scope.spawn(move || pump(input, &full, &empty));
        consume(&mut ReadAhead { coming, back, chunk: Vec::new(), at: 0, ended: false })
    })
}

/// Reads until the end or an error, or until the receiver is dropped.
fn pump(mut input: impl Read, full: &SyncSender<io::Result<Vec<u8>>>, empty: &Receiver<Vec<u8>>) {
    loop {
        let mut chunk = empty.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        chunk.clear();
        let read = (&mut input).take(CHUNK as u64).read_to_end(&mut chunk);
        let ended = !matches!(read, Ok(1..));
        if full.send(read.map(|_| chunk)).is_err() || ended {
            return;
        }
    }
}

/// The receiving end.
struct ReadAhead {
    coming: Receiver<io::Result<Vec<u8>>>,
    back: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
    ended: bool,
}

impl BufRead for ReadAhead {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at >= self.chunk.len() && !self.ended {
            // The other thread sends an empty chunk or an error at its end, unless it panicked.
            let next = self.coming.recv().map_err(|_| corrupt("unpacking stopped unexpectedly"))??;
            self.ended = next.is_empty();
            // Fails if the other thread has ended, which needs no more buffers.
            let _ = self.back.send(std::mem::replace(&mut self.chunk, next));
            self.at = 0;
        }
        Ok(self.chunk.get(self.at..).unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzipped(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(packed: &[u8], allowance: u64) -> io::Result<Vec<u8>> {
        let compression = Compression::of(packed).unwrap();
        compression.unpack(packed, &AtomicU64::new(allowance), |plain| {
            let mut all = Vec::new();
            plain.read_to_end(&mut all).map(|_| all)
        })
    }

    #[test]
    fn both_formats_are_unpacked() {
        let bytes: Vec<u8> = (0..1_000_000u32).flat_map(|n| n.wrapping_mul(n).to_le_bytes()).collect();
        for packed in [gzipped(&bytes), zstd::encode_all(&bytes[..], 1).unwrap()] {
            assert!(unpacked(&packed, u64::MAX).unwrap() == bytes);
            assert!(unpacked(&packed[..packed.len() / 2], u64::MAX).is_err(), "cut");
        }
    }

    #[test]
    fn a_decompression_bomb_is_an_error() {
        for bomb in [gzipped(&[0; 1 << 20]), zstd::encode_all(&[0; 1 << 20][..], 1).unwrap()] {
            assert!(unpacked(&bomb, 1 << 20).is_ok());
            assert!(unpacked(&bomb, (1 << 20) - 1).is_err());
        }
    }

    #[test]
    fn a_window_over_the_limit_is_refused() {
        // Frame header: magic, a descriptor without single segment, a window of 2^(10 + 21).
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 21 << 3, 1, 0, 0];
        assert!(unpacked(&frame, u64::MAX).is_err());
    }

    #[test]
    fn dropping_the_reader_ends_the_other_thread() {
        let packed = gzipped(&[0; 10 << 20]);
        let stopped = Compression::Gzip
            .unpack(&packed[..], &AtomicU64::new(u64::MAX), |plain| plain.fill_buf().map(<[u8]>::len));
        assert_eq!(stopped.unwrap(), CHUNK);
    }
}
