//! The values in a secret that are secret on their own.
//!
//! The whole secret is one. A program that reads a secret file prints or stores what it finds there, though: the token
//! of an `.npmrc`, the password of a `.netrc`, a line of a key. Such values count too; the rest of those files (names,
//! hosts, markup, PEM headers, public keys) does not, because ordinary files hold it as well.

mod base64_text;
mod json;
mod lines;
mod netrc;
mod pem;
mod phrase;
mod public;
mod text;
mod url;
mod xml;

use zeroize::Zeroizing;

use crate::heuristics::{self, NameClass};
use crate::limits::{LEAK_MIN, MASK_MIN};

pub use text::TextEncoding;

/// Most values of one secret beside the whole. A file with more is a list of something other than secrets.
const MAX_PARTS: usize = 256;

/// Bytes of a secret in which values are looked for.
const MAX_PARSED: usize = 64 << 10;

/// Most formats within each other: JSON in base64 in YAML, with a PEM inside, is three.
const MAX_DEPTH: usize = 5;

pub(crate) struct Value {
    pub(crate) bytes: Zeroizing<Vec<u8>>,
    /// A value inside the secret, not the whole.
    pub(crate) part: bool,
    /// Masked in output, but too ordinary to be searched for in files.
    pub(crate) mask_only: bool,
}

/// The values in `secret`, the whole first.
///
/// A byte order mark is no part of them: a program that reads the secret removes it, or stores the value without it.
pub(crate) fn values(secret: &[u8]) -> Vec<Value> {
    let utf16 = text::utf16(secret);
    let plain = match &utf16 {
        Some(text) => text.as_bytes(),
        None => text::without_mark(secret),
    };
    let mut collector = Collector { values: Vec::new() };
    collector.whole(without_line_end(plain));
    if utf16.is_some() {
        // As it is, too: a copy of the file.
        collector.whole(secret.get(2..).unwrap_or_default());
    }
    let whole = without_line_end(plain);
    let head = whole.get(..MAX_PARSED).unwrap_or(whole);
    let text = match std::str::from_utf8(head) {
        Ok(text) => Some(text),
        // The limit may have cut a character in two.
        Err(e) if head.len() - e.valid_up_to() < 4 => {
            head.get(..e.valid_up_to()).and_then(|head| std::str::from_utf8(head).ok())
        }
        Err(_) => None,
    };
    if let Some(text) = text {
        collector.read(text, 0);
    }
    collector.values
}

fn without_line_end(secret: &[u8]) -> &[u8] {
    let end = secret.iter().rposition(|b| !matches!(b, b'\n' | b'\r')).map_or(0, |last| last + 1);
    secret.get(..end).unwrap_or_default()
}

/// Collects the values of one secret.
struct Collector {
    values: Vec<Value>,
}

impl Collector {
    fn whole(&mut self, whole: &[u8]) {
        if whole.len() >= MASK_MIN && !heuristics::is_ordinary_whole(whole) {
            self.values.push(Value {
                bytes: Zeroizing::new(whole.to_vec()),
                part: false,
                mask_only: whole.len() < LEAK_MIN,
            });
        }
    }

    fn add(&mut self, text: &str) {
        self.push(text, text.len() < LEAK_MIN || heuristics::is_word(text));
    }

    fn push(&mut self, text: &str, mask_only: bool) {
        let known = self.values.iter().any(|value| value.bytes.as_slice() == text.as_bytes());
        if text.len() >= MASK_MIN && !known && self.values.len() <= MAX_PARTS {
            let bytes = Zeroizing::new(text.as_bytes().to_vec());
            self.values.push(Value { bytes, part: true, mask_only });
        }
    }

    /// Looks for values in a file, or in a value that is itself like a file.
    fn read(&mut self, text: &str, depth: usize) {
        if depth > MAX_DEPTH {
            return;
        }
        let (rest, private_keys) = pem::split(text);
        for line in private_keys {
            self.push(line.text, line.mask_only);
        }
        let text = rest.as_str().trim();
        // An INI file begins with a bracket too.
        let is_ini = text.starts_with('[') && !text.starts_with("[{") && !text.starts_with("[\"");
        if text.starts_with(['{', '[']) && !is_ini {
            json::for_each(text, |name, value| self.judge(name, value, depth));
        } else if text.starts_with('<') {
            xml::for_each(text, |name, value| self.judge(name, value, depth));
        } else if !is_ini && netrc::is_netrc(text) {
            netrc::passwords(text)
                .filter(|value| !heuristics::is_ordinary(value))
                .for_each(|it| self.add(it));
        } else {
            lines::for_each(text, |line| self.line(&line, depth + 1));
        }
    }

