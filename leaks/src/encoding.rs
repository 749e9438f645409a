//! How a value may be written where it leaks.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use zeroize::Zeroizing;

type Bytes = Zeroizing<Vec<u8>>;

/// The dress in which a value was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Form {
    /// The bytes as they are.
    Raw,
    /// Base64 of either alphabet, on its own or inside of something longer.
    Base64,
    /// Percent-encoded, as in a URL or a form.
    UrlEncoded,
    /// Two hexadecimal digits a byte.
    Hex,
    /// Escaped as in a JSON string.
    Json,
}

impl Form {
    /// The form's name, for messages and for JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Raw => "raw",
            Self::Base64 => "base64",
            Self::UrlEncoded => "url-encoded",
            Self::Hex => "hex",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What the forms are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Every byte of an occurrence matters: the last, half determined character of base64 and its padding too.
    Mask,
    /// It is enough that an occurrence cannot be missed.
    Leak,
}

/// Every way to write `value`, each once, [`Form::Raw`] first.
pub(crate) fn forms(value: &[u8], purpose: Purpose) -> Vec<(Form, Bytes)> {
    let mut all = Forms(vec![(Form::Raw, Zeroizing::new(value.to_vec()))]);
    all.base64(value, purpose);
    for unreserved in UNRESERVED {
        for hex in [UPPER, LOWER] {
            all.add(Form::UrlEncoded, percent(value, unreserved, hex, b"%20"));
            all.add(Form::UrlEncoded, percent(value, unreserved, hex, b"+"));
        }
    }
    for hex in [LOWER, UPPER] {
        let mut text = Zeroizing::new(Vec::with_capacity(value.len() * 2));
        value.iter().for_each(|b| text.extend(digits(*b, hex)));
        all.add(Form::Hex, text);
    }
    if let Ok(text) = std::str::from_utf8(value) {
        for style in [Json::Plain, Json::Html, Json::Slash, Json::Ascii] {
            all.add(Form::Json, json(text, style));
        }
    }
    all.0
}

struct Forms(Vec<(Form, Bytes)>);

impl Forms {
    fn add(&mut self, form: Form, bytes: Bytes) {
        if !self.0.iter().any(|(_, known)| **known == *bytes) {
            self.0.push((form, bytes));
        }
    }

    fn base64(&mut self, value: &[u8], purpose: Purpose) {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            for before in 0..3 {
                self.add(Form::Base64, determined(value, before, engine));
            }
        }
        let whole = Zeroizing::new(STANDARD.encode(value));
        // `base64` of coreutils breaks lines at 76, openssl and PEM at 64.
        for columns in [64, 76] {
            if whole.len() > columns {
                let lines: Vec<&[u8]> = whole.as_bytes().chunks(columns).collect();
                self.add(Form::Base64, Zeroizing::new(lines.join(&b'\n')));
            }
        }
        if purpose == Purpose::Mask {
            // With the newline that `echo` adds, the last character is another one.
            let line = Zeroizing::new([value, b"\n"].concat());
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                self.add(Form::Base64, Zeroizing::new(engine.encode(value).into_bytes()));
                self.add(Form::Base64, Zeroizing::new(engine.encode(&*line).into_bytes()));
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

/// What encoders leave as it is beside letters and digits: RFC 3986 (Python with `safe=''`), encodeURIComponent,
/// Python's `quote`, the forms of HTML, and what the user information of a URL may hold (Go).
const UNRESERVED: [&[u8]; 5] = [b"-._~", b"-._~!*'()", b"-._~/", b"-._*", b"-._~$&+,;=!*'()"];

fn digits(byte: u8, hex: &[u8; 16]) -> impl Iterator<Item = u8> {
    [byte >> 4, byte & 15].into_iter().filter_map(|digit| hex.get(usize::from(digit)).copied())
}

fn percent(value: &[u8], unreserved: &[u8], hex: &[u8; 16], space: &[u8]) -> Bytes {
    // Never grows: what growing leaves behind would not be wiped.
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

/// What encoders escape beside what they must.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Json {
    Plain,
    /// `<`, `>` and `&`: Go.
    Html,
    /// `/`: PHP.
    Slash,
    /// All but ASCII: Python.
    Ascii,
}

fn json(value: &str, style: Json) -> Bytes {
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
            '/' if style == Json::Slash => Some(b'/'),
            _ => None,
        };
        if let Some(short) = short {
            text.extend([b'\\', short]);
        } else if c < ' '
            || (style == Json::Html && matches!(c, '<' | '>' | '&'))
            || (style == Json::Ascii && !c.is_ascii())
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

    fn written(value: &str, form: Form) -> Vec<String> {
        let of_form = forms(value.as_bytes(), Purpose::Leak).into_iter().filter(|(f, _)| *f == form);
        of_form.map(|(_, bytes)| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    #[test]
    fn an_ordinary_token_has_no_url_or_json_form() {
        assert!(written("npm_0123456789abcdef", Form::UrlEncoded).is_empty());
        assert!(written("npm_0123456789abcdef", Form::Json).is_empty());
    }

    #[test]
    fn percent_encodings_of_the_usual_libraries() {
        let all = written("a b/c?é!", Form::UrlEncoded);
        for expected in [
            "a%20b%2Fc%3F%C3%A9%21", // RFC 3986
            "a%20b%2fc%3f%c3%a9%21", // in lower case
            "a%20b%2Fc%3F%C3%A9!",   // encodeURIComponent
            "a%20b/c%3F%C3%A9%21",   // Python's quote
            "a+b%2Fc%3F%C3%A9%21",   // a form
        ] {
            assert!(all.iter().any(|text| text == expected), "{expected} in {all:?}");
        }
    }

    #[test]
    fn json_of_the_usual_libraries() {
        let all = written("q\"\\\n/<é\u{1}", Form::Json);
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
        assert_eq!(written("J/\u{7f}", Form::Hex), ["4a2f7f", "4A2F7F"]);
    }

    #[test]
    fn long_base64_comes_in_lines_too() {
        let all = written(&"k3".repeat(60), Form::Base64);
        assert!(all.iter().any(|text| text.split('\n').next().is_some_and(|line| line.len() == 76)));
        assert!(all.iter().any(|text| text.split('\n').next().is_some_and(|line| line.len() == 64)));
    }

    proptest! {
        #[test]
        fn base64_of_anything_around_the_value_contains_a_form(
            before: Vec<u8>, value in proptest::collection::vec(any::<u8>(), 6..40), after: Vec<u8>, url: bool,
        ) {
            let engine = if url { &URL_SAFE } else { &STANDARD };
            let text = engine.encode([before, value.clone(), after].concat());
            let found = forms(&value, Purpose::Leak).iter().any(|(form, bytes)| {
                *form == Form::Base64 && text.contains(std::str::from_utf8(bytes).unwrap())
            });
            prop_assert!(found);
        }
    }
}
