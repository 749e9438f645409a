//! The ways in which tools spell one byte or character of a value in text: as it is, percent-encoded, escaped with
//! backslashes, as an XML entity, quoted by a shell.
//!
//! Any mixture of them is accepted, each byte in a spelling of its own, and up to three layers of the same kind
//! (JSON in JSON, `%252F`), because tools write them and the text still decodes to the value. Only letters and digits
//! of ASCII have a single spelling in nearly all text.

mod entities;
mod escapes;
mod percent;
mod shell;
pub(crate) mod written;

/// Kinds of spelling that a match uses, as a bit set.
pub(crate) mod marks {
    pub(crate) const PERCENT: u8 = 1;
    pub(crate) const ENTITY: u8 = 2;
    pub(crate) const SHELL: u8 = 8;
    pub(crate) const BACKSLASH: u8 = 4;
}

/// Longest white space at the start of a line that is skipped after a line end.
pub(crate) const MAX_INDENT: usize = 128;

/// Longest spelling of one byte or character, without indentation: `\\\\ud83d\\\\ude00` and more.
pub(crate) const MAX_TOKEN: usize = 24;

/// A position in the value and one in the input, up to which both agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) value: usize,
    pub(crate) input: usize,
    pub(crate) marks: u8,
}

/// The positions that can be reached from one.
#[derive(Default)]
pub(crate) struct Steps {
    next: Vec<Step>,
    /// The input ends where a spelling may continue.
    pub(crate) more: bool,
}

impl Steps {
    pub(crate) fn clear(&mut self) {
        self.next.clear();
        self.more = false;
    }

    pub(crate) fn push(&mut self, value: usize, input: usize, marks: u8) {
        self.next.push(Step { value, input, marks });
    }

    pub(crate) fn as_slice(&self) -> &[Step] {
        &self.next
    }
}

/// A number read from the input.
pub(crate) enum Parsed {
    No,
    /// The input ends before it does.
    More,
    Number(u32, usize),
}

/// Adds the positions after every spelling of `value[at..]`'s first byte or character at `input[from..]`.
pub(crate) fn steps(value: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
    let Some(&byte) = value.get(at) else { return };
    let Some(&first) = input.get(from) else {
        out.more = true;
        return;
    };
    if first == byte {
        out.push(at + 1, from + 1, 0);
    }
    match first {
        b'\\' => {
            escapes::steps(value, at, input, from, out);
            shell::joins(value, at, input, from, out);
        }
        b'%' => percent::steps(value, at, input, from, out),
        b'=' => percent::quoted_printable(value, at, input, from, out),
        b'+' if byte == b' ' => out.push(at + 1, from + 1, marks::PERCENT),
        b'&' => entities::steps(value, at, input, from + 1, out),
        b'\'' | b'"' => {
            shell::quotes(value, at, input, from, out);
            shell::joins(value, at, input, from, out);
        }
        b'$' | b'`' | b'^' | b'{' | b'}' => shell::specials(value, at, input, from, out),
        b'\n' | b'\r' => lines(value, at, input, from, out),
        _ => {}
    }
    // A line end of Windows that the tool wrote as one of Unix.
    if byte == b'\r' && value.get(at + 1) == Some(&b'\n') {
        out.push(at + 1, from, 0);
    }
}

/// Whether a spelling other than the byte itself may begin with `byte`.
#[inline]
pub(crate) fn is_lead(byte: u8) -> bool {
    matches!(
        byte,
        b'\\' | b'%' | b'=' | b'+' | b'&' | b'\'' | b'"' | b'$' | b'`' | b'^' | b'{' | b'}' | b'\n' | b'\r'
    )
}

/// Whether `byte` has spellings other than itself only where a tool escapes everything.
#[inline]
pub(crate) fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

/// Line ends: of Unix or Windows, indented (a block of YAML), doubled (a quoted string of YAML), or in place of a space
/// (a folded string of YAML).
fn lines(value: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
    let Some(&byte) = value.get(at) else { return };
    if !matches!(byte, b'\n' | b' ') {
        return;
    }
    let mut end = from;
    for _ in 0..2 {
        let (next, more) = line_end(input, end);
        out.more |= more;
        let Some(next) = next else { break };
        end = next;
        if byte == b'\n' && (end > from + 1 || input.get(from) == Some(&b'\r')) {
            out.push(at + 1, end, 0);
        }
        let text = skip_blanks(input, end);
        out.more |= text == input.len();
        if text > end {
            out.push(at + 1, text, 0);
        }
    }
}

/// The position after a line end at `from`, and whether the input ends within it.
fn line_end(input: &[u8], from: usize) -> (Option<usize>, bool) {
    match (input.get(from), input.get(from + 1)) {
        (Some(b'\n'), _) => (Some(from + 1), false),
        (Some(b'\r'), Some(b'\n')) => (Some(from + 2), false),
        (None, _) | (Some(b'\r'), None) => (None, true),
        _ => (None, false),
    }
}

pub(super) fn skip_blanks(input: &[u8], from: usize) -> usize {
    let rest = input.get(from..).unwrap_or_default();
    let blanks = rest.iter().take(MAX_INDENT).take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    from + blanks
}

/// The character at `value[at..]`, and its length. A byte that is not UTF-8 counts as one.
pub(crate) fn character(value: &[u8], at: usize) -> Option<(char, usize)> {
    let first = *value.get(at)?;
    let length = match first {
        0..0x80 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
        _ => return None,
    };
    let text = std::str::from_utf8(value.get(at..at + length)?).ok()?;
    Some((text.chars().next()?, length))
}

/// `digits` digits of `radix` at `from`.
fn number(input: &[u8], from: usize, digits: usize, radix: u32) -> Parsed {
    let mut all = 0u32;
    for at in from..from + digits {
        let Some(byte) = input.get(at) else { return Parsed::More };
        let Some(digit) = char::from(*byte).to_digit(radix) else { return Parsed::No };
        all = all.saturating_mul(radix).saturating_add(digit);
    }
    Parsed::Number(all, from + digits)
}

/// Between one and `most` digits at `from`, then `end`.
fn number_until(input: &[u8], from: usize, most: usize, radix: u32, end: u8) -> Parsed {
    let rest = input.get(from..).unwrap_or_default();
    let is_digit = |byte: &&u8| char::from(**byte).is_digit(radix);
    let digits = rest.iter().take(most).take_while(is_digit).count();
    match (rest.get(digits), number(input, from, digits, radix)) {
        (None, _) => Parsed::More,
        (Some(byte), Parsed::Number(all, after)) if *byte == end && digits > 0 => {
            Parsed::Number(all, after + 1)
        }
        _ => Parsed::No,
    }
}

/// Adds the position after `end` if `number` is the byte, or the code point of the character, at `value[at..]`.
fn push_code(value: &[u8], at: usize, code: u32, end: usize, marks: u8, out: &mut Steps) {
    if let Some((character, length)) = character(value, at)
        && u32::from(character) == code
    {
        out.push(at + length, end, marks);
    }
}
