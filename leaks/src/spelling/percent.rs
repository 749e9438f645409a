//! Percent-encoding of any set of bytes, as in URLs and forms, and the like with `=`, as in mail.

use super::{Parsed, Steps, line_end, marks, number, push_code};

/// Most times that one byte is percent-encoded.
const MAX_LAYERS: usize = 3;

/// `%2f`, `%252F`, `%u002f` of old JavaScript, and the doubled `%%` of formats and batch files.
pub(super) fn steps(value: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
    let Some(&byte) = value.get(at) else { return };
    match input.get(from + 1) {
        None => out.more = true,
        Some(b'%') if byte == b'%' => out.push(at + 1, from + 2, marks::SHELL),
        Some(b'u') => match number(input, from + 2, 4, 16) {
            Parsed::More => out.more = true,
            Parsed::Number(code, end) => push_code(value, at, code, end, marks::PERCENT, out),
            Parsed::No => {}
        },
        Some(_) => {}
    }
    let mut digits = from + 1;
    for _ in 0..MAX_LAYERS {
        match number(input, digits, 2, 16) {
            Parsed::More => out.more = true,
            Parsed::Number(code, end) => {
                if code == u32::from(byte) {
                    out.push(at + 1, end, marks::PERCENT);
                }
                if code == u32::from(b'%') {
                    digits = end;
                    continue;
                }
            }
            Parsed::No => {}
        }
        return;
    }
}

/// `=2F`, and `=` at the end of a line that goes on in the next one (RFC 2045, 6.7).
pub(super) fn quoted_printable(value: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
    let Some(&byte) = value.get(at) else { return };
    let (line, more) = line_end(input, from + 1);
    if byte != b'=' {
        out.more |= more;
        if let Some(line) = line {
            out.push(at, line, marks::PERCENT);
        }
    } else if let Some(line) = line
        && input.get(line..).is_some_and(|next| next.starts_with(b"=3D"))
    {
        // Many values end in `=`, and so does their line. What comes next is not waited for.
        out.push(at + 1, line + 3, marks::PERCENT);
    }
    match number(input, from + 1, 2, 16) {
        Parsed::More => out.more = true,
        Parsed::Number(code, end) if u32::from(byte) == code => out.push(at + 1, end, marks::PERCENT),
        Parsed::Number(..) | Parsed::No => {}
    }
}
