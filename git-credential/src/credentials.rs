//! git credentials and their text (git-credential-store(1)).

use proto::Secret;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::scope::GitScope;

/// The key of the secret that holds git credentials.
pub const GIT_CREDENTIALS: &str = "git-credentials";

/// Longest user, and longest password, of a git credential, in bytes.
pub const MAX_GIT_CREDENTIAL: usize = 16 << 10;

/// Most git credentials of one bridge.
pub const MAX_GIT_CREDENTIALS: usize = 256;

/// Longest text of git credentials, in bytes: more than as many as there may be, each as long as it may be, percent-encoded.
pub const MAX_GIT_CREDENTIALS_TEXT: usize = 32 << 20;

/// Longest request of git for a credential, and longest answer of git's own, in bytes.
pub const MAX_GIT_ATTRIBUTES: usize = 64 << 10;

const HTTPS: &[u8] = b"https://";

/// User and password for a [`GitScope`]. Some servers take a token as the user, so both are secret.
#[derive(Debug)]
pub struct GitCredential {
    scope: GitScope,
    user: Secret,
    password: Secret,
}

/// A user or password that git cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnfitCredential {
    /// Nothing.
    #[error("its {0} is empty")]
    Empty(&'static str),
    /// git's protocol has a line for each.
    #[error("its {0} contains a line end or a NUL byte, which git cannot be told")]
    LineEnd(&'static str),
    /// More than [`MAX_GIT_CREDENTIAL`].
    #[error("its {0} is longer than {MAX_GIT_CREDENTIAL} bytes")]
    TooLong(&'static str),
}

/// Why a text holds no git credentials. Names lines by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NoGitCredential {
    /// A line that is none.
    #[error("line {0} is not of the form https://USER:PASSWORD@HOST[:PORT][/PATH], percent-encoded")]
    Line(usize),
    /// More than [`MAX_GIT_CREDENTIALS`], or than [`MAX_GIT_CREDENTIALS_TEXT`] bytes.
    #[error("more than {MAX_GIT_CREDENTIALS} git credentials, or {} MiB", MAX_GIT_CREDENTIALS_TEXT >> 20)]
    TooMany,
}

impl GitCredential {
    /// Takes what git can be told.
    ///
    /// # Errors
    /// [`UnfitCredential`].
    pub fn new(scope: GitScope, user: Secret, password: Secret) -> Result<Self, UnfitCredential> {
        for (what, secret) in [("user", &user), ("password", &password)] {
            if secret.is_empty() {
                return Err(UnfitCredential::Empty(what));
            } else if secret.len() > MAX_GIT_CREDENTIAL {
                return Err(UnfitCredential::TooLong(what));
            } else if secret.expose().iter().any(|byte| b"\0\r\n".contains(byte)) {
                return Err(UnfitCredential::LineEnd(what));
            }
        }
        Ok(Self { scope, user, password })
    }

    /// What it is for.
    pub fn scope(&self) -> &GitScope {
        &self.scope
    }

    /// The user, as the server wants it.
    pub fn user(&self) -> &Secret {
        &self.user
    }

    /// The password or token.
    pub fn password(&self) -> &Secret {
        &self.password
    }

    /// The line of a text, without its end.
    fn parse(line: &[u8]) -> Option<Self> {
        let rest = line.strip_prefix(HTTPS)?;
        let at = rest.iter().position(|byte| b"@/".contains(byte))?;
        let (login, rest) = (rest.get(..at)?, rest.get(at..)?.strip_prefix(b"@")?);
        let colon = login.iter().position(|byte| *byte == b':')?;
        let (user, password) = (decoded(login.get(..colon)?)?, decoded(login.get(colon + 1..)?)?);
        let scope = GitScope::parse(std::str::from_utf8(rest).ok()?)?;
        Self::new(scope, user, password).ok()
    }
}

/// What a text of git credentials says.
#[derive(Debug, Default)]
pub struct GitCredentials {
    all: Vec<GitCredential>,
    /// Lines for `http://`, which are never used.
    pub unencrypted: usize,
}

impl GitCredentials {
    /// Reads a text. Empty lines are nothing, as for git.
    ///
    /// # Errors
    /// [`NoGitCredential`].
    pub fn parse(text: &[u8]) -> Result<Self, NoGitCredential> {
        if text.len() > MAX_GIT_CREDENTIALS_TEXT {
            return Err(NoGitCredential::TooMany);
        }
        let mut parsed = Self::default();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
            } else if line.starts_with(b"http://") {
                parsed.unencrypted += 1;
            } else {
                if parsed.all.len() == MAX_GIT_CREDENTIALS {
                    return Err(NoGitCredential::TooMany);
                }
                parsed.all.push(GitCredential::parse(line).ok_or(NoGitCredential::Line(index + 1))?);
            }
        }
        Ok(parsed)
    }

    /// All of them, in order.
    pub fn all(&self) -> &[GitCredential] {
        &self.all
    }

    /// The one for `wanted`, as `user` if git wants a certain one: of those that fit, that with the longest path, and of
    /// these the first.
    pub fn of(&self, wanted: &GitScope, user: Option<&[u8]>) -> Option<&GitCredential> {
        let fits = |credential: &&GitCredential| {
            credential.scope.covers(wanted) && user.is_none_or(|user| user == credential.user.expose())
        };
        // `max_by_key` takes the last of equals.
        self.all.iter().rev().filter(fits).max_by_key(|credential| credential.scope.depth())
    }
}

