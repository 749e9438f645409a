//! Recognises what is compressed in a stream, and reads it.

use std::io::{self, BufRead};

use crate::inflate::{Ended, Frame, Inflated};
use crate::input::{Fed, File, Input, Source};
use crate::limits::Budget;
use crate::sink::{Shared, Sink, Skipped};
use crate::{git_pack, gzip, tar, zip};

/// Files in formats that are not unpacked: xz, zstd, lz4, 7z, rar, compress, lzip.
const UNSUPPORTED: [&[u8]; 7] = [
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",
    b"\x04\x22\x4d\x18",
    b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
    b"\x1f\x9d\x90",
    b"LZIP\x01",
];

/// bzip2 has a level between its magic numbers.
const BZIP2: (&[u8], &[u8]) = (b"BZh", b"1AY&SY");

/// Bytes by which the start of a file is recognised.
const START: usize = 16;

/// Reads `input` to its end, and calls `sink` with its bytes and with all that is compressed in it.
///
/// # Errors
/// The input's. What `sink` received until then is valid.
pub fn search(input: &mut dyn BufRead, sink: &mut dyn Sink, budget: &Budget) -> io::Result<Skipped> {
    let shared = Shared::new(sink, budget);
    let mut file = File { input, shared: &shared, is_ended: false };
    Stream::new(&mut file, &shared, 0).read();
    shared.result()
}

/// One stream: the file, or what was unpacked from it.
struct Stream<'a, 's> {
    input: Fed<'a, 's>,
    shared: &'a Shared<'s>,
    depth: usize,
    /// In a tar archive: where the next header is.
    next_header: Option<u64>,
    /// The stored zip entry in which the input is, and where it ends.
    stored: Option<(String, u64)>,
}

impl<'a, 's> Stream<'a, 's> {
    fn new(source: &'a mut dyn Source, shared: &'a Shared<'s>, depth: usize) -> Self {
        Self { input: Fed::new(source, shared, depth), shared, depth, next_header: None, stored: None }
    }

    fn read(mut self) {
        self.next_header = Some(0);
        self.read_tar_header();
        if self.input.position() == 0 {
            self.read_start();
        }
        loop {
            self.read_tar_header();
            let to_header = self.next_header.map(|at| at.saturating_sub(self.input.position()));
            let chunk = self.input.chunk();
            if chunk.is_empty() {
                return;
            }
            let limit = to_header.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
            let chunk = chunk.get(..limit).unwrap_or(chunk);
            match magic(chunk) {
                None => {
                    let length = chunk.len();
                    self.input.consume(length);
                }
                Some(at) => {
                    self.input.consume(at);
                    self.read_member();
                }
            }
        }
    }

    /// Reads the tar headers at which the input is, if any, and the start of the file that follows.
    fn read_tar_header(&mut self) {
        while let Some(at) = self.next_header
            && self.input.position() >= at
        {
            self.next_header = None;
            if self.input.position() == at
                && let Some(length) = tar::next_header(self.input.peek(tar::HEADER))
            {
                self.next_header = Some(at.saturating_add(length));
                self.input.skip(tar::HEADER as u64);
                if length > tar::HEADER as u64 {
                    self.read_start();
                }
            }
        }
    }

    /// Reads what is only recognised at the start of a file.
    fn read_start(&mut self) {
        let head = self.input.peek(START);
        if gzip::is_header(head, true) {
            self.read_gzip(true);
        } else if let Some(count) = git_pack::objects(head) {
            let (shared, depth) = (self.shared, self.depth);
            let name = self.name(git_pack::NAME);
            let search = |input: &mut dyn Input| unpack(input, shared, depth, &name, Frame::Zlib);
            if !git_pack::read(&mut self.input, count, shared, depth, search) {
                shared.skip(|skipped| skipped.corrupt += 1);
            }
        } else if git_pack::is_zlib(head) {
            // Two bytes may be any bytes, so nothing is missing if it is none.
            let name = self.name("zlib");
            unpack(&mut self.input, self.shared, self.depth, &name, Frame::Zlib);
        } else if UNSUPPORTED.iter().any(|magic| head.starts_with(magic))
            || head
                .strip_prefix(BZIP2.0)
                .and_then(|rest| rest.get(1..))
                .is_some_and(|rest| rest.starts_with(BZIP2.1))
        {
            self.shared.skip(|skipped| skipped.unsupported += 1);
        }
    }

