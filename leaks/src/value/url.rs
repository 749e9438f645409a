//! Credentials in URLs.

use zeroize::Zeroizing;

use crate::heuristics::{self, NameClass};

/// The credentials in `value`, percent-encoded and decoded; `None` if it is not a URL.
pub(super) fn credentials(value: &str) -> Option<Vec<Zeroizing<String>>> {
    let (scheme, rest) = value.split_once("://")?;
    let scheme_fits = |b: u8| b.is_ascii_alphanumeric() || b"+-.:".contains(&b);
    if scheme.is_empty() || !scheme.bytes().all(scheme_fits) {
        return None;
    }
    let mut credentials = Vec::new();
    let (authority, tail) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    // A password that is not encoded may hold a slash, so the last `@` ends the user information if there is one.
    let user = match authority.rsplit_once('@').or_else(|| rest.rsplit_once('@')) {
        Some((user, _)) if user.contains(':') || authority.contains('@') => user,
        _ => "",
    };
    match user.split_once(':') {
        Some((_, password)) if !is_filler(password) => add(password, &mut credentials),
        // `https://TOKEN@host`, `https://TOKEN:x-oauth-basic@host`.
        Some((token, _)) if heuristics::is_token(token) => add(token, &mut credentials),
        None if heuristics::is_token(user) => add(user, &mut credentials),
        _ => {}
    }
    let (path, query) = tail.split_once('?').unwrap_or((tail, ""));
    for (name, value) in query.split(['&', '#']).filter_map(|field| field.split_once('=')) {
        if NameClass::of(name) == NameClass::Secret || matches!(name, "sig" | "key" | "code") {
            add(value, &mut credentials);
        }
    }
    // Webhooks: the path is the credential.
    let tokens = path.split('/').filter(|segment| heuristics::is_token(segment));
    credentials.extend(tokens.map(|token| Zeroizing::new(token.to_owned())));
    Some(credentials)
}

fn add(text: &str, credentials: &mut Vec<Zeroizing<String>>) {
    if heuristics::is_ordinary(text) {
        return;
    }
    let decoded = decoded(text);
    let differs = *decoded != *text;
    credentials.push(Zeroizing::new(text.to_owned()));
    if differs {
        credentials.push(decoded);
    }
}

/// Passwords beside a token that is the user name.
fn is_filler(password: &str) -> bool {
    matches!(password, "" | "x" | "x-oauth-basic")
}

/// Lenient: a `%` without two digits stays.
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
