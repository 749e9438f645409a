//! The encodings in which a value may leak.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

type Bytes = Zeroizing<Vec<u8>>;

/// The encoding a match was found in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Encoding {
    /// Not encoded.
    Raw,
    /// Base64 of either alphabet, of the value alone or of something longer that contains it.
    Base64,
    /// Percent-encoded, as in a URL or an HTML form.
    UrlEncoded,
    /// Two hexadecimal digits a byte.
    Hex,
    /// Escaped with backslashes, as in a string of JSON, JavaScript, Java or C.
    Json,
    /// Escaped with entities, as in XML and HTML.
    Xml,
    /// Quoted, as by a shell, or with doubled quotes, as in SQL and CSV.
    Shell,
    /// UTF-16 of either byte order.
    Utf16,
}

impl Encoding {
    /// For messages and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Base64 => "base64",
            Self::UrlEncoded => "url-encoded",
            Self::Hex => "hex",
            Self::Json => "json",
            Self::Xml => "xml",
            Self::Shell => "shell",
            Self::Utf16 => "utf-16",
        }
    }
}

impl fmt::Display for Encoding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the encodings are searched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To mask every byte of an occurrence, including the last character of base64, which the value determines only in
    /// part, and padding.
    Mask,
    /// To notice every occurrence.
    Leak,
}

/// `value` in every encoding, without duplicates, [`Encoding::Raw`] first.
pub(crate) fn encodings(value: &[u8], purpose: Purpose) -> Vec<(Encoding, Bytes)> {
    let mut all = Encodings(vec![(Encoding::Raw, Zeroizing::new(value.to_vec()))]);
    all.base64(value, purpose);
    for unreserved in UNRESERVED {
        for hex in [UPPER, LOWER] {
            all.add(Encoding::UrlEncoded, percent(value, unreserved, hex, b"%20"));
            all.add(Encoding::UrlEncoded, percent(value, unreserved, hex, b"+"));
        }
    }
    for hex in [LOWER, UPPER] {
        let mut text = Zeroizing::new(Vec::with_capacity(value.len() * 2));
        value.iter().for_each(|b| text.extend(digits(*b, hex)));
        all.add(Encoding::Hex, text);
    }
    if let Ok(text) = std::str::from_utf8(value) {
        for style in [JsonStyle::Minimal, JsonStyle::Html, JsonStyle::Slash, JsonStyle::Ascii] {
            all.add(Encoding::Json, json(text, style));
        }
    }
    all.0
}

struct Encodings(Vec<(Encoding, Bytes)>);

impl Encodings {
    fn add(&mut self, encoding: Encoding, bytes: Bytes) {
        if !self.0.iter().any(|(_, known)| **known == *bytes) {
            self.0.push((encoding, bytes));
        }
    }

    fn base64(&mut self, value: &[u8], purpose: Purpose) {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            for before in 0..3 {
                self.add(Encoding::Base64, determined(value, before, engine));
            }
        }
        let whole = Zeroizing::new(STANDARD.encode(value));
        // `base64` of coreutils breaks lines at 76, openssl and PEM at 64.
        for columns in [64, 76] {
            if whole.len() > columns {
                let lines: Vec<&[u8]> = whole.as_bytes().chunks(columns).collect();
                self.add(Encoding::Base64, Zeroizing::new(lines.join(&b'\n')));
            }
        }
        if purpose == Purpose::Mask {
            // The newline that `echo` adds changes the last character.
            let line = Zeroizing::new([value, b"\n"].concat());
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                self.add(Encoding::Base64, Zeroizing::new(engine.encode(value).into_bytes()));
                self.add(Encoding::Base64, Zeroizing::new(engine.encode(&*line).into_bytes()));
            }
        }
    }
}

/// The characters of base64 that depend on `value` alone when `before` (modulo 3) other bytes stand before it, and any
/// after it.
fn determined(value: &[u8], before: usize, engine: &GeneralPurpose) -> Bytes {
    let mut padded = Zeroizing::new(vec![0; before]);
    padded.reserve_exact(value.len());
    padded.extend_from_slice(value);
    let text = Zeroizing::new(engine.encode(&*padded).into_bytes());
    let range = (before * 8).div_ceil(6)..padded.len() * 8 / 6;
    Zeroizing::new(text.get(range).unwrap_or_default().to_vec())
}

const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

/// Characters besides letters and digits that encoders leave alone: RFC 3986 (Python with `safe=''`), encodeURIComponent,
/// Python's `quote`, HTML forms, and the user information of a URL (Go).
const UNRESERVED: [&[u8]; 5] = [b"-._~", b"-._~!*'()", b"-._~/", b"-._*", b"-._~$&+,;=!*'()"];