    /// Reads the gzip member or zip entry that may be at the input, or one byte.
    fn read_member(&mut self) {
        if gzip::is_header(self.input.peek(10), false) {
            return self.read_gzip(false);
        }
        let Some(zip::Entry { name, content }) = zip::read_header(&mut self.input) else {
            self.input.skip(1);
            return;
        };
        self.stored = None;
        match content {
            zip::Content::Empty => {}
            zip::Content::Stored(length) => {
                self.stored = Some((name, self.input.position().saturating_add(length)));
                self.read_start();
            }
            zip::Content::Deflated => {
                let name = format!("zip entry {name}");
                if unpack(&mut self.input, self.shared, self.depth, &name, Frame::None)
                    == Some(Ended::Corrupt)
                {
                    self.shared.skip(|skipped| skipped.corrupt += 1);
                }
            }
            zip::Content::Encrypted => self.shared.skip(|skipped| skipped.encrypted += 1),
            zip::Content::Unsupported => self.shared.skip(|skipped| skipped.unsupported += 1),
        }
    }

    fn read_gzip(&mut self, is_start: bool) {
        let name = self.name("gzip");
        if gzip::read_header(&mut self.input)
            && unpack(&mut self.input, self.shared, self.depth, &name, Frame::Gzip) == Some(Ended::Corrupt)
            && is_start
        {
            self.shared.skip(|skipped| skipped.corrupt += 1);
        }
    }

    /// `packed`, with the stored zip entry that contains it.
    fn name(&self, packed: &str) -> String {
        match &self.stored {
            Some((entry, end)) if self.input.position() < *end => format!("zip entry {entry}, {packed}"),
            _ => packed.to_owned(),
        }
    }
}

/// Reads the packed stream at which `input` is. `None` if a limit does not let it begin.
fn unpack(
    input: &mut dyn Input,
    shared: &Shared<'_>,
    depth: usize,
    name: &str,
    frame: Frame,
) -> Option<Ended> {
    if !shared.enter(depth, name) {
        return None;
    }
    let mut inflated = Inflated::begin(input, shared, frame);
    Stream::new(&mut inflated, shared, depth + 1).read();
    let ended = inflated.finish();
    shared.leave();
    Some(ended)
}

/// Where a gzip member or a zip entry may begin in `chunk`. At its end the first bytes are enough.
fn magic(chunk: &[u8]) -> Option<usize> {
    const BLOCK: usize = 256;
    let mut at = 0;
    loop {
        if let (Some(first), Some(second)) = (chunk.get(at..at + BLOCK), chunk.get(at + 1..at + 1 + BLOCK)) {
            let found = has_pair(first, second);
            if !found {
                at += BLOCK;
                continue;
            }
        }
        let rest = chunk.get(at..)?;
        let block = rest.get(..BLOCK).unwrap_or(rest);
        let may_begin = |offset: &usize| {
            let rest = rest.get(*offset..).unwrap_or_default();
            let begins = |magic: &[u8]| rest.iter().zip(magic).all(|(byte, expected)| byte == expected);
            begins(&gzip::MAGIC) || begins(&zip::MAGIC)
        };
        if let Some(offset) = (0..block.len()).find(may_begin) {
            return Some(at + offset);
        }
        if block.len() < BLOCK {
            return None;
        }
        at += BLOCK;
    }
}

/// Whether the first two bytes of a magic number are at the same place of `first` and `second`. Eight at a time by hand:
/// optimised for size, the linker does not use vector instructions, and a byte at a time takes longer than the search for
/// secrets.
fn has_pair(first: &[u8], second: &[u8]) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    const GZIP: (u64, u64) = (ONES * 0x1f, ONES * 0x8b);
    const ZIP: (u64, u64) = (ONES * b'P' as u64, ONES * b'K' as u64);
    let words = |bytes| <[u8]>::as_chunks::<8>(bytes).0.iter().map(|word| u64::from_ne_bytes(*word));
    // Not 0 if and only if a byte is 0.
    let has_zero = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let found = words(first).zip(words(second)).fold(0, |found, (first, second)| {
        let gzip = (first ^ GZIP.0) | (second ^ GZIP.1);
        let zip = (first ^ ZIP.0) | (second ^ ZIP.1);
        found | has_zero(gzip) | has_zero(zip)
    });
    found != 0
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, reason = "a failed test is what an index beyond the end is")]
mod tests;
