//! The sources of secrets: literals, files, variables, standard input and commands.

use std::io::{self, Read};
use std::path::PathBuf;

use git_credential::GitScope;
use proto::limits::MAX_SECRET;
use proto::{KeyForm, Secret};
use thiserror::Error;

use crate::named_file::NamedFile;
use crate::secrets::command::{self, CommandError};
use crate::secrets::git_credential::{GitCredentialProblem, GitCredentialSpec};
use crate::secrets::retries::NextRun;

/// The settings of one secret.
#[derive(Debug)]
pub struct SecretSpec {
    /// The key, and the encoding in which the source has the value.
    pub form: KeyForm,
    pub source: Source,
    /// How many sessions may read it; `None` for any number.
    pub max_reads: Option<u32>,
    /// Whether the value may be empty.
    pub allow_empty: bool,
    /// Whether to remove one line end at the end of the value.
    pub trim: bool,
}

/// Where the bridge gets a secret.
#[derive(Debug)]
pub enum Source {
    /// The value itself, as given on the command line.
    Literal(Secret),
    /// A file, read once, when the bridge starts.
    File(NamedFile),
    /// An environment variable of the bridge.
    Env(String),
    /// The bridge's standard input, up to its end.
    Stdin,
    /// The output of a command, which runs once, when a client first asks for the secret.
    Command(String),
    /// Git credentials, each with a source of its own. One made of another secret is checked at the start, if the value
    /// of that secret is known then.
    GitCredentials(Vec<GitCredentialSpec>),
}

/// Why a source yields no secret. Never carries what it yielded.
#[derive(Debug, Error)]
pub enum SourceError {
    #[error("cannot read {}: {source}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    #[error("cannot read standard input: {0}")]
    Stdin(io::Error),
    #[error("{0}")]
    Command(#[from] CommandError),
    #[error("the source is empty (allow-empty permits an empty value)")]
    Empty,
    #[error("the value is larger than {} MiB", MAX_SECRET >> 20)]
    TooLarge,
    /// The value is not encoded as the key's prefix says.
    #[error("{0}")]
    NotEncoded(#[from] proto::DecodeError),
    #[error("{scope}: {problem}")]
    GitCredential { scope: Box<GitScope>, problem: Box<GitCredentialProblem> },
    /// A source that ran and failed.
    #[error("{problem} ({next})")]
    Failed { problem: Box<SourceError>, next: NextRun },
    /// The last error of a source that was not run now, because it failed before.
    #[error("{why} ({next})")]
    NotRunAgain { why: String, next: NextRun },
    /// The bridge ended while the source ran.
    #[error("the bridge ended while the source ran")]
    Abandoned,
}

impl SourceError {
    /// The error with the time of the next run first: a client shows some 200 characters, and a command's stderr may be
    /// longer.
    pub(crate) fn for_client(&self) -> String {
        match self {
            Self::Failed { problem, next } => format!("{next}: {problem}"),
            Self::NotRunAgain { why, next } => format!("{next}: {why}"),
            Self::File { .. }
            | Self::NotSet(_)
            | Self::Stdin(_)
            | Self::Command(_)
            | Self::Empty
            | Self::TooLarge
            | Self::NotEncoded(_)
            | Self::GitCredential { .. }
            | Self::Abandoned => self.to_string(),
        }
    }
}

impl SecretSpec {
    /// Reads the value, or returns `None` if that takes a command. A literal is moved out.
    ///
    /// # Errors
    /// [`SourceError`], which may name a file or variable and never has the value.
    pub(crate) fn read_at_start(&mut self) -> Result<Option<Secret>, SourceError> {
        let secret = match &mut self.source {
            Source::Literal(secret) => std::mem::replace(secret, Secret::new(Vec::new())),
            Source::File(file) => read_file(file)
                .map_err(|source| SourceError::File { path: file.path().to_owned(), source })?,
            Source::Env(name) => Secret::new(
                std::env::var_os(&*name)
                    .ok_or_else(|| SourceError::NotSet(name.clone()))?
                    .into_encoded_bytes(),
            ),
            Source::Stdin => read_bounded(io::stdin().lock(), 0).map_err(SourceError::Stdin)?,
            Source::Command(_) | Source::GitCredentials(_) => return Ok(None),
        };
        self.finish(secret).map(Some)
    }

    /// Runs the command of a [`Source::Command`].
    ///
    /// # Errors
    /// [`SourceError`].
    pub(crate) async fn run_command(&self) -> Result<Secret, SourceError> {
        match &self.source {
            Source::Command(command) => self.finish(command::run(command).await?),
            // Not reached: these were read at the start, or the store composes them.
            Source::Literal(_)
            | Source::File(_)
            | Source::Env(_)
            | Source::Stdin
            | Source::GitCredentials(_) => Err(SourceError::Empty),
        }
    }

    /// Trims, decodes and checks the bytes of a source.
    fn finish(&self, secret: Secret) -> Result<Secret, SourceError> {
        if secret.len() as u64 > MAX_SECRET {
            return Err(SourceError::TooLarge);
        }
        let secret = if self.trim { without_line_end(secret) } else { secret };
        let secret = self.form.encoding.decode(secret)?;
        if secret.is_empty() && !self.allow_empty { Err(SourceError::Empty) } else { Ok(secret) }
    }
}

fn read_file(file: &NamedFile) -> io::Result<Secret> {
    let file = file.open()?;
    // The whole capacity at once: a vector that grows needs half as much again.
    let expected = file.metadata()?.len().min(MAX_SECRET);
    read_bounded(file, usize::try_from(expected).unwrap_or(0))
}

/// Reads to the end, or one byte more than a secret may have, so that [`SecretSpec::finish`] sees that it is too large.
fn read_bounded(reader: impl Read, expected: usize) -> io::Result<Secret> {
    let mut bytes = Vec::with_capacity(expected);
    reader.take(MAX_SECRET + 1).read_to_end(&mut bytes)?;
    Ok(Secret::new(bytes))
}

fn without_line_end(secret: Secret) -> Secret {
    let bytes = secret.expose();
    match bytes.strip_suffix(b"\n") {
        None => secret,
        Some(rest) => Secret::new(rest.strip_suffix(b"\r").unwrap_or(rest).to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literal(key: &str, value: &[u8]) -> SecretSpec {
        SecretSpec {
            form: key.parse().unwrap(),
            source: Source::Literal(Secret::new(value.to_vec())),
            max_reads: None,
            allow_empty: false,
            trim: false,
        }
    }

    #[test]
    fn a_source_is_decoded_as_its_prefix_says() {
        let secret = literal("b64:k", b"aGVsbG8=").read_at_start().unwrap().unwrap();
        assert_eq!(secret.expose(), b"hello");
        assert!(matches!(literal("b64:k", b"%").read_at_start(), Err(SourceError::NotEncoded(_))));
    }

    #[test]
    fn an_empty_value_is_an_error_unless_allowed() {
        assert!(matches!(literal("k", b"").read_at_start(), Err(SourceError::Empty)));
        let mut allowed = SecretSpec { allow_empty: true, ..literal("k", b"") };
        assert!(allowed.read_at_start().unwrap().unwrap().is_empty());
    }

    #[test]
    fn trimming_removes_one_line_end_and_no_more() {
        for (value, trimmed) in [("t\n", "t"), ("t\r\n", "t"), ("t\n\n", "t\n"), ("t", "t"), ("t ", "t ")] {
            let mut spec = SecretSpec { trim: true, ..literal("k", value.as_bytes()) };
            assert_eq!(spec.read_at_start().unwrap().unwrap().expose(), trimmed.as_bytes());
        }
    }
}
