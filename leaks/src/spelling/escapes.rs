//! Escapes with backslashes: strings of JSON, JavaScript, Java, C, Python; `$'…'` of shells; `\` before anything special.

use super::{Parsed, Steps, character, entities, marks, number, number_until, push_code, skip_blanks};

/// Backslashes before an escape: one for each layer of escaping, or all of them doubled by the layers around it.
const RUNS: [usize; 5] = [1, 2, 3, 4, 7];

/// Backslashes that stand for one.
const DOUBLED: [usize; 3] = [2, 4, 8];

/// Length of the run of backslashes at `from`, up to nine.
pub(super) fn run(input: &[u8], from: usize) -> usize {
    input.get(from..).unwrap_or_default().iter().take(9).take_while(|byte| **byte == b'\\').count()
}

pub(super) fn steps(value: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
    let Some(&byte) = value.get(at) else { return };
    let run = run(input, from);
    if byte == b'\\' {
        let doubled = DOUBLED.into_iter().filter(|length| *length <= run);
        doubled.for_each(|length| out.push(at + 1, from + length, marks::BACKSLASH));
    }
    let Some(&escape) = input.get(from + run) else {
        out.more = true;
        return;
    };
    if !RUNS.contains(&run) {
        return;
    }
    let after = from + run + 1;
    if escape == byte && !byte.is_ascii_alphanumeric() {
        let is_json = matches!(byte, b'"' | b'/');
        out.push(at + 1, after, if is_json { marks::BACKSLASH } else { marks::SHELL });
    }
    if letter(byte).contains(&escape) {
        out.push(at + 1, after, marks::BACKSLASH);
    }
    if escape == b'\'' && byte == escape && input.get(after) == Some(&b'\'') {
        // Between quotes, which zsh opens only where it has to.
        out.push(at + 1, after + 1, marks::SHELL);
    }
    match escape {
        b'\n' => next_line(at, input, after, out),
        b'n' if byte == b'\n' => continuation(at, input, after, out),
        b'r' if byte == b'\n' => windows_line_end(at, input, after, out),
        b'x' => hexadecimal(value, at, input, after, 2, out),
        b'u' => unicode(value, at, input, after, out),
        b'U' => hexadecimal(value, at, input, after, 8, out),
        b'0'..=b'3' => octal(byte, at, input, after - 1, out),
        _ => {}
    }
}

/// The letters that stand for `byte` after a backslash.
fn letter(byte: u8) -> &'static [u8] {
    match byte {
        b'\n' => b"n",
        b'\r' => b"r",
        b'\t' => b"t",
        0x07 => b"a",
        0x08 => b"b",
        0x0b => b"v",
        0x0c => b"f",
        0x1b => b"eE",
        0 => b"0",
        _ => b"",
    }
}

/// A string goes on in the next line: `\`, a line end, and in YAML blanks.
fn next_line(at: usize, input: &[u8], after: usize, out: &mut Steps) {
    let text = skip_blanks(input, after);
    out.more |= text == input.len();
    out.push(at, text, marks::BACKSLASH);
    if text > after {
        out.push(at, after, marks::BACKSLASH);
    }
}

/// A string of YAML goes on in the next line: `\n\`, a line end, blanks.
fn continuation(at: usize, input: &[u8], after: usize, out: &mut Steps) {
    match (input.get(after), input.get(after + 1)) {
        (None, _) | (Some(b'\\'), None) => out.more = true,
        (Some(b'\\'), Some(b'\n')) => {
            let text = skip_blanks(input, after + 2);
            out.more |= text == input.len();
            out.push(at + 1, text, marks::BACKSLASH);
            // A backslash protects a blank at the start of the line.
            if input.get(text) == Some(&b'\\') && input.get(text + 1) == Some(&b' ') {
                out.push(at + 1, text + 1, marks::BACKSLASH);
            }
        }
        _ => {}
    }
}

/// `\r\n` for a line end of Unix.
fn windows_line_end(at: usize, input: &[u8], after: usize, out: &mut Steps) {
    let run = run(input, after);
    match input.get(after + run) {
        None => out.more = true,
        Some(b'n') if run > 0 => out.push(at + 1, after + run + 1, marks::BACKSLASH),
        Some(_) => {}
    }
}

/// `\x2f`, `\x{2f}`: a byte, or a character of Latin-1, and `\U0001f600`.
fn hexadecimal(value: &[u8], at: usize, input: &[u8], digits: usize, most: usize, out: &mut Steps) {
    let parsed = match input.get(digits) {
        None => Parsed::More,
        Some(b'{') => number_until(input, digits + 1, 6, 16, b'}'),
        Some(_) => number(input, digits, most, 16),
    };
    match parsed {
        Parsed::No => {}
        Parsed::More => out.more = true,
        Parsed::Number(code, end) => {
            if value.get(at).is_some_and(|byte| !byte.is_ascii() && u32::from(*byte) == code) {
                out.push(at + 1, end, marks::BACKSLASH);
            }
            push_code(value, at, code, end, marks::BACKSLASH, out);
        }
    }
}

/// `\u002f`, `\ud83d\ude00`, `\u{1f600}`, and an entity with an escaped `&`.
fn unicode(value: &[u8], at: usize, input: &[u8], digits: usize, out: &mut Steps) {
    let parsed = match input.get(digits) {
        None => Parsed::More,
        Some(b'{') => number_until(input, digits + 1, 6, 16, b'}'),
        Some(_) => number(input, digits, 4, 16),
    };
    match parsed {
        Parsed::No => {}
        Parsed::More => out.more = true,
        Parsed::Number(code, end) => {
            push_code(value, at, code, end, marks::BACKSLASH, out);
            if code == u32::from(b'&') {
                entities::steps(value, at, input, end, out);
            }
            if (0xd800..0xdc00).contains(&code) {
                low_surrogate(value, at, code, input, end, out);
            }
        }
    }
}

fn low_surrogate(value: &[u8], at: usize, high: u32, input: &[u8], from: usize, out: &mut Steps) {
    let Some((character, length)) = character(value, at) else { return };
    let run = run(input, from);
    match input.get(from + run) {
        None => out.more = true,
        Some(b'u') if run > 0 => match number(input, from + run + 1, 4, 16) {
            Parsed::More => out.more = true,
            Parsed::Number(low, end) if (0xdc00..0xe000).contains(&low) => {
                if u32::from(character) == 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00) {
                    out.push(at + length, end, marks::BACKSLASH);
                }
            }
            Parsed::Number(..) | Parsed::No => {}
        },
        Some(_) => {}
    }
}

/// `\057`, and `\0057` as for `echo` and `printf %b`.
fn octal(byte: u8, at: usize, input: &[u8], digits: usize, out: &mut Steps) {
    for from in [digits, digits + 1] {
        match number(input, from, 3, 8) {
            Parsed::No => {}
            Parsed::More => out.more = true,
            Parsed::Number(code, end) if code == u32::from(byte) => out.push(at + 1, end, marks::BACKSLASH),
            Parsed::Number(..) => {}
        }
        if input.get(digits) != Some(&b'0') {
            return;
        }
    }
}
