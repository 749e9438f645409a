//! Entities of XML and HTML.

use super::{Parsed, Steps, character, marks, number_until, push_code};

/// The names that XML defines.
const NAMES: [(&str, char); 5] = [("amp", '&'), ("lt", '<'), ("gt", '>'), ("quot", '"'), ("apos", '\'')];

/// HTML's names of the characters from U+00A0 to U+00FF, in order (HTML 4.01, 24.2.1). Its names of others are not known.
#[rustfmt::skip]
const LATIN: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo", "not",
    "shy", "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil", "sup1",
    "ordm", "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc", "Atilde", "Auml", "Aring",
    "AElig", "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave", "Iacute", "Icirc", "Iuml", "ETH", "Ntilde",
    "Ograve", "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash", "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute",
    "THORN", "szlig", "agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil", "egrave", "eacute",
    "ecirc", "euml", "igrave", "iacute", "icirc", "iuml", "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde",
    "ouml", "divide", "oslash", "ugrave", "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
];

/// Longest name, and a byte to see that it ends.
const MAX_NAME: usize = 7;

/// The name of `character`.
pub(super) fn name(character: char) -> Option<&'static str> {
    let latin = u32::from(character).checked_sub(0xa0).and_then(|at| LATIN.get(at as usize));
    latin.copied().or_else(|| NAMES.iter().find(|(_, named)| *named == character).map(|(name, _)| *name))
}

/// Most times that one character is encoded.
const MAX_LAYERS: usize = 3;

/// Most digits of a number: leading zeros are allowed.
const MAX_DIGITS: usize = 8;

/// `&amp;`, `&#43;`, `&#x2B;`, `&amp;lt;`. `from` is the position after the `&`.
pub(super) fn steps(value: &[u8], at: usize, input: &[u8], from: usize, out: &mut Steps) {
    let mut from = from;
    for _ in 0..MAX_LAYERS {
        match code(input, from) {
            Parsed::More => out.more = true,
            Parsed::Number(code, end) => {
                push_code(value, at, code, end, marks::ENTITY, out);
                if (0xd800..0xdc00).contains(&code) {
                    low_surrogate(value, at, code, input, end, out);
                }
            }
            Parsed::No => {}
        }
        let rest = input.get(from..).unwrap_or_default();
        let letters = rest.iter().take(MAX_NAME).take_while(|byte| byte.is_ascii_alphanumeric()).count();
        if let Some((character, length)) = character(value, at)
            && let Some(name) = name(character)
            && letters == name.len()
            && rest.starts_with(name.as_bytes())
            && rest.get(letters) == Some(&b';')
        {
            out.push(at + length, from + letters + 1, marks::ENTITY);
        }
        out.more |= letters == rest.len();
        if !rest.starts_with(b"amp;") {
            return;
        }
        from += 4;
    }
}

/// The number in `#43;` or `#x2B;` at `from`.
fn code(input: &[u8], from: usize) -> Parsed {
    match (input.get(from), input.get(from + 1)) {
        (None, _) | (Some(b'#'), None) => Parsed::More,
        (Some(b'#'), Some(b'x' | b'X')) => number_until(input, from + 2, MAX_DIGITS, 16, b';'),
        (Some(b'#'), Some(_)) => number_until(input, from + 1, MAX_DIGITS, 10, b';'),
        (Some(_), _) => Parsed::No,
    }
}

/// `&#xd834;&#xdd1e;`: Java writes a character beyond U+FFFF as two.
fn low_surrogate(value: &[u8], at: usize, high: u32, input: &[u8], from: usize, out: &mut Steps) {
    let Some((character, length)) = character(value, at) else { return };
    let parsed = match input.get(from) {
        None => Parsed::More,
        Some(b'&') => code(input, from + 1),
        Some(_) => Parsed::No,
    };
    match parsed {
        Parsed::More => out.more = true,
        Parsed::Number(low, end) if (0xdc00..0xe000).contains(&low) => {
            if u32::from(character) == 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00) {
                out.push(at + length, end, marks::ENTITY);
            }
        }
        Parsed::Number(..) | Parsed::No => {}
    }
}
