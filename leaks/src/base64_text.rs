//! Base64 in the input: of either alphabet, wrapped at any column, in a string of another format.

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD};
use zeroize::Zeroizing;

use crate::spelling::{self, Steps, is_lead};

/// Longest white space between two characters.
pub(crate) const MAX_GAP: usize = 256;

/// The characters of base64 that depend on `value` alone when `before` (modulo 3) other bytes stand before it, and any
/// after it.
pub(crate) fn determined(value: &[u8], before: usize) -> Zeroizing<Vec<u8>> {
    let text = padded(&STANDARD, value, before);
    let range = (before * 8).div_ceil(6)..(before + value.len()) * 8 / 6;
    Zeroizing::new(text.get(range).unwrap_or_default().to_vec())
}

fn padded(engine: &GeneralPurpose, value: &[u8], before: usize) -> Zeroizing<Vec<u8>> {
    let mut padded = Zeroizing::new(Vec::with_capacity(before + value.len()));
    padded.resize(before, 0);
    padded.extend_from_slice(value);
    Zeroizing::new(engine.encode(&*padded).into_bytes())
}

/// What may follow the [`determined`] characters, after the last of them: the character that the value shares with what
/// comes after it, and the padding, for the value alone and with the line end of a file or of `echo`.
pub(crate) fn endings(value: &[u8], before: usize) -> Vec<Zeroizing<Vec<u8>>> {
    let from = (before + value.len()) * 8 / 6;
    let ending = |line_end: &[u8]| {
        let all = Zeroizing::new([value, line_end].concat());
        let text = padded(&STANDARD, &all, before);
        Zeroizing::new(text.get(from.saturating_sub(1)..).unwrap_or_default().to_vec())
    };
    [&b""[..], b"\n", b"\r\n"].into_iter().map(ending).collect()
}

/// The position after the longest ending at `from` (or `from`), and whether the input ends before that is certain.
pub(crate) fn end(
    endings: &[Zeroizing<Vec<u8>>],
    shared_bits: u32,
    input: &[u8],
    from: usize,
) -> (usize, bool) {
    let mut steps = Steps::default();
    let (mut longest, mut open) = (from, false);
    for ending in endings {
        let characters = ending.iter().take_while(|byte| **byte != b'=').count();
        let mut at = from;
        for index in 1..ending.len() {
            steps.clear();
            self::steps(ending, index, input, at, &mut steps);
            open |= steps.more;
            let next = |steps: &Steps| steps.as_slice().iter().find(|step| step.value > index).copied();
            let mut found = next(&steps);
            if found.is_none()
                && let Some(gap) = steps.as_slice().first().copied()
            {
                // A gap, then the character.
                steps.clear();
                self::steps(ending, index, input, gap.input, &mut steps);
                open |= steps.more;
                found = next(&steps);
            }
            let Some(next) = found else { break };
            at = next.input;
            if index + 1 >= characters {
                longest = longest.max(at);
            }
        }
    }
    if longest == from && shared_bits > 0 {
        // Other bytes follow the value.
        let high_bits = |byte: u8| digit(byte).map(|digit| digit >> (6 - shared_bits));
        let shared = endings.first().and_then(|ending| ending.get(1)).copied().and_then(high_bits);
        if shared.is_some() && input.get(from).copied().and_then(high_bits) == shared {
            longest = from + 1;
        }
    }
    (longest, open)
}

/// Bits of the shared character that the value gives.
pub(crate) fn shared_bits(length: usize, before: usize) -> u32 {
    ((before + length) * 8 % 6) as u32
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// Whether `byte` is a character of base64 (or of hex) without padding.
#[inline]
pub(crate) fn is_digit(byte: u8) -> bool {
    digit(byte).is_some()
}

/// The ways to write the character `byte`.
pub(crate) fn spellings(byte: u8) -> &'static [u8] {
    match byte {
        b'+' => b"+-",
        b'/' => b"/_",
        _ => b"",
    }
}

/// Adds the positions after the character `text[at]` of base64 at `input[from..]`, and after a gap there.
pub(crate) fn steps(text: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
    let Some(&character) = text.get(at) else { return };
    let Some(&first) = input.get(from) else {
        out.more = true;
        return;
    };
    if at > 0 && !is_digit(first) {
        let (end, more) = gap(input, from);
        out.more |= more;
        if end > from {
            out.push(at, end, 0);
        }
    }
    if first == character {
        out.push(at + 1, from + 1, 0);
    } else if !character.is_ascii_alphanumeric() {
        if spellings(character).contains(&first) {
            out.push(at + 1, from + 1, 0);
        } else if is_lead(first) {
            spelled(&[character], at, input, from, out);
        }
    }
}

/// A special character in a spelling of the format around it: `\/`, `%2B`, `\u002b`, `&#61;`.
fn spelled(character: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
    let mut steps = Steps::default();
    spelling::steps(character, 0, input, from, &mut steps);
    out.more |= steps.more;
    steps.as_slice().iter().filter(|step| step.value == 1).for_each(|step| out.push(at + 1, step.input, 0));
}

/// The end of a gap at `from` (or `from`), and whether the input ends within it: white space, or line ends as the format
/// around the text writes them (`\n`, `\` before a line end, `&#10;`, `%0A`, `=` of mail).
pub(crate) fn gap(input: &[u8], from: usize) -> (usize, bool) {
    let mut at = from;
    loop {
        let before = at;
        let rest = input.get(at..).unwrap_or_default();
        let blanks =
            rest.iter().take(MAX_GAP.saturating_sub(at - from)).take_while(|byte| is_blank(**byte)).count();
        at += blanks;
        let Some(&next) = input.get(at) else { return (at, true) };
        if at - from >= MAX_GAP {
            return (at, false);
        }
        match next {
            b'\\' | b'=' if matches!(input.get(at + 1), Some(b'\n')) => at += 2,
            b'=' if matches!(input.get(at + 1..at + 3), Some(b"\r\n")) => at += 3,
            b'\\' | b'%' | b'&' => {
                let mut steps = Steps::default();
                for line_end in [b"\n", b"\r"] {
                    spelling::steps(line_end, 0, input, at, &mut steps);
                }
                if steps.more {
                    return (at, true);
                }
                at = steps.as_slice().iter().map(|step| step.input).max().unwrap_or(at);
            }
            _ => {}
        }
        if at == before {
            return (at, false);
        }
    }
}

pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | b' ' | b'\t')
}

/// Whether a gap may begin at `byte`, which stands after `before`.
pub(crate) fn may_begin_gap(before: Option<u8>, byte: Option<u8>) -> bool {
    before.is_some_and(|byte| !is_blank(byte)) && byte.is_some_and(|byte| is_blank(byte) || is_lead(byte))
}