fn digits(byte: u8, hex: &[u8; 16]) -> impl Iterator<Item = u8> {
    [byte >> 4, byte & 15].into_iter().filter_map(|digit| hex.get(usize::from(digit)).copied())
}

fn percent(value: &[u8], unreserved: &[u8], hex: &[u8; 16], space: &[u8]) -> Bytes {
    // Large enough not to grow: the old allocation would not be wiped.
    let mut text = Zeroizing::new(Vec::with_capacity(value.len() * 3));
    for byte in value {
        if byte.is_ascii_alphanumeric() || unreserved.contains(byte) {
            text.push(*byte);
        } else if *byte == b' ' {
            text.extend_from_slice(space);
        } else {
            text.push(b'%');
            text.extend(digits(*byte, hex));
        }
    }
    text
}

/// Which optional escapes an encoder uses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum JsonStyle {
    Minimal,
    /// `<`, `>` and `&`: Go.
    Html,
    /// `/`: PHP.
    Slash,
    /// All but ASCII: Python.
    Ascii,
}

fn json(value: &str, style: JsonStyle) -> Bytes {
    let mut text = Zeroizing::new(Vec::with_capacity(value.len() * 6));
    let unicode = |text: &mut Vec<u8>, unit: u16| {
        text.extend_from_slice(b"\\u");
        unit.to_be_bytes().iter().for_each(|byte| text.extend(digits(*byte, LOWER)));
    };
    for c in value.chars() {
        let short = match c {
            '"' | '\\' => u8::try_from(c).ok(),
            '\n' => Some(b'n'),
            '\r' => Some(b'r'),
            '\t' => Some(b't'),
            '/' if style == JsonStyle::Slash => Some(b'/'),
            _ => None,
        };
        if let Some(short) = short {
            text.extend([b'\\', short]);
        } else if c < ' '
            || (style == JsonStyle::Html && matches!(c, '<' | '>' | '&'))
            || (style == JsonStyle::Ascii && !c.is_ascii())
        {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| unicode(&mut text, *unit));
        } else {
            text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: &str, encoding: Encoding) -> Vec<String> {
        let all = encodings(value.as_bytes(), Purpose::Leak).into_iter().filter(|(e, _)| *e == encoding);
        all.map(|(_, bytes)| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    #[test]
    fn an_ordinary_token_is_the_same_in_urls_and_json() {
        assert!(written("npm_0123456789abcdef", Encoding::UrlEncoded).is_empty());
        assert!(written("npm_0123456789abcdef", Encoding::Json).is_empty());
    }

    #[test]
    fn percent_encodings_of_the_usual_libraries() {
        let all = written("a b/c?é!", Encoding::UrlEncoded);
        for expected in [
            "a%20b%2Fc%3F%C3%A9%21", // RFC 3986
            "a%20b%2fc%3f%c3%a9%21", // in lower case
            "a%20b%2Fc%3F%C3%A9!",   // encodeURIComponent
            "a%20b/c%3F%C3%A9%21",   // Python's quote
            "a+b%2Fc%3F%C3%A9%21",   // an HTML form
        ] {
            assert!(all.iter().any(|text| text == expected), "{expected} in {all:?}");
        }
    }

    #[test]
    fn json_of_the_usual_libraries() {
        let all = written("q\"\\\n/<é\u{1}", Encoding::Json);
        for expected in [
            "q\\\"\\\\\\n/<é\\u0001",
            "q\\\"\\\\\\n/\\u003cé\\u0001",
            "q\\\"\\\\\\n\\/<é\\u0001",
            "q\\\"\\\\\\n/<\\u00e9\\u0001",
        ] {
            assert!(all.iter().any(|text| text == expected), "{expected} in {all:?}");
        }
    }

    #[test]
    fn hex_in_both_cases() {
        assert_eq!(written("J/\u{7f}", Encoding::Hex), ["4a2f7f", "4A2F7F"]);
    }

    #[test]
    fn long_base64_is_also_wrapped() {
        let all = written(&"k3".repeat(60), Encoding::Base64);
        assert!(all.iter().any(|text| text.split('\n').next().is_some_and(|line| line.len() == 76)));
        assert!(all.iter().any(|text| text.split('\n').next().is_some_and(|line| line.len() == 64)));
    }

    proptest! {
        #[test]
        fn base64_of_anything_around_the_value_is_found(
            before: Vec<u8>, value in proptest::collection::vec(any::<u8>(), 6..40), after: Vec<u8>, url: bool,
        ) {
            let engine = if url { &URL_SAFE } else { &STANDARD };
            let text = engine.encode([before, value.clone(), after].concat());
            let found = encodings(&value, Purpose::Leak).iter().any(|(encoding, bytes)| {
                *encoding == Encoding::Base64 && text.contains(std::str::from_utf8(bytes).unwrap())
            });
            prop_assert!(found);
        }
    }
}
