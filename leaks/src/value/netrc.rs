//! `.netrc`: words, in any layout.

use super::{Found, heuristics};

/// Whether `text` is a netrc.
pub(super) fn is_netrc(text: &str) -> bool {
    let has = |wanted: &str| text.split_whitespace().any(|word| word == wanted);
    let machine = text.split_whitespace().any(|word| matches!(word, "machine" | "default"));
    machine && has("password") && text.split_whitespace().any(|word| matches!(word, "login" | "machine"))
}

impl Found {
    /// Takes passwords and accounts; machines and logins are public.
    pub(super) fn netrc(&mut self, text: &str) {
        let words =
            text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
        let mut before = "";
        for word in words {
            if matches!(before, "password" | "passwd" | "account") {
                let value = word.trim_matches('"');
                if !heuristics::is_ordinary(value) {
                    self.add(value);
                }
                before = "";
            } else {
                before = word;
            }
        }
    }
}
