//! The spellings that tools write, made rather than read: the anchors of values without a run of letters and digits.

use zeroize::Zeroizing;

use super::{character, entities};

type Text = Zeroizing<Vec<u8>>;

/// The spellings of `value[at..]`'s first byte or character, and how many bytes of the value each stands for.
pub(crate) fn of(value: &[u8], at: usize) -> Vec<(Text, usize)> {
    let Some(&byte) = value.get(at) else { return Vec::new() };
    let mut all = Vec::new();
    let mut add = |text: &[u8], units: usize| all.push((Zeroizing::new(text.to_vec()), units));
    add(&[byte], 1);
    for text in bytewise(byte) {
        add(&text, 1);
    }
    if byte.is_ascii() {
        backslashed(byte, &mut |text| add(text, 1));
        doubled(byte, &mut |text| add(text, 1));
    } else {
        add(&[b'\\', byte], 1);
    }
    if let Some((character, length)) = character(value, at) {
        for text in coded(character) {
            add(&text, length);
        }
        if let Some(name) = entities::name(character) {
            add(format!("&{name};").as_bytes(), length);
            add(format!("&amp;{name};").as_bytes(), length);
        }
    }
    if byte == b'\n' {
        for blank in [b"\n ", b"\n\t", b"\n\n", b"\r\n"] {
            add(blank, 1);
        }
        for blanks in 2..8 {
            add(&[b"\n", vec![b' '; blanks].as_slice()].concat(), 1);
        }
        add(b"\r\n ", 1);
    }
    if byte == b' ' {
        for text in [b"+".as_slice(), b"\n ", b"\n  ", b"\n   ", b"\n    ", b"\n     ", b"\n      "] {
            add(text, 1);
        }
    }
    // Where a shell changes the quotes.
    if is_turn(byte)
        || at.checked_sub(1).and_then(|before| value.get(before)).is_some_and(|byte| is_turn(*byte))
    {
        let plain: Vec<(Text, usize)> = all.clone();
        for join in [b"'\"".as_slice(), b"\"'", b"'$'", b"''"] {
            for (text, units) in &plain {
                all.push((Zeroizing::new([join, text].concat()), *units));
            }
        }
    }
    all
}

fn is_turn(byte: u8) -> bool {
    b"'\"\\!$`".contains(&byte) || byte.is_ascii_control() || !byte.is_ascii()
}

/// The spellings of a special character of base64.
pub(crate) fn of_base64(byte: u8) -> Vec<(Text, usize)> {
    let plain = crate::base64_text::spellings(byte).iter().map(|byte| vec![*byte]);
    let escaped = match byte {
        b'+' => vec!["%2B", "%2b", "\\u002B", "\\u002b", "&#43;", "&#x2B;"],
        b'/' => vec!["%2F", "%2f", "\\/", "\\\\/", "\\\\\\/", "\\u002F", "\\u002f", "&#47;"],
        _ => vec![],
    };
    plain
        .chain(escaped.into_iter().map(|text| text.as_bytes().to_vec()))
        .map(|text| (Zeroizing::new(text), 1))
        .collect()
}

/// Escapes of a byte, whatever its character is.
fn bytewise(byte: u8) -> [Vec<u8>; 10] {
    [
        format!("%{byte:02X}"),
        format!("%{byte:02x}"),
        format!("%25{byte:02X}"),
        format!("={byte:02X}"),
        format!("\\x{byte:02x}"),
        format!("\\x{byte:02X}"),
        format!("\\\\x{byte:02x}"),
        format!("\\{byte:03o}"),
        format!("\\\\{byte:03o}"),
        format!("\\0{byte:03o}"),
    ]
    .map(String::into_bytes)
}

/// Escapes of a character.
fn coded(character: char) -> Vec<Vec<u8>> {
    let code = u32::from(character);
    let mut all = vec![
        format!("&#{code};"),
        format!("&#0{code};"),
        format!("&amp;#{code};"),
        format!("&#x{code:x};"),
        format!("&#x{code:X};"),
        format!("&#X{code:X};"),
        format!("\\u{{{code:x}}}"),
    ];
    // Of other characters it would begin with zeros, which are in many files.
    if code > 0xffff {
        all.push(format!("\\U{code:08x}"));
        let pair = |unit: &dyn Fn(u16) -> String| -> String {
            character.encode_utf16(&mut [0; 2]).iter().map(|half| unit(*half)).collect()
        };
        all.push(pair(&|unit| format!("&#{unit};")));
        all.push(pair(&|unit| format!("&#x{unit:x};")));
    }
    if code > 0x7f {
        all.push(format!("\\x{{{code:x}}}"));
    }
    let units = |upper: bool| -> String {
        let unit = |unit: &u16| if upper { format!("\\u{unit:04X}") } else { format!("\\u{unit:04x}") };
        character.encode_utf16(&mut [0; 2]).iter().map(unit).collect()
    };
    all.extend([units(false), units(true), format!("\\{}", units(false)), format!("\\{}", units(true))]);
    if (0x80..0x100).contains(&code) {
        all.push(format!("\\x{code:02x}"));
        all.push(format!("\\x{code:02X}"));
    }
    all.into_iter().map(String::into_bytes).collect()
}

