//! zstd (RFC 8878): frames and skippable frames, one after the other. pzstd begins a file with a skippable frame;
//! zstd:chunked ends a layer with a table of its files in one.

use std::io::{self, BufRead, Read};

use zstd::stream::raw::{DParameter, Decoder, Operation as _};

use super::Unpacking;
use crate::error::{corrupt, truncated};
use crate::large_memory::Permit;
use crate::limits::{MAX_WINDOW, SMALL_WINDOW};

pub(super) const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Whether `head` begins with a skippable frame.
pub(super) fn is_skippable(head: &[u8]) -> bool {
    matches!(head, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

pub(super) struct Zstd<'s, R> {
    input: R,
    with: Unpacking<'s>,
    decoder: Decoder<'static>,
    /// The header of the frame, which the decoder gets before the input.
    header: Vec<u8>,
    within_frame: bool,
    begun: bool,
    permit: Option<Permit<'s>>,
}

impl<'s, R: BufRead + Send> Zstd<'s, R> {
    pub(super) fn new(input: R, with: Unpacking<'s>) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(MAX_WINDOW.ilog2()))?;
        let header = Vec::new();
        Ok(Self { input, with, decoder, header, within_frame: false, begun: false, permit: None })
    }

    /// Reads skippable frames, and the header of the next other one; `false` at the end of the input.
    fn begin_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.begun && self.input.fill_buf()?.is_empty() {
                return Ok(false);
            }
            self.begun = true;
            let mut magic = [0; 4];
            self.input.read_exact(&mut magic)?;
            if !is_skippable(&magic) {
                if magic != MAGIC {
                    return Err(corrupt("bytes after the zstd frames"));
                }
                break;
            }
            let mut length = [0; 4];
            self.input.read_exact(&mut length)?;
            let mut content = (&mut self.input).take(u32::from_le_bytes(length).into());
            (self.with.aside)(&mut content)?;
            // What `aside` left is skipped, and must be there.
            io::copy(&mut content, &mut io::sink())?;
            if content.limit() > 0 {
                return Err(truncated());
            }
        }
        self.header = [&MAGIC[..], &self.read_bytes(1)?].concat();
        let descriptor = self.header.last().copied().unwrap_or_default();
        let single_segment = descriptor & 0x20 != 0;
        let window_length = usize::from(!single_segment);
        let dictionary_length = match descriptor & 3 {
            3 => 4,
            length => usize::from(length),
        };
        let size_length = match descriptor >> 6 {
            0 => usize::from(single_segment),
            code => 1 << code,
        };
        let rest = self.read_bytes(window_length + dictionary_length + size_length)?;
        self.header.extend_from_slice(&rest);
        let window = match rest.first() {
            Some(byte) if !single_segment => {
                let base = 1u64 << (10 + u32::from(byte >> 3));
                base + base / 8 * u64::from(byte & 7)
            }
            _ => {
                let size = rest.get(dictionary_length..).unwrap_or_default();
                let size = size.iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte));
                // A size of two bytes does not count the first 256.
                if size_length == 2 { size + 256 } else { size }
            }
        };
        if window > MAX_WINDOW {
            let mib = MAX_WINDOW >> 20;
            return Err(corrupt_owned(format!(
                "its zstd window is {} MiB, and the limit is {mib} MiB",
                window.div_ceil(1 << 20)
            )));
        }
        if window > SMALL_WINDOW && self.permit.is_none() {
            self.permit = Some(self.with.memory.acquire(self.with.owner)?);
        }
        self.within_frame = true;
        Ok(true)
    }

    fn read_bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}

impl<R: BufRead + Send> Read for Zstd<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within_frame && !self.begin_frame()? {
                return Ok(0);
            }
            let from_header = !self.header.is_empty();
            let input = if from_header { self.header.as_slice() } else { self.input.fill_buf()? };
            let at_end = input.is_empty();
            let status = self
                .decoder
                .run_on_buffers(input, buffer)
                .map_err(|error| corrupt_owned(format!("invalid zstd data: {error}")))?;
            match from_header {
                true => _ = self.header.drain(..status.bytes_read),
                false => self.input.consume(status.bytes_read),
            }
            self.within_frame = status.remaining > 0;
            if at_end && self.within_frame && status.bytes_written == 0 {
                return Err(truncated());
            }
            if status.bytes_written > 0 {
                return Ok(status.bytes_written);
            }
        }
    }
}

fn corrupt_owned(problem: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
