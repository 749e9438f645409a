//! Which names announce a secret, and which values are too ordinary to be one.

use crate::limits::LEAK_MIN;

/// What the name of a value says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NameClass {
    /// A password or token: any value is secret.
    Secret,
    /// A key, or related to authentication: the value is secret unless it may be a word.
    Likely,
    /// The value is secret if it looks like a token.
    Neutral,
    /// A user, host or certificate: ordinary files hold the value too.
    Public,
}

const PUBLIC_ENDS: &[&str] = &[
    "user",
    "username",
    "login",
    "email",
    "mail",
    "host",
    "hostname",
    "server",
    "servers",
    "registry",
    "url",
    "uri",
    "endpoint",
    "type",
    "kind",
    "version",
    "name",
    "namespace",
    "path",
    "file",
    "dir",
    "region",
    "id",
    "crt",
    "cert",
    "certificate",
    "certificatedata",
    "certificateauthoritydata",
    "cadata",
    "publickey",
    "pubkey",
    "fingerprint",
    "algorithm",
    "alg",
    "scope",
    "scopes",
    "description",
    "comment",
    "port",
    "domain",
    "issuer",
    "realm",
    "context",
    "cluster",
    "expiry",
    "expires",
    "expiration",
    "created",
    "updated",
    "date",
    "timestamp",
    "helper",
    "integrity",
    "checksum",
    "sha256",
    "digest",
    "resolved",
    "agent",
];

const SECRET_WITHIN: &[&str] = &[
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "apikey",
    "privatekey",
    "accesskey",
    "sharedkey",
    "accountkey",
    "signingkey",
    "encryptionkey",
    "keydata",
    "bearer",
    "pwd",
];

const SECRET_ENDS: &[&str] = &["auth", "authorization", "pass", "pat", "psk", "sas", "jwt"];

const LIKELY_WITHIN: &[&str] = &["auth", "credential", "session", "cookie", "signature", "key"];

impl NameClass {
    pub(crate) fn of(name: &str) -> Self {
        let letters = name.chars().filter(char::is_ascii_alphanumeric);
        let name: String = letters.map(|c| c.to_ascii_lowercase()).collect();
        let within = |words: &[&str]| words.iter().any(|word| name.contains(word));
        let ends = |words: &[&str]| words.iter().any(|end| name.ends_with(end));
        // Vault's `secret_id` is half of a login, and the id of a session grants access to it.
        let secret_id = name.ends_with("id") && within(&["secret", "accesskey", "session"]);
        let author = name.starts_with("author") && !name.starts_with("authoriz");
        if author || (ends(PUBLIC_ENDS) && !secret_id) {
            Self::Public
        } else if within(SECRET_WITHIN) || ends(SECRET_ENDS) {
            Self::Secret
        } else if within(LIKELY_WITHIN) {
            Self::Likely
        } else {
            Self::Neutral
        }
    }
}

/// Placeholders, and defaults that are not secret.
const WORDS: &[&str] = &[
    "__token__",
    "administrator",
    "anonymous",
    "changeit",
    "changeme",
    "credentials",
    "default",
    "development",
    "disabled",
    "enabled",
    "example",
    "localhost",
    "mongodb",
    "notused",
    "optional",
    "password",
    "postgres",
    "postgresql",
    "private",
    "production",
    "public",
    "redacted",
    "required",
    "secret",
    "secrets",
    "staging",
    "string",
    "undefined",
    "unused",
    "username",
    "x-access-token",
    "x-oauth-basic",
    "x-token-auth",
];

/// Whether a whole secret is too ordinary to search for: a common word, a short number, one repeated character, a line of
/// up to three different signs (`-=-=-=-=`).
pub(crate) fn is_ordinary_whole(value: &[u8]) -> bool {
    let digits = value.iter().filter(|b| b.is_ascii_digit()).count();
    let number = value.iter().all(|b| b.is_ascii_digit() || b" .,:+-_/".contains(b));
    let repeated = value.windows(2).all(|pair| pair.first() == pair.last());
    (number && digits < 8)
        || repeated
        || is_ornament(value)
        || WORDS.iter().any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
}

/// Whether a value has no letters or digits, and at most three different characters.
fn is_ornament(value: &[u8]) -> bool {
    let mut kinds = [0; 3];
    let mut count = 0;
    for byte in value {
        if !byte.is_ascii() || byte.is_ascii_alphanumeric() {
            return false;
        }
        if !kinds.get(..count).is_some_and(|known| known.contains(byte)) {
            let Some(free) = kinds.get_mut(count) else { return false };
            *free = *byte;
            count += 1;
        }
    }
    true
}

/// Whether a value is not secret although its name announces a secret.
pub(crate) fn is_ordinary(value: &str) -> bool {
    is_ordinary_whole(value.as_bytes()) || is_path(value) || is_reference(value)
}

