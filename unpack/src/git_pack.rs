//! A git pack: `gitformat-pack(5)`. Each object is a zlib stream. An object that is stored as the difference to another
//! consists of references to the other and of new bytes.
//!
//! The new bytes are searched, in a row. Text of which the beginning is in one version and the rest in a later one is not
//! found in the later: that takes the other object, which may be anywhere in the pack.

use crate::inflate::{Ended, Frame, Inflated};
use crate::input::{Input, Source as _};
use crate::sink::Shared;

/// How the streams of a pack are called.
pub(crate) const NAME: &str = "git pack";

const HEADER: usize = 12;
const OFFSET_DELTA: u8 = 6;
const REFERENCE_DELTA: u8 = 7;

/// Lengths of an object's name: SHA-1, and the rest of SHA-256.
const SHORT_NAME: u64 = 20;
const LONG_NAME_REST: u64 = 12;

/// Number of objects, if `head` begins with the header of a pack.
pub(crate) fn objects(head: &[u8]) -> Option<u32> {
    let [b'P', b'A', b'C', b'K', 0, 0, 0, 2 | 3, count @ ..] = head.first_chunk::<HEADER>()? else {
        return None;
    };
    Some(u32::from_be_bytes(*count))
}

/// Reads the pack at which `input` is, of `count` objects, and calls `search` with each object that is whole. `false` if
/// the pack is not valid.
pub(crate) fn read(
    input: &mut dyn Input,
    count: u32,
    shared: &Shared<'_>,
    depth: usize,
    mut search: impl FnMut(&mut dyn Input) -> Option<Ended>,
) -> bool {
    input.skip(HEADER as u64);
    for _ in 0..count {
        if shared.is_stopped() || input.peek(1).is_empty() {
            return true;
        }
        let Some(kind) = object_kind(input) else { return false };
        let ended = match kind {
            1..=4 => search(input),
            OFFSET_DELTA if varint(input) => search_new_bytes(input, shared, depth),
            REFERENCE_DELTA if skip_name(input) => search_new_bytes(input, shared, depth),
            _ => return false,
        };
        match ended {
            Some(Ended::Whole) => {}
            Some(Ended::Corrupt) => return false,
            // A limit was reached.
            Some(Ended::Stopped) | None => return true,
        }
    }
    true
}

/// Reads the type and the length of an object.
fn object_kind(input: &mut dyn Input) -> Option<u8> {
    let first = input.byte()?;
    if first & 0x80 != 0 && !varint(input) {
        return None;
    }
    Some(first >> 4 & 7)
}

/// Reads a number. Its value does not matter.
fn varint(input: &mut dyn Input) -> bool {
    (0..10).map_while(|_| input.byte()).any(|byte| byte & 0x80 == 0)
}

/// Reads the name of the other object. Nothing in a pack says by which hash names are made.
fn skip_name(input: &mut dyn Input) -> bool {
    input.skip(SHORT_NAME) && (is_zlib(input.peek(2)) || input.skip(LONG_NAME_REST))
}

/// Whether `head` begins with the header of a zlib stream without a dictionary: RFC 1950.
pub(crate) fn is_zlib(head: &[u8]) -> bool {
    let Some([method, flags]) = head.first_chunk() else { return false };
    method & 0x0f == 8
        && method >> 4 <= 7
        && flags & 0x20 == 0
        && u16::from_be_bytes([*method, *flags]) % 31 == 0
}

fn search_new_bytes(input: &mut dyn Input, shared: &Shared<'_>, depth: usize) -> Option<Ended> {
    if !shared.enter(depth, NAME) {
        return None;
    }
    let mut inflated = Inflated::begin(input, shared, Frame::Zlib);
    let mut delta = Delta::default();
    loop {
        let chunk = inflated.chunk();
        if chunk.is_empty() {
            break;
        }
        let length = chunk.len();
        delta.read(chunk, |new| shared.feed(depth + 1, new));
        inflated.consume(length);
    }
    shared.leave();
    Some(inflated.finish())
}

/// Reads a difference, in chunks of any size: two lengths, then instructions.
struct Delta {
    /// Lengths that are not read yet.
    lengths: u8,
    /// Bytes of a copy instruction that are not read yet.
    arguments: u32,
    /// New bytes that follow.
    new: usize,
}

impl Default for Delta {
    fn default() -> Self {
        Self { lengths: 2, arguments: 0, new: 0 }
    }
}

impl Delta {
    fn read(&mut self, mut chunk: &[u8], mut found: impl FnMut(&[u8])) {
        while let Some((&byte, rest)) = chunk.split_first() {
            if self.new > 0 {
                let (new, rest) = chunk.split_at(self.new.min(chunk.len()));
                found(new);
                self.new -= new.len();
                chunk = rest;
                continue;
            }
            chunk = rest;
            if self.lengths > 0 {
                self.lengths -= u8::from(byte & 0x80 == 0);
            } else if self.arguments > 0 {
                self.arguments -= 1;
            } else if byte & 0x80 != 0 {
                self.arguments = (byte & 0x7f).count_ones();
            } else {
                self.new = byte.into();
            }
        }
    }
}
