//! What in a secret is secret on its own.
//!
//! The whole value is. A program that reads a secret file prints or stores what it found in there, though: the token of
//! an `.npmrc`, the password of a `.netrc`, a line of a key. Such values count too, and nothing else does: the rest of
//! those files (names, hosts, markup, armour, public keys) is in ordinary files as well.

mod json;
mod lines;
mod netrc;
mod pem;
mod url;
mod xml;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use zeroize::Zeroizing;

use crate::heuristics::{self, Sense};
use crate::{LEAK_MIN, MASK_MIN};

/// Values of one secret beside the whole. What has more is a list of something else than secrets.
const MAX_PARTS: usize = 256;

/// Bytes of a secret in which values are looked for.
const MAX_READ: usize = 64 << 10;

/// JSON in base64 in YAML, with a PEM inside, is three.
const MAX_DEPTH: usize = 5;

/// One thing that must not be seen.
pub(crate) struct Value {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// A value inside of the secret, not the whole.
    pub(crate) part: bool,
    /// Secret enough to be masked, but too ordinary to be looked for in files.
    pub(crate) mask_only: bool,
}

/// What counts in `secret`, the whole first.
pub(crate) fn values(secret: &[u8]) -> Vec<Value> {
    let whole = without_line_end(secret);
    let mut found = Found { values: Vec::new() };
    if whole.len() >= MASK_MIN && !heuristics::is_ordinary_whole(whole) {
        found.values.push(Value {
            bytes: Zeroizing::new(whole.to_vec()),
            part: false,
            mask_only: whole.len() < LEAK_MIN,
        });
    }
    let head = whole.get(..MAX_READ).unwrap_or(whole);
    let text = match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        // The limit may have cut a character in two.
        Err(e) if head.len() - e.valid_up_to() < 4 => {
            head.get(..e.valid_up_to()).and_then(|head| std::str::from_utf8(head).ok())
        }
        Err(_) => None,
    };
    if let Some(text) = text {
        found.read(text, 0);
    }
    found.values
}

fn without_line_end(secret: &[u8]) -> &[u8] {
    let end = secret.iter().rposition(|b| !matches!(b, b'\n' | b'\r')).map_or(0, |last| last + 1);
    secret.get(..end).unwrap_or_default()
}

/// Collects the values of one secret.
struct Found {
    values: Vec<Value>,
}

impl Found {
    /// `text` is secret.
    fn add(&mut self, text: &str) {
        self.push(text, text.len() < LEAK_MIN || heuristics::is_word(text));
    }

    fn add_mask_only(&mut self, text: &str) {
        self.push(text, true);
    }

    fn push(&mut self, text: &str, mask_only: bool) {
        let known = self.values.iter().any(|value| value.bytes.as_slice() == text.as_bytes());
        if text.len() >= MASK_MIN && !known && self.values.len() <= MAX_PARTS {
            let bytes = Zeroizing::new(text.as_bytes().to_vec());
            self.values.push(Value { bytes, part: true, mask_only });
        }
    }

    /// Looks for values in a file, or in a value that is like one.
    fn read(&mut self, text: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let rest = self.pem(text);
        let text = rest.as_str().trim();
        if text.starts_with(['{', '[']) {
            // An INI file begins with a bracket too.
            let sections = text.starts_with('[') && !text.starts_with("[{") && !text.starts_with("[\"");
            if !sections {
                return self.json(text, depth);
            }
        } else if text.starts_with('<') {
            return self.xml(text, depth);
        } else if netrc::is_netrc(text) {
            return self.netrc(text);
        }
        self.lines(text, depth);
    }

    /// A value with the name that stands before it.
    fn judge(&mut self, name: &str, value: &str, depth: usize) {
        let value = value.trim();
        if depth > MAX_DEPTH || value.len() < MASK_MIN || heuristics::is_reference(value) {
            return;
        }
        if value.contains("-----BEGIN ") && value.contains("\\n") {
            let lines = Zeroizing::new(value.replace("\\n", "\n"));
            return self.read(&lines, depth + 1);
        }
        if value.contains('\n') || value.starts_with('{') {
            return self.read(value, depth + 1);
        }
        if self.url(value) {
            return;
        }
        self.connection_string(value, depth);
        let sense = Sense::of(name);
        if sense == Sense::Public {
            return;
        }
        let value = without_scheme(value);
        let counts = match sense {
            Sense::Secret => !heuristics::is_ordinary(value),
            Sense::Likely => heuristics::is_token(value) || heuristics::is_list_item(value),
            Sense::Neutral => heuristics::is_token(value),
            Sense::Public => false,
        };
        if !counts {
            return;
        }
        let Some(inner) = decoded(value) else { return self.add(value) };
        if inner.contains("-----BEGIN ") && !inner.contains("PRIVATE KEY") {
            return; // a certificate
        }
        self.add(value);
        if inner.contains('\n') || inner.starts_with('{') {
            self.read(&inner, depth + 1);
        } else if let Some((_, password)) = inner.split_once(':').filter(|_| !inner.contains("://")) {
            self.judge("password", password, depth + 1);
        } else if sense != Sense::Neutral {
            self.judge("password", &inner, depth + 1);
        }
    }

    /// `Server=db;Password=hunter2`.
    fn connection_string(&mut self, value: &str, depth: usize) {
        if value.contains(';') && value.contains('=') {
            for (name, value) in value.split(';').filter_map(|field| field.split_once('=')) {
                self.judge(name, value, depth + 1);
            }
        }
    }
}

/// Without the name of the scheme, as in an `Authorization` header.
fn without_scheme(value: &str) -> &str {
    match value.split_once(' ') {
        Some(("Basic" | "basic" | "Bearer" | "bearer" | "token" | "Token", rest)) => rest.trim(),
        _ => value,
    }
}

const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// What `value` says if it is text in base64.
fn decoded(value: &str) -> Option<Zeroizing<String>> {
    let bytes = Zeroizing::new(LENIENT.decode(value).ok()?);
    let text = Zeroizing::new(std::str::from_utf8(&bytes).ok()?.to_owned());
    // Random characters decode to text now and then, but not to text of this length without a control.
    let printable = text.len() >= MASK_MIN && !text.chars().any(|c| c.is_control() && !c.is_whitespace());
    printable.then_some(text)
}

#[cfg(test)]
mod tests;
