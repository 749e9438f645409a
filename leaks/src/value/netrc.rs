//! `.netrc`: words, in any layout.

pub(super) fn is_netrc(text: &str) -> bool {
    let has = |wanted: &str| text.split_whitespace().any(|word| word == wanted);
    let machine = text.split_whitespace().any(|word| matches!(word, "machine" | "default"));
    machine && has("password") && text.split_whitespace().any(|word| matches!(word, "login" | "machine"))
}

/// Passwords and accounts; machines and logins are public.
pub(super) fn passwords(text: &str) -> impl Iterator<Item = &str> {
    let mut words =
        text.lines().filter(|line| !line.trim_start().starts_with('#')).flat_map(str::split_whitespace);
    std::iter::from_fn(move || {
        words.find(|word| matches!(*word, "password" | "passwd" | "account"))?;
        Some(words.next()?.trim_matches('"'))
    })
}
