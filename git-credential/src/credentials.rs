//! git credentials, and the text that holds them (git-credential-store(1)).

use proto::Secret;
use thiserror::Error;

use crate::percent::{decode, encode};
use crate::scope::GitScope;

/// The key of the secret that holds git credentials.
pub const GIT_CREDENTIALS: &str = "git-credentials";

/// Longest user, and longest password, of a git credential, in bytes.
pub const MAX_GIT_CREDENTIAL: usize = 16 << 10;

/// The user for a token without one: what GitHub documents for the tokens of its apps. With other tokens GitHub accepts any
/// user, and so do GitLab, Gitea and most others. A credential of this user is for whatever user a URL names.
pub const TOKEN_USER: &str = "x-access-token";

/// Users that stand for no account in a URL such as `https://oauth2@gitlab.example/…`: documentation of GitHub, GitLab, Gitea and
/// Bitbucket writes them in front of a token, and `git` is what is left of a URL for ssh.
const PLACEHOLDER_USERS: [&str; 9] = [
    TOKEN_USER,
    "git",
    "oauth2",
    "token",
    "gitlab-ci-token",
    "private-token",
    "x-oauth-basic",
    "x-token-auth",
    "x-bitbucket-api-token-auth",
];

/// Most git credentials of one bridge.
pub const MAX_GIT_CREDENTIALS: usize = 256;

/// Longest text of git credentials, in bytes: room for [`MAX_GIT_CREDENTIALS`] of the longest ones, percent-encoded.
pub const MAX_GIT_CREDENTIALS_TEXT: usize = 32 << 20;

/// Longest text of attributes, in bytes: a request of git for a credential, or an answer of git's own.
pub const MAX_GIT_ATTRIBUTES: usize = 64 << 10;

const HTTPS: &[u8] = b"https://";

/// User and password for a [`GitScope`]. Both are secret: some servers take a token as the user.
#[derive(Debug)]
pub struct GitCredential {
    scope: GitScope,
    user: Secret,
    password: Secret,
}

/// A user or password that git's protocol cannot carry, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidCredential {
    #[error("its {0} is empty")]
    Empty(&'static str),
    /// git's protocol has one line for each attribute.
    #[error("its {0} contains a line end or a NUL byte, which git's protocol does not allow")]
    LineEnd(&'static str),
    /// More than [`MAX_GIT_CREDENTIAL`].
    #[error("its {0} is longer than {MAX_GIT_CREDENTIAL} bytes")]
    TooLong(&'static str),
}

/// Why a text does not hold git credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum GitCredentialsError {
    /// The number of the line.
    #[error("line {0} is not of the form https://USER:PASSWORD@HOST[:PORT][/PATH], percent-encoded")]
    Line(usize),
    /// More than [`MAX_GIT_CREDENTIALS`], or than [`MAX_GIT_CREDENTIALS_TEXT`] bytes.
    #[error("more than {MAX_GIT_CREDENTIALS} git credentials, or {} MiB", MAX_GIT_CREDENTIALS_TEXT >> 20)]
    TooMany,
}

impl GitCredential {
    pub fn new(scope: GitScope, user: Secret, password: Secret) -> Result<Self, InvalidCredential> {
        for (what, secret) in [("user", &user), ("password", &password)] {
            if secret.is_empty() {
                return Err(InvalidCredential::Empty(what));
            } else if secret.len() > MAX_GIT_CREDENTIAL {
                return Err(InvalidCredential::TooLong(what));
            } else if secret.expose().iter().any(|byte| b"\0\r\n".contains(byte)) {
                return Err(InvalidCredential::LineEnd(what));
            }
        }
        Ok(Self { scope, user, password })
    }

    pub fn scope(&self) -> &GitScope {
        &self.scope
    }

    pub fn user(&self) -> &Secret {
        &self.user
    }

    /// A password or token.
    pub fn password(&self) -> &Secret {
        &self.password
    }

    /// Parses one line, without its end.
    fn parse(line: &[u8]) -> Option<Self> {
        let rest = line.strip_prefix(HTTPS)?;
        let at = rest.iter().position(|byte| b"@/".contains(byte))?;
        let (login, rest) = (rest.get(..at)?, rest.get(at..)?.strip_prefix(b"@")?);
        let colon = login.iter().position(|byte| *byte == b':')?;
        let (user, password) = (decode(login.get(..colon)?)?, decode(login.get(colon + 1..)?)?);
        let scope = GitScope::parse(std::str::from_utf8(rest).ok()?)?;
        Self::new(scope, user, password).ok()
    }
}

/// A credential, as the answer to one request.
#[derive(Debug)]
pub struct GitLogin<'a> {
    /// The user to log in as: the one that was asked for, if the credential is for any.
    pub user: &'a [u8],
    pub credential: &'a GitCredential,
}

