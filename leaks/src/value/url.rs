//! Credentials in URLs.

use zeroize::Zeroizing;

use super::{Found, Sense, heuristics};

impl Found {
    /// Whether `value` is a URL; takes what is secret in it.
    pub(super) fn url(&mut self, value: &str) -> bool {
        let Some((scheme, rest)) = value.split_once("://") else { return false };
        let scheme_fits = |b: u8| b.is_ascii_alphanumeric() || b"+-.:".contains(&b);
        if scheme.is_empty() || !scheme.bytes().all(scheme_fits) {
            return false;
        }
        let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        // A password that nobody encoded may hold a slash, so the last `@` decides when there is one.
        let (user, tail) = match authority.rsplit_once('@').or_else(|| rest.rsplit_once('@')) {
            Some((user, _)) if user.contains(':') || authority.contains('@') => (user, tail),
            _ => ("", tail),
        };
        match user.split_once(':') {
            Some((_, password)) if !is_filler(password) => self.credential(password),
            // `https://TOKEN@host`, `https://TOKEN:x-oauth-basic@host`.
            Some((token, _)) if heuristics::is_token(token) => self.credential(token),
            None if heuristics::is_token(user) => self.credential(user),
            _ => {}
        }
        let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
        for (name, value) in query.split(['&', '#']).filter_map(|field| field.split_once('=')) {
            if Sense::of(name) == Sense::Secret || matches!(name, "sig" | "key" | "code") {
                self.credential(value);
            }
        }
        // Webhooks: the path is the credential.
        for segment in path.split('/').filter(|segment| heuristics::is_token(segment)) {
            self.add(segment);
        }
        true
    }

    fn credential(&mut self, text: &str) {
        if heuristics::is_ordinary(text) {
            return;
        }
        self.add(text);
        let plain = decoded(text);
        if *plain != *text {
            self.add(&plain);
        }
    }
}

fn is_filler(password: &str) -> bool {
    matches!(password, "" | "x" | "x-oauth-basic")
}

fn decoded(text: &str) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text.as_bytes();
    while let Some((first, next)) = rest.split_first() {
        let pair = next.get(..2).filter(|_| *first == b'%').and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = next.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = next;
            }
        }
    }
    Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned())
}
