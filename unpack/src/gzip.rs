//! The header and trailer of a gzip member: RFC 1952.

use crate::input::Input;
use crate::limits::MAX_NAME;

pub(crate) const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// CRC and length. They are not compared: a secret is one even where another byte is wrong.
const TRAILER: u64 = 8;

const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// Whether `head` begins with the header of a member. In the middle of other data, where three bytes may be any bytes, the
/// other fields must have values that some compressor writes.
pub(crate) fn is_header(head: &[u8], is_start: bool) -> bool {
    let Some([a, b, c, flags, _, _, _, _, level, system]) = head.get(..10) else { return false };
    let is_usual = matches!(level, 0 | 2 | 4) && matches!(system, 0..=13 | 255);
    [*a, *b, *c] == MAGIC && flags & RESERVED == 0 && (is_start || is_usual)
}

/// Reads a header. `false` if it is cut, or has fields that are too long.
pub(crate) fn read_header(input: &mut dyn Input) -> bool {
    let Some(flags) = input.peek(10).get(3).copied() else { return false };
    if !input.skip(10) {
        return false;
    }
    if flags & EXTRA != 0 {
        let (Some(low), Some(high)) = (input.byte(), input.byte()) else { return false };
        if !input.skip(u16::from_le_bytes([low, high]).into()) {
            return false;
        }
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 && !skip_text(input) {
            return false;
        }
    }
    flags & HEADER_CRC == 0 || input.skip(2)
}

fn skip_text(input: &mut dyn Input) -> bool {
    (0..MAX_NAME).map_while(|_| input.byte()).any(|byte| byte == 0)
}

/// After the data of a member: reads its trailer, and the header of another one if it follows at once.
pub(crate) fn next_member(input: &mut dyn Input) -> bool {
    input.skip(TRAILER) && is_header(input.peek(10), true) && read_header(input)
}