fn backslashed(byte: u8, add: &mut impl FnMut(&[u8])) {
    let letter = match byte {
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        b'\t' => Some(b't'),
        0x07 => Some(b'a'),
        0x08 => Some(b'b'),
        0x0b => Some(b'v'),
        0x0c => Some(b'f'),
        0x1b => Some(b'e'),
        0 => Some(b'0'),
        _ => None,
    };
    if byte == b'\\' {
        add(b"\\\\");
        add(b"\\\\\\\\");
        return;
    }
    if byte == b'\n' {
        add(b"\\r\\n");
        add(b"\\\\r\\\\n");
    }
    for escaped in [letter, Some(byte)].into_iter().flatten() {
        for run in [1, 2, 3, 4] {
            add(&[vec![b'\\'; run].as_slice(), &[escaped]].concat());
        }
    }
}

fn doubled(byte: u8, add: &mut impl FnMut(&[u8])) {
    if b"'\"$%`{}".contains(&byte) {
        add(&[byte, byte]);
    }
    if byte == b'\'' {
        add(b"'\\''");
        add(b"\\''");
        add(b"'\\\\''");
        add(b"'\"'\"'");
    }
    if byte.is_ascii_punctuation() || byte == b' ' {
        add(&[b'`', byte]);
        add(&[b'^', byte]);
    }
}

/// The start of `value[at..]` with every character escaped, in each way that a tool has for that; with each byte whether
/// the value gives it.
pub(crate) fn all_escaped(value: &[u8], at: usize) -> Vec<(Text, Vec<bool>)> {
    const CHARACTERS: usize = 4;
    let rest = value.get(at..).unwrap_or_default();
    let bytes = rest.get(..CHARACTERS).unwrap_or(rest);
    let by_byte = |before: &str, after: &str, digits: &dyn Fn(u8) -> String| {
        assembled(bytes.iter().map(|byte| digits(*byte)), before, after)
    };
    let mut all = vec![
        by_byte("%", "", &|byte| format!("{byte:02X}")),
        by_byte("%", "", &|byte| format!("{byte:02x}")),
        by_byte("\\x", "", &|byte| format!("{byte:02x}")),
        by_byte("\\x", "", &|byte| format!("{byte:02X}")),
        by_byte("\\\\x", "", &|byte| format!("{byte:02x}")),
        by_byte("\\", "", &|byte| format!("{byte:03o}")),
    ];
    let mut characters = Vec::with_capacity(CHARACTERS);
    let mut from = 0;
    while characters.len() < CHARACTERS
        && let Some((character, length)) = character(rest, from)
    {
        characters.push(character);
        from += length;
    }
    let units = || characters.iter().flat_map(|character| character.encode_utf16(&mut [0; 2]).to_vec());
    let codes = || characters.iter().map(|character| u32::from(*character));
    all.extend([
        assembled(units().map(|unit| format!("{unit:04x}")), "\\u", ""),
        assembled(units().map(|unit| format!("{unit:04X}")), "\\u", ""),
        assembled(codes().map(|code| format!("{code}")), "&#", ";"),
        assembled(codes().map(|code| format!("{code:x}")), "&#x", ";"),
        assembled(codes().map(|code| format!("{code:X}")), "&#x", ";"),
    ]);
    all
}

/// `parts`, each between `before` and `after`.
pub(crate) fn assembled(parts: impl Iterator<Item = String>, before: &str, after: &str) -> (Text, Vec<bool>) {
    let mut text = Zeroizing::new(Vec::with_capacity(64));
    let mut informative = Vec::with_capacity(64);
    for part in parts {
        for (piece, is_given) in [(before, false), (&*part, true), (after, false)] {
            text.extend_from_slice(piece.as_bytes());
            informative.resize(text.len(), is_given);
        }
    }
    (text, informative)
}