impl From<Vec<GitCredential>> for GitCredentials {
    fn from(all: Vec<GitCredential>) -> Self {
        Self { all, unencrypted: 0 }
    }
}

/// The text of `credentials`: what [`GitCredentials::parse`] reads, and git-credential-store(1).
pub fn git_credentials_text(credentials: &[GitCredential]) -> Secret {
    let length: usize = credentials.iter().map(|one| 3 * (one.user.len() + one.password.len())).sum();
    let mut text = Vec::with_capacity(length + credentials.len() * 4096);
    for GitCredential { scope, user, password } in credentials {
        text.extend_from_slice(HTTPS);
        encode(user.expose(), b"", &mut text);
        text.push(b':');
        encode(password.expose(), b"", &mut text);
        text.push(b'@');
        text.extend_from_slice(scope.to_string().as_bytes());
        text.push(b'\n');
    }
    Secret::new(text)
}

/// Appends `bytes`, all percent-encoded but RFC 3986's unreserved ones and those in `kept`.
pub(crate) fn encode(bytes: &[u8], kept: &[u8], text: &mut Vec<u8>) {
    const DIGITS: [u8; 16] = *b"0123456789ABCDEF";
    let digit = |number: u8| DIGITS.get(usize::from(number)).copied().unwrap_or_default();
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.contains(&byte) {
            text.push(byte);
        } else {
            text.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

/// What percent-encoded `text` says; `None` if a `%` is not followed by two digits.
pub(crate) fn decoded(text: &[u8]) -> Option<Secret> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let Some((first, next)) = rest.split_first() {
        rest = next;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |index: usize| char::from(*next.get(index)?).to_digit(16);
        bytes.push(u8::try_from(digit(0)? * 16 + digit(1)?).ok()?);
        rest = next.get(2..)?;
    }
    Some(Secret::new(std::mem::take(&mut *bytes)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> GitCredentials {
        GitCredentials::parse(text.as_bytes()).unwrap()
    }

    fn found(credentials: &GitCredentials, host: &str, path: Option<&str>, user: Option<&str>) -> String {
        let wanted = GitScope::of_request(host, path).unwrap();
        let found = credentials.of(&wanted, user.map(str::as_bytes));
        found.map(|one| String::from_utf8(one.password.expose().to_vec()).unwrap()).unwrap_or_default()
    }

    #[test]
    fn the_most_specific_one_that_fits_wins() {
        let credentials = parsed(
            "https://u:host@h\nhttps://u:org@h/org\nhttps://u:repo@h/org/repo.git\nhttps://v:other@h/org\n\
             https://u:port@h:8443\nhttp://u:never@plain\n",
        );
        assert_eq!(credentials.unencrypted, 1);
        for (host, path, password) in [
            ("h", None, "host"),
            ("H:443", Some("x"), "host"),
            ("h", Some("organisation/x"), "host"),
            ("h", Some("org/x"), "org"),
            ("h", Some("org/repository"), "org"),
            ("h", Some("org/repo"), "repo"),
            ("h", Some("org/repo.git/info/lfs"), "repo"),
            ("h:8443", Some("org/repo"), "port"),
            ("h:8444", Some("org/repo"), ""),
            ("g", None, ""),
            ("plain", None, ""),
        ] {
            assert_eq!(found(&credentials, host, path, None), password, "{host} {path:?}");
        }
        assert_eq!(found(&credentials, "h", Some("org/repo"), Some("v")), "other");
        assert_eq!(found(&credentials, "h", Some("org/repo"), Some("w")), "");
        assert_eq!(found(&parsed("https://u:only@h/org"), "h", None, None), "");
    }

    #[test]
    fn what_is_no_line_of_that_kind_is_told_by_its_number() {
        for line in [
            "h",
            "https://h",
            "https://u@h",
            "https://:p@h",
            "https://u:@h",
            "https://u:p@",
            "https://u:%0a@h",
            "https://u:%00@h",
            "https://u:%zz@h",
            "https://u:%+f@h",
            "https://u:p%@h",
            "https://u:p@h/a/../b",
            "https://u:p@h?x",
            "https://u:p@h:0",
            "https://u:p@h x",
            "https://u:p@h\r",
            "ftp://u:p@h",
        ] {
            let text = format!("https://u:p@h\n\n{line}\n");
            assert_eq!(
                GitCredentials::parse(text.as_bytes()).err(),
                Some(NoGitCredential::Line(3)),
                "{line}"
            );
        }
        let many = "https://u:p@h\n".repeat(MAX_GIT_CREDENTIALS + 1);
        assert_eq!(GitCredentials::parse(many.as_bytes()).err(), Some(NoGitCredential::TooMany));
    }

    #[test]
    fn what_git_cannot_be_told_is_no_credential() {
        let new = |user: &str, password: &str| {
            let secret = |text: &str| Secret::from(text.to_owned());
            GitCredential::new(GitScope::parse("h").unwrap(), secret(user), secret(password)).err()
        };
        assert_eq!(new("u", "p:@/%ä"), None);
        assert_eq!(new("", "p"), Some(UnfitCredential::Empty("user")));
        assert_eq!(new("u", "a\nb"), Some(UnfitCredential::LineEnd("password")));
        assert_eq!(new("u\0", "p"), Some(UnfitCredential::LineEnd("user")));
        assert_eq!(new("u", &"p".repeat(MAX_GIT_CREDENTIAL + 1)), Some(UnfitCredential::TooLong("password")));
    }

    proptest! {
        #[test]
        fn a_text_survives_a_round_trip(
            user in proptest::collection::vec(1u8.., 1..40),
            password in proptest::collection::vec(1u8.., 1..40),
            path in "(/[^/\\p{C}]{1,9}){0,3}",
        ) {
            prop_assume!(!user.iter().chain(&password).any(|byte| b"\r\n".contains(byte)));
            let scope = GitScope::of_request("host.example:8443", Some(&path));
            prop_assume!(scope.is_some());
            let (scope, again) = (scope.unwrap(), Secret::new(user.clone()));
            let credential = GitCredential::new(scope.clone(), again, Secret::new(password.clone())).unwrap();
            let text = git_credentials_text(&[credential]);
            prop_assert!(text.expose().iter().filter(|byte| !byte.is_ascii_graphic()).eq(b"\n"));
            let parsed = GitCredentials::parse(text.expose()).unwrap();
            let [one] = parsed.all() else { panic!() };
            prop_assert_eq!(&one.scope, &scope);
            prop_assert_eq!(one.user.expose(), user);
            prop_assert_eq!(one.password.expose(), password);
        }

        #[test]
        fn hostile_text_is_an_answer_or_an_error(text: Vec<u8>, line in "https://[a-z%:@/.0-9\\[\\]]{0,40}") {
            let _ = GitCredentials::parse(&text);
            if let Ok(parsed) = GitCredentials::parse(line.as_bytes()) {
                let again = git_credentials_text(parsed.all());
                prop_assert_eq!(GitCredentials::parse(again.expose()).unwrap().all().len(), parsed.all().len());
            }
        }
    }
}
