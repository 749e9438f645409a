//! Strings of JSON. Tolerant: what a configuration file gets away with (comments, trailing commas) must not hide
//! a secret.

use zeroize::Zeroizing;

use super::Found;

impl Found {
    /// Judges every string that is a value, by the key before it.
    pub(super) fn json(&mut self, text: &str, depth: usize) {
        let mut name = Zeroizing::new(String::new());
        let mut rest = text;
        while let Some((_, after)) = rest.split_once('"') {
            let (string, next) = string(after);
            rest = next;
            if let Some(value) = rest.trim_start().strip_prefix(':') {
                rest = value;
                name = string;
            } else {
                self.judge(&name, &string, depth);
            }
        }
    }
}

/// The string that begins after a quote, and what follows its end.
pub(super) fn string(text: &str) -> (Zeroizing<String>, &str) {
    let mut value = Zeroizing::new(String::with_capacity(text.find('"').unwrap_or(text.len()) + 16));
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => value.push('\n'),
                Some('r') => value.push('\r'),
                Some('t') => value.push('\t'),
                Some('u') => {
                    let digits = chars.as_str().get(..4).unwrap_or_default();
                    let code = u32::from_str_radix(digits, 16).ok();
                    // Surrogate pairs are in no secret worth the code.
                    value.push(code.and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER));
                    chars = chars.as_str().get(digits.len()..).unwrap_or_default().chars();
                }
                Some(other) => value.push(other),
                None => break,
            },
            other => value.push(other),
        }
    }
    (value, chars.as_str())
}