/// The git credentials of one text.
#[derive(Debug, Default)]
pub struct GitCredentials {
    all: Vec<GitCredential>,
    /// Number of lines for `http://`, which are ignored.
    pub unencrypted: usize,
}

impl GitCredentials {
    /// Ignores empty lines, as git does.
    pub fn parse(text: &[u8]) -> Result<Self, GitCredentialsError> {
        if text.len() > MAX_GIT_CREDENTIALS_TEXT {
            return Err(GitCredentialsError::TooMany);
        }
        let mut parsed = Self::default();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            if line.starts_with(b"http://") {
                parsed.unencrypted += 1;
            } else {
                if parsed.all.len() == MAX_GIT_CREDENTIALS {
                    return Err(GitCredentialsError::TooMany);
                }
                parsed.all.push(GitCredential::parse(line).ok_or(GitCredentialsError::Line(index + 1))?);
            }
        }
        Ok(parsed)
    }

    /// In the order of the text.
    pub fn all(&self) -> &[GitCredential] {
        &self.all
    }

    /// The login for `requested`, and for `user` if git names one. Of several credentials, the one with the longest path wins,
    /// then the first.
    ///
    /// If git names a user, the credential of this user comes first, then a token without a user ([`TOKEN_USER`]), which logs in
    /// as that user, and then, if the user is a mere placeholder such as `git`, that of any user, who logs in.
    pub fn find<'a>(&'a self, requested: &GitScope, user: Option<&'a [u8]>) -> Option<GitLogin<'a>> {
        let longest = |fits: &dyn Fn(&[u8]) -> bool| {
            let fits = |credential: &&GitCredential| {
                credential.scope.covers(requested) && fits(credential.user.expose())
            };
            // Reversed, because `max_by_key` returns the last of equals.
            self.all.iter().rev().filter(fits).max_by_key(|credential| credential.scope.depth())
        };
        let own = |credential: &'a GitCredential| GitLogin { user: credential.user.expose(), credential };
        let Some(user) = user.filter(|user| !user.is_empty()) else { return longest(&|_| true).map(own) };
        let is_placeholder = PLACEHOLDER_USERS.iter().any(|placeholder| placeholder.as_bytes() == user);
        longest(&|named| named == user)
            .or_else(|| longest(&|named| named == TOKEN_USER.as_bytes()))
            .map(|credential| GitLogin { user, credential })
            .or_else(|| longest(&|_| is_placeholder).map(own))
    }

    /// Whether there is a credential for `requested`, whatever its user.
    pub fn covers(&self, requested: &GitScope) -> bool {
        self.all.iter().any(|credential| credential.scope.covers(requested))
    }
}

impl From<Vec<GitCredential>> for GitCredentials {
    fn from(all: Vec<GitCredential>) -> Self {
        Self { all, unencrypted: 0 }
    }
}

