//! The sources of git credentials: another secret of the bridge, or `git credential fill` on this host.

use git_credential::{
    AttributeError, GitAttributes, GitCredential, GitScope, InvalidCredential, MAX_GIT_ATTRIBUTES, TOKEN_USER,
};
use proto::{Key, Secret};
use thiserror::Error;
use tokio::process::Command;

use crate::child;
use crate::program::find_program;
use crate::secrets::command::{self, CommandError};
use crate::secrets::empty_directory::EmptyDirectory;

/// The settings of one git credential.
#[derive(Debug)]
pub struct GitCredentialSpec {
    /// What the credential is for.
    pub scope: GitScope,
    /// The user, if the settings name one.
    pub user: Option<String>,
    pub source: GitCredentialSource,
}

/// Where the bridge gets a git credential.
#[derive(Debug)]
pub enum GitCredentialSource {
    /// This secret: `USER:PASSWORD`, a token alone, or git's lines `username=…` and `password=…`. If
    /// [`GitCredentialSpec::user`] is set, a value without git's lines is the password.
    Secret(Key),
    /// This host's git, which asks its credential helpers.
    Git,
}

/// Why there is no git credential. Never carries what its source yielded.
#[derive(Debug, Error)]
pub enum GitCredentialProblem {
    /// The bridge does not have the secret that the credential is made of.
    #[error("there is no secret {0}: give it with --secret")]
    NoSecret(Key),
    /// The source of that secret failed.
    #[error("secret {key}: {why}")]
    Source { key: Key, why: String },
    /// git has no credential, or a helper failed.
    #[error("`git credential fill`: {0}")]
    Git(CommandError),
    /// Invalid lines of attributes.
    #[error(transparent)]
    Attributes(#[from] AttributeError),
    /// An attribute that contradicts the settings.
    #[error("its {0} is not the one that was asked for")]
    Mismatch(&'static str),
    /// A missing attribute.
    #[error("it has no {0}")]
    Missing(&'static str),
    /// A user or password that git cannot use.
    #[error(transparent)]
    Unfit(#[from] InvalidCredential),
}

impl GitCredentialSpec {
    /// Parses `secret`, the value of a [`GitCredentialSource::Secret`]. One line end at its end is ignored.
    ///
    /// # Errors
    /// [`GitCredentialProblem`].
    pub(crate) fn read(&self, secret: &Secret) -> Result<GitCredential, GitCredentialProblem> {
        let text = secret.expose();
        let text = text.strip_suffix(b"\n").map_or(text, |text| text.strip_suffix(b"\r").unwrap_or(text));
        let of_git = |line: &[u8]| line.starts_with(b"password=") || line.starts_with(b"username=");
        if text.split(|byte| *byte == b'\n').any(of_git) {
            return self.check(GitAttributes::parse(text)?);
        }
        let colon = text.iter().position(|byte| *byte == b':');
        let (user, password) = match (&self.user, colon) {
            (Some(user), _) => (user.as_bytes(), text),
            (None, Some(colon)) => {
                (text.get(..colon).unwrap_or_default(), text.get(colon + 1..).unwrap_or_default())
            }
            (None, None) => (TOKEN_USER.as_bytes(), text),
        };
        let secret = |bytes: &[u8]| Secret::new(bytes.to_vec());
        Ok(GitCredential::new(self.scope.clone(), secret(user), secret(password))?)
    }

    /// Asks this host's git, as user and system have configured it, for a [`GitCredentialSource::Git`].
    ///
    /// # Errors
    /// [`GitCredentialProblem`].
    pub(crate) async fn fill(&self) -> Result<GitCredential, GitCredentialProblem> {
        let mut request = format!("protocol=https\nhost={}\n", self.scope.server());
        // git itself omits the path when it asks its helpers, unless credential.useHttpPath is set.
        for (name, value) in [("path", self.scope.path()), ("username", self.user.clone())] {
            if let Some(value) = value {
                request += &format!("{name}={value}\n");
            }
        }
        let failed =
            |error: std::io::Error| GitCredentialProblem::Git(CommandError::Start(error.to_string()));
        let program = find_program("git".as_ref()).ok_or_else(|| {
            failed(std::io::Error::other("there is no git in PATH (relative directories are not searched)"))
        })?;
        let mut git = Command::from(child::helper(program));
        // A helper may open a window, but not use the terminal: another program may use that while a build asks.
        git.args(["credential", "fill"]).env("GIT_TERMINAL_PROMPT", "0");
        // Outside of repositories: the working directory may be a clone of someone else's, and its configuration could
        // name a helper that is a command of theirs. `safe.directory` does not help, as the clone belongs to this user.
        let directory = EmptyDirectory::create().map_err(failed)?;
        git.current_dir(directory.path()).env("GIT_CEILING_DIRECTORIES", directory.ceiling());
        let answer =
            command::run_program(git, request.as_bytes()).await.map_err(GitCredentialProblem::Git)?;
        if answer.len() > MAX_GIT_ATTRIBUTES {
            return Err(GitCredentialProblem::Git(CommandError::TooLarge(MAX_GIT_ATTRIBUTES as u64)));
        }
        self.check(GitAttributes::parse(answer.expose())?)
    }

    /// Checks attributes against the settings, and makes a credential of them.
    fn check(&self, found: GitAttributes) -> Result<GitCredential, GitCredentialProblem> {
        let is = |found: &Option<Secret>, wanted: &[u8]| {
            found.as_ref().is_none_or(|found| found.expose() == wanted)
        };
        let host = found.host.as_ref().map(|host| std::str::from_utf8(host.expose()).unwrap_or_default());
        if !is(&found.protocol, b"https") {
            return Err(GitCredentialProblem::Mismatch("protocol"));
        } else if host.is_some_and(|host| {
            GitScope::from_request(host, None).is_none_or(|host| host.server() != self.scope.server())
        }) {
            return Err(GitCredentialProblem::Mismatch("host"));
        } else if let Some(user) = &self.user
            && !is(&found.username, user.as_bytes())
        {
            return Err(GitCredentialProblem::Mismatch("username"));
        }
        let password = found.password.ok_or(GitCredentialProblem::Missing("password"))?;
        let named = self.user.as_deref().unwrap_or(TOKEN_USER);
        let user = found.username.unwrap_or_else(|| Secret::from(named.to_owned()));
        Ok(GitCredential::new(self.scope.clone(), user, password)?)
    }
}

impl GitCredentialProblem {
    /// The secret `key` is not available, because of `why`.
    pub(crate) fn source(key: &Key, why: &str) -> Self {
        Self::Source { key: key.clone(), why: why.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(user: Option<&str>, value: &str) -> Result<(String, String), String> {
        let spec = GitCredentialSpec {
            scope: GitScope::parse("h:8443/org").unwrap(),
            user: user.map(str::to_owned),
            source: GitCredentialSource::Git,
        };
        let text = |secret: &Secret| String::from_utf8(secret.expose().to_vec()).unwrap();
        let credential = spec.read(&Secret::from(value.to_owned()));
        credential.map(|one| (text(one.user()), text(one.password()))).map_err(|problem| problem.to_string())
    }

    #[test]
    fn a_secret_has_user_and_password_in_one_of_three_forms() {
        for (user, value, expected) in [
            (None, "ghp_token", ("x-access-token", "ghp_token")),
            (None, "ghp_token\r\n", ("x-access-token", "ghp_token")),
            (None, "bob:hunter:2\n", ("bob", "hunter:2")),
            (None, "username=bob\npassword=hunter2\n", ("bob", "hunter2")),
            (None, "password=hunter2", ("x-access-token", "hunter2")),
            (
                None,
                "capability[]=x\nprotocol=https\nhost=H:8443\nusername=bob\npassword=hun:ter=2\n",
                ("bob", "hun:ter=2"),
            ),
            (Some("ci"), "hunter:2", ("ci", "hunter:2")),
            (Some("ci"), "password=hunter2", ("ci", "hunter2")),
            (Some("ci"), "password=hunter2\nusername=ci", ("ci", "hunter2")),
        ] {
            let expected = (expected.0.to_owned(), expected.1.to_owned());
            assert_eq!(read(user, value), Ok(expected), "{value:?}");
        }
    }

    #[test]
    fn an_invalid_value_is_an_error_that_does_not_show_it() {
        for (user, value) in [
            (None, ""),
            (None, "\n"),
            (None, ":hunter2"),
            (None, "hunter2:"),
            (None, "hunter2\nhunter2"),
            (None, "hunter2\n\n"),
            (None, "hunter2\0"),
            (Some("ci"), "hunter2\rhunter2"),
            (None, "username=hunter2"),
            (None, "username=hunter2\npassword="),
            (None, "username=hunter2\npassword=a\npassword=b"),
            (None, "password=hunter2\nhunter2"),
            (None, "host=hunter2\npassword=hunter2"),
            (None, "host=h\npassword=hunter2"),
            (None, "protocol=http\npassword=hunter2"),
            (Some("ci"), "username=hunter2\npassword=hunter2"),
        ] {
            let problem = read(user, value).unwrap_err();
            assert!(!problem.contains("hunter"), "{problem}");
        }
    }
}