/// Whether `value` may be a word, which unrelated files hold too.
pub(crate) fn is_word(value: &str) -> bool {
    value.len() <= 12 && value.bytes().all(|b| b.is_ascii_lowercase())
}

/// Whether `value` stands for a secret: `${NPM_TOKEN}`, `$TOKEN`, `{{ token }}`, `<your token>`.
pub(crate) fn is_reference(value: &str) -> bool {
    let variable =
        |rest: &str| rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    value.starts_with("${")
        || value.starts_with("$(")
        || value.starts_with("{{")
        || (value.starts_with('<') && value.ends_with('>'))
        || value.strip_prefix('$').is_some_and(variable)
        || value.strip_prefix('%').and_then(|rest| rest.strip_suffix('%')).is_some_and(variable)
}

/// Whether `value` is a path. AWS keys may begin with a slash, but are not all lower case.
fn is_path(value: &str) -> bool {
    let lower = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._/-".contains(&b);
    ["~/", "./", "../", "C:\\"].iter().any(|start| value.starts_with(start))
        || (value.starts_with('/') && value.bytes().all(lower))
}

const TOKEN_STARTS: &[&str] = &[
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "ghr_",
    "github_pat_",
    "glpat-",
    "npm_",
    "pypi-",
    "xoxb-",
    "xoxp-",
    "AKIA",
    "ASIA",
    "sk_live_",
    "sk-",
    "dckr_pat_",
    "eyJ",
    "hvs.",
    "AIza",
    "SG.",
    "AGE-SECRET-KEY-",
    "sb1_",
];

/// Whether a value is secret whatever its name: so random that no ordinary file holds it.
pub(crate) fn is_token(value: &str) -> bool {
    let has = |class: fn(&u8) -> bool| value.bytes().any(|b| class(&b));
    let mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=_.~-".contains(&b));
    let hex = value.len() >= 32 && value.bytes().all(|b| b.is_ascii_hexdigit());
    let checksum = ["sha1-", "sha256-", "sha384-", "sha512-"].iter().any(|start| value.starts_with(start));
    let token = mixed || (hex && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic));
    let known = TOKEN_STARTS.iter().any(|start| value.starts_with(start));
    value.len() >= 16 && plain && (token || known) && !checksum && !is_path(value)
}

/// Whether `value` has letters and digits in an order that names and versions do not have.
pub(crate) fn is_rare_word(value: &str) -> bool {
    let has = |class: fn(&u8) -> bool| value.bytes().any(|b| class(&b));
    let mixed = has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase);
    is_list_item(value) && value.len() >= 10 && (mixed || changes(value) >= 3)
}

/// How often a letter follows a digit, or a digit a letter.
pub(crate) fn changes(value: &str) -> usize {
    let is_change = |pair: &&[u8]| match pair {
        [a, b] => {
            (a.is_ascii_digit() && b.is_ascii_alphabetic()) || (a.is_ascii_alphabetic() && b.is_ascii_digit())
        }
        _ => false,
    };
    value.as_bytes().windows(2).filter(is_change).count()
}

/// Whether a line in a list of secrets is a code without letters, or without digits: `12345-67890`, `ABCD-EFGH-IJKL`.
/// Shorter numbers and words in lower case are in ordinary files too.
pub(crate) fn is_code(value: &str) -> bool {
    let count = |class: fn(&u8) -> bool| value.bytes().filter(class).count();
    let plain = value.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_ ".contains(&b));
    let (digits, upper) = (count(u8::is_ascii_digit), count(u8::is_ascii_uppercase));
    plain && (digits >= 10 || upper >= 10) && count(u8::is_ascii_lowercase) == 0
}

/// Whether a line in a list of secrets is one.
pub(crate) fn is_list_item(value: &str) -> bool {
    let digit = value.bytes().any(|b| b.is_ascii_digit());
    let letter = value.bytes().any(|b| b.is_ascii_alphabetic());
    // Hosts, versions, images, addresses: labels with separators.
    let named = value.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".:/-_@".contains(&b))
        && value.bytes().any(|b| b".:/@".contains(&b));
    value.len() >= LEAK_MIN && digit && letter && !named && !is_ordinary(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn up_to_three_different_signs_are_no_secret() {
        for ordinary in ["\\\\\\\\\\\\", "-=-=-=-=", "'\"'\"\\\\'\"", "* * * *", "========\n\n"] {
            assert!(is_ordinary_whole(ordinary.as_bytes()), "{ordinary}");
        }
        for secret in ["'\"\\$&<>%+/ ", "-=-=-=-=a", "!@#$%^&*", "ääöäöäöü", "abababab"] {
            assert!(!is_ordinary_whole(secret.as_bytes()), "{secret}");
        }
    }
}