/// Encodes `credentials` for [`GitCredentials::parse`] and git-credential-store(1).
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> GitCredentials {
        GitCredentials::parse(text.as_bytes()).unwrap()
    }

    fn found(credentials: &GitCredentials, host: &str, path: Option<&str>, user: Option<&str>) -> String {
        let requested = GitScope::from_request(host, path).unwrap();
        let found = credentials.find(&requested, user.map(str::as_bytes));
        found
            .map(|one| String::from_utf8(one.credential.password.expose().to_vec()).unwrap())
            .unwrap_or_default()
    }

    #[test]
    fn a_user_in_the_url_gets_a_token_without_a_user_or_its_own_credential() {
        let login = |text: &str, user: &str| {
            let credentials = parsed(text);
            let requested = GitScope::from_request("h", Some("org/repo")).unwrap();
            let found = credentials.find(&requested, Some(user.as_bytes()));
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            found.map(|found| format!("{}:{}", text(found.user), text(found.credential.password.expose())))
        };
        let expect = |text: &str, user: &str, login_as: Option<&str>| {
            assert_eq!(login(text, user).as_deref(), login_as, "{user} of {text}");
        };
        let token = "https://x-access-token:t@h\n";
        for user in ["git", "oauth2", "x-access-token", "gitlab+deploy-token-1", "bob", "x-token-auth"] {
            expect(token, user, Some(&format!("{user}:t")));
        }
        let named = "https://bob:p@h\n";
        for user in ["git", "oauth2", "x-access-token", "gitlab-ci-token"] {
            expect(named, user, Some("bob:p"));
        }
        expect(named, "bob", Some("bob:p"));
        for user in ["eve", "Bob", "bob ", "Git", "github"] {
            expect(named, user, None);
        }
        // The user's own credential comes before a token, and a token before another user's.
        let all = "https://x-access-token:t@h/org\nhttps://bob:p@h\nhttps://git:g@h\n";
        expect(all, "bob", Some("bob:p"));
        expect(all, "git", Some("git:g"));
        expect(all, "oauth2", Some("oauth2:t"));
        expect(all, "eve", Some("eve:t"));
        expect("https://x-access-token:t@h/other\nhttps://bob:p@h\n", "git", Some("bob:p"));
        expect("https://x-access-token:t@g\n", "git", None);
    }

    #[test]
    fn the_most_specific_credential_that_fits_wins() {
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
        assert_eq!(found(&credentials, "h", Some("org/repo"), Some("")), "repo");
        assert_eq!(found(&credentials, "h", Some("org/repo"), Some("w")), "");
        assert_eq!(found(&parsed("https://u:only@h/org"), "h", None, None), "");
    }

    #[test]
    fn an_invalid_line_is_reported_by_its_number() {
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
                Some(GitCredentialsError::Line(3)),
                "{line}"
            );
        }
        let many = "https://u:p@h\n".repeat(MAX_GIT_CREDENTIALS + 1);
        assert_eq!(GitCredentials::parse(many.as_bytes()).err(), Some(GitCredentialsError::TooMany));
    }

    #[test]
    fn a_credential_that_git_cannot_read_is_invalid() {
        let new = |user: &str, password: &str| {
            let secret = |text: &str| Secret::from(text.to_owned());
            GitCredential::new(GitScope::parse("h").unwrap(), secret(user), secret(password)).err()
        };
        assert_eq!(new("u", "p:@/%ä"), None);
        assert_eq!(new("", "p"), Some(InvalidCredential::Empty("user")));
        assert_eq!(new("u", "a\nb"), Some(InvalidCredential::LineEnd("password")));
        assert_eq!(new("u\0", "p"), Some(InvalidCredential::LineEnd("user")));
        assert_eq!(
            new("u", &"p".repeat(MAX_GIT_CREDENTIAL + 1)),
            Some(InvalidCredential::TooLong("password"))
        );
    }

    proptest! {
        #[test]
        fn a_text_survives_a_round_trip(
            user in proptest::collection::vec(1u8.., 1..40),
            password in proptest::collection::vec(1u8.., 1..40),
            path in "(/[^/\\p{C}]{1,9}){0,3}",
        ) {
            prop_assume!(!user.iter().chain(&password).any(|byte| b"\r\n".contains(byte)));
            let scope = GitScope::from_request("host.example:8443", Some(&path));
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
        fn hostile_text_never_panics(text: Vec<u8>, line in "https://[a-z%:@/.0-9\\[\\]]{0,40}") {
            let _ = GitCredentials::parse(&text);
            if let Ok(parsed) = GitCredentials::parse(line.as_bytes()) {
                let again = git_credentials_text(parsed.all());
                prop_assert_eq!(GitCredentials::parse(again.expose()).unwrap().all().len(), parsed.all().len());
            }
        }
    }
}
