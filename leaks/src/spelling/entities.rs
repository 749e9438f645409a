//! Entities of XML and HTML.

use super::{Parsed, Steps, marks, number_until, push_code};

/// The names that XML defines. HTML's names of other characters are not known.
const NAMES: [(&[u8], u8); 5] =
    [(b"amp;", b'&'), (b"lt;", b'<'), (b"gt;", b'>'), (b"quot;", b'"'), (b"apos;", b'\'')];

/// Most times that one character is encoded.
const MAX_LAYERS: usize = 3;

/// Most digits of a number: leading zeros are allowed.
const MAX_DIGITS: usize = 8;

/// `&amp;`, `&#43;`, `&#x2B;`, `&amp;lt;`. `from` is the position after the `&`.
pub(super) fn steps(value: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
    let Some(&byte) = value.get(at) else { return };
    let mut from = from;
    for _ in 0..MAX_LAYERS {
        let parsed = match (input.get(from), input.get(from + 1)) {
            (None, _) | (Some(b'#'), None) => Parsed::More,
            (Some(b'#'), Some(b'x' | b'X')) => number_until(input, from + 2, MAX_DIGITS, 16, b';'),
            (Some(b'#'), Some(_)) => number_until(input, from + 1, MAX_DIGITS, 10, b';'),
            (Some(_), _) => Parsed::No,
        };
        match parsed {
            Parsed::More => out.more = true,
            Parsed::Number(code, end) => push_code(value, at, code, end, marks::ENTITY, out),
            Parsed::No => {}
        }
        let rest = input.get(from..).unwrap_or_default();
        for (name, character) in NAMES {
            if rest.starts_with(name) && character == byte {
                out.push(at + 1, from + name.len(), marks::ENTITY);
            }
            out.more |= rest.len() < name.len() && name.starts_with(rest);
        }
        if !rest.starts_with(b"amp;") {
            return;
        }
        from += 4;
    }
}
