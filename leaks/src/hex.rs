//! Hexadecimal digits in the input, of either case, with separators or in lines.

use zeroize::Zeroizing;

use crate::base64_text::{gap, is_blank};
use crate::spelling::Steps;

/// Longest text between two bytes.
pub(crate) const MAX_GAP: usize = 96;

/// What tools write between bytes. Each is searched for as an anchor too.
pub(crate) const SEPARATORS: [&str; 7] = ["", ":", " ", "-", ",", ", 0x", ",0x"];

/// `bytes` as tools write them: with the separator of that index, or in groups of two bytes as `xxd` has them, with one or
/// two bytes first; with each character whether the bytes give it.
pub(crate) fn written(bytes: &[u8], style: usize, upper: bool) -> (Zeroizing<Vec<u8>>, Vec<bool>) {
    let mut text = Zeroizing::new(Vec::with_capacity(64));
    let mut informative = Vec::with_capacity(64);
    for (index, byte) in bytes.iter().enumerate() {
        let separator = match SEPARATORS.get(style) {
            Some(separator) => separator,
            None if (index + style).is_multiple_of(2) => " ",
            None => "",
        };
        if index > 0 {
            text.extend_from_slice(separator.as_bytes());
            informative.resize(text.len(), false);
        }
        let digits = Zeroizing::new(if upper { format!("{byte:02X}") } else { format!("{byte:02x}") });
        text.extend_from_slice(digits.as_bytes());
        informative.resize(text.len(), true);
    }
    (text, informative)
}

/// Adds the position after the two digits of `value[at]` at `input[from..]`, and after what separates them from the byte
/// before.
pub(crate) fn steps(value: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
    let Some(&byte) = value.get(at) else { return };
    let digit = |at: usize| input.get(at).map(|byte| char::from(*byte).to_digit(16));
    match (digit(from), digit(from + 1)) {
        (Some(Some(high)), Some(Some(low))) => {
            if high << 4 | low == u32::from(byte) {
                out.push(at + 1, from + 2, 0);
            }
            return;
        }
        (None, _) => out.more = true,
        (Some(Some(high)), None) if high == u32::from(byte >> 4) || high == 0 => out.more = true,
        _ => {}
    }
    if at > 0 {
        match separator(input, from) {
            Some(end) if end > from => out.push(at, end, 0),
            Some(_) => {}
            None => out.more = true,
        }
    }
}

/// The end of what separates two bytes at `from`; `None` if the input ends within it.
fn separator(input: &[u8], from: usize) -> Option<usize> {
    if let Some(end) = column_break(input, from)? {
        return Some(end);
    }
    let mut at = blanks(input, from)?;
    if matches!(input.get(at)?, b':' | b'-' | b',' | b';') {
        at = blanks(input, at + 1)?;
    }
    while input.get(at)? == &b'\\' && at - from < MAX_GAP {
        at += 1;
    }
    match input.get(at)? {
        b'x' | b'%' => at += 1,
        b'0' if matches!(input.get(at + 1)?, b'x' | b'X') => at += 2,
        _ => {}
    }
    Some(at)
}

/// White space, and line ends as a string of another format has them.
fn blanks(input: &[u8], from: usize) -> Option<usize> {
    match input.get(from)? {
        byte if is_blank(*byte) || matches!(byte, b'\\' | b'=') => match gap(input, from) {
            (_, true) => None,
            (end, false) if end - from > MAX_GAP / 2 => Some(from),
            (end, false) => Some(end),
        },
        _ => Some(from),
    }
}

/// The end of a line of `xxd` or `hexdump -C`, which shows the bytes as text too, and of the offset of the next; `None` if
/// the input ends within them.
#[expect(clippy::option_option, reason = "what is not there differs from what is not there yet")]
fn column_break(input: &[u8], from: usize) -> Option<Option<usize>> {
    const LONGEST: usize = 24;
    let rest = input.get(from..(from + MAX_GAP).min(input.len())).unwrap_or_default();
    if !rest.starts_with(b"  ") {
        return Some(None);
    }
    let Some(line_end) = rest.iter().take(LONGEST).position(|byte| *byte == b'\n') else {
        return (rest.len() >= LONGEST).then_some(None);
    };
    let next = rest.get(line_end + 1..).unwrap_or_default();
    let digits = next.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits > 8 || (digits < 7 && digits < next.len()) {
        return Some(None);
    }
    let after = next.get(digits..).unwrap_or_default();
    let colon = usize::from(after.first() == Some(&b':'));
    let blanks = after.get(colon..)?.iter().take_while(|byte| **byte == b' ').count();
    if colon + blanks == after.len() {
        return None;
    }
    Some((1..3).contains(&blanks).then_some(from + line_end + 1 + digits + colon + blanks))
}

/// Whether a separator may begin after `before`.
pub(crate) fn may_begin(before: Option<u8>) -> bool {
    before.is_some_and(|byte| byte.is_ascii_hexdigit())
}

/// The end of the text that `xxd` and `hexdump -C` show beside the digits that end at `from`, up to the last of them that
/// are `value`'s (or `from`), and whether the input ends before that is certain.
pub(crate) fn end(value: &[u8], input: &[u8], from: usize) -> (usize, bool) {
    let rest = input.get(from..).unwrap_or_default();
    let blanks = rest.iter().take(64).take_while(|byte| **byte == b' ').count();
    if blanks < 2 && blanks < rest.len() {
        return (from, false);
    }
    let column = rest.get(blanks..).unwrap_or_default();
    let Some(length) = column.iter().take(20).position(|byte| *byte == b'\n') else {
        return (from, column.len() < 20);
    };
    let shown = |byte: &u8| if (b' '..0x7f).contains(byte) { *byte } else { b'.' };
    let last: Zeroizing<Vec<u8>> =
        Zeroizing::new(value.iter().skip(value.len().saturating_sub(16)).map(shown).collect());
    let text = column.get(..length).unwrap_or_default();
    let ends = (0..last.len()).find_map(|skipped| {
        let tail = last.get(skipped..)?;
        text.windows(tail.len()).position(|window| window == tail).map(|at| at + tail.len())
    });
    (ends.map_or(from, |end| from + blanks + end), false)
}
