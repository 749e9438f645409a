//! gzip (RFC 1952): members, one after the other.
//!
//! Not by flate2's own reader, which does not hand over the texts in the members' headers.

use std::io::{self, BufRead, Read};

use flate2::{Crc, Decompress, FlushDecompress, Status};

use super::Unpacking;
use crate::error::{corrupt, truncated};
use crate::limits::MAX_GZIP_TEXT;

/// Flags of a member's header.
const HEADER_CRC: u8 = 1 << 1;
const EXTRA: u8 = 1 << 2;
const NAME: u8 = 1 << 3;
const COMMENT: u8 = 1 << 4;
const RESERVED: u8 = 0b1110_0000;

pub(super) struct Gzip<'s, R> {
    input: R,
    with: Unpacking<'s>,
    inflate: Decompress,
    crc: Crc,
    within_member: bool,
    members: u64,
}

impl<'s, R: BufRead + Send> Gzip<'s, R> {
    pub(super) fn new(input: R, with: Unpacking<'s>) -> Self {
        let inflate = Decompress::new(false);
        Self { input, with, inflate, crc: Crc::new(), within_member: false, members: 0 }
    }

    /// Reads a member's header; `false` at the end of the input.
    fn begin_member(&mut self) -> io::Result<bool> {
        if self.members > 0 && self.input.fill_buf()?.is_empty() {
            return Ok(false);
        }
        let mut fixed = [0; 10];
        self.input.read_exact(&mut fixed)?;
        let [0x1f, 0x8b, 8, flags, ..] = fixed else { return Err(corrupt("invalid gzip header")) };
        if flags & RESERVED != 0 {
            return Err(corrupt("unknown flags in a gzip header"));
        }
        let mut texts = Vec::new();
        if flags & EXTRA != 0 {
            let mut length = [0; 2];
            self.input.read_exact(&mut length)?;
            let length = u16::from_le_bytes(length).into();
            if (&mut self.input).take(length).read_to_end(&mut texts)? as u64 != length {
                return Err(truncated());
            }
        }
        for text in [NAME, COMMENT] {
            if flags & text != 0 {
                texts.push(0);
                (&mut self.input).take(MAX_GZIP_TEXT).read_until(0, &mut texts)?;
                if texts.last() != Some(&0) {
                    return Err(corrupt("a name or comment in a gzip header is too long"));
                }
            }
        }
        if flags & HEADER_CRC != 0 {
            self.input.read_exact(&mut [0; 2])?;
        }
        if !texts.is_empty() {
            (self.with.aside)(&mut texts.as_slice())?;
        }
        if self.members > 0 {
            self.inflate.reset(false);
            self.crc.reset();
        }
        self.members += 1;
        self.within_member = true;
        Ok(true)
    }

    /// Reads what follows a member: its checksum and length.
    fn end_member(&mut self) -> io::Result<()> {
        let mut trailer = [0; 8];
        self.input.read_exact(&mut trailer)?;
        let expected = [self.crc.sum().to_le_bytes(), self.crc.amount().to_le_bytes()].concat();
        if expected != trailer {
            return Err(corrupt("the checksum of the gzip data is wrong"));
        }
        self.within_member = false;
        Ok(())
    }
}

impl<R: BufRead + Send> Read for Gzip<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.within_member && !self.begin_member()? {
                return Ok(0);
            }
            let input = self.input.fill_buf()?;
            let at_end = input.is_empty();
            let (read, written) = (self.inflate.total_in(), self.inflate.total_out());
            let flush = if at_end { FlushDecompress::Finish } else { FlushDecompress::None };
            let status = self.inflate.decompress(input, buffer, flush);
            let status = status.map_err(|_| corrupt("invalid gzip data"))?;
            // No more than the lengths of the two slices, which are usizes.
            let read = usize::try_from(self.inflate.total_in() - read).unwrap_or(usize::MAX);
            let written = usize::try_from(self.inflate.total_out() - written).unwrap_or(usize::MAX);
            self.input.consume(read);
            self.crc.update(buffer.get(..written).unwrap_or_default());
            match status {
                Status::StreamEnd => self.end_member()?,
                Status::Ok | Status::BufError if at_end && written == 0 => return Err(truncated()),
                Status::Ok | Status::BufError => {}
            }
            if written > 0 {
                return Ok(written);
            }
        }
    }
}