    fn line(&mut self, line: &lines::Line<'_>, depth: usize) {
        match *line {
            lines::Line::Field { name, value } => self.judge(name, value, depth),
            lines::Line::Unnamed { text, .. } if text.contains(char::is_whitespace) => {
                self.phrase(text, depth)
            }
            lines::Line::Unnamed { text, .. } if self.url(text) => {}
            lines::Line::Unnamed { text, .. } if heuristics::is_token(text) => self.judge("", text, depth),
            lines::Line::Unnamed { text, in_list: true } if is_listed(text) => self.add(text),
            lines::Line::Unnamed { text, .. } if heuristics::is_rare_word(text) => self.add(text),
            lines::Line::Unnamed { text, in_list } => {
                // `user:password`, and PostgreSQL's `host:port:database:user:password`.
                if let Some((name, password)) = text.rsplit_once(':') {
                    if heuristics::is_list_item(password) {
                        self.add(password);
                    } else if NameClass::of(name) == NameClass::Secret {
                        // `password:word` of Java's properties.
                        self.judge(name, password, depth);
                    }
                } else if in_list && !heuristics::is_ordinary(text) && text.len() >= LEAK_MIN {
                    // A word: ordinary files may hold it.
                    self.push(text, true);
                }
            }
        }
    }

    /// A line of several words without a name: the tokens and URLs in it, and the whole line if it is rare.
    fn phrase(&mut self, text: &str, depth: usize) {
        if phrase::is_public_key(text) {
            return;
        }
        if let Some((name, value)) = text.split_once(char::is_whitespace)
            && NameClass::of(name) == NameClass::Secret
            && !value.trim().contains(char::is_whitespace)
        {
            // `db.password word` of Java's properties.
            return self.judge(name, value, depth);
        }
        for word in text.split_whitespace() {
            let word = word.trim_matches(|c: char| "\"'`,;()<>[]{}".contains(c));
            if !self.url(word) && heuristics::is_token(word) {
                self.judge("", word, depth);
            }
        }
        match phrase::rarity(text) {
            phrase::Rarity::Ordinary => {}
            phrase::Rarity::Masked => self.push(text, true),
            phrase::Rarity::Searched => self.push(text, false),
        }
    }

    /// Decides by `name` whether `value` is secret, and looks for values inside it.
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
        let class = NameClass::of(name);
        if class == NameClass::Public {
            // `user = "me:password"` of a .curlrc.
            if let Some((_, password)) =
                value.split_once(':').filter(|_| name == "user" || name == "proxy-user")
            {
                self.judge("password", password, depth + 1);
            }
            return;
        }
        let value = without_scheme(value);
        let is_secret = match class {
            NameClass::Secret => !heuristics::is_ordinary(value),
            NameClass::Likely => heuristics::is_token(value) || heuristics::is_list_item(value),
            NameClass::Neutral => heuristics::is_token(value),
            NameClass::Public => false,
        };
        if !is_secret {
            return;
        }
        let Some(inner) = base64_text::decode(value) else { return self.add(value) };
        if inner.contains("-----BEGIN ") && !inner.contains("PRIVATE KEY") {
            return; // a certificate
        }
        self.add(value);
        if inner.contains('\n') || inner.starts_with('{') {
            self.read(&inner, depth + 1);
        } else if let Some((_, password)) = inner.split_once(':').filter(|_| !inner.contains("://")) {
            self.judge("password", password, depth + 1);
        } else if class != NameClass::Neutral {
            self.judge("password", &inner, depth + 1);
        }
    }

    /// Adds the credentials in `value` if it is a URL; returns whether it is.
    fn url(&mut self, value: &str) -> bool {
        let Some(credentials) = url::credentials(value) else { return false };
        credentials.iter().for_each(|credential| self.add(credential));
        true
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

/// Whether a line in a list of words is searched for.
fn is_listed(text: &str) -> bool {
    heuristics::is_list_item(text) || heuristics::is_code(text)
}

/// `value` without the scheme of an `Authorization` header.
fn without_scheme(value: &str) -> &str {
    match value.split_once(' ') {
        Some(("Basic" | "basic" | "Bearer" | "bearer" | "token" | "Token", rest)) => rest.trim(),
        _ => value,
    }
}

#[cfg(test)]
mod tests;
