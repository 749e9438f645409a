//! Why a secret that arrived cannot be delivered.

use std::io;
use std::path::PathBuf;

use git_credential::GitCredentialsError;
use proto::Key;
use thiserror::Error;

/// Why a secret that arrived cannot be delivered.
#[derive(Debug, Error)]
pub enum DeliveryError {
    /// More bytes than an environment variable may have.
    #[error(
        "{key} has {length} bytes, and an environment variable of this system holds {limit}: \
         use `secrets-bridge print {key}` or `--file`"
    )]
    TooLongForVariable {
        /// Which secret.
        key: Key,
        /// Its length in the form asked for.
        length: u64,
        /// How many would fit.
        limit: u64,
    },
    /// A NUL byte, which ends a variable's value.
    #[error(
        "{key} contains a NUL byte, which no environment variable can hold: use `secrets-bridge print {key}` or `--file`"
    )]
    NulInVariable {
        /// Which secret.
        key: Key,
    },
    /// Bytes that this system's variables cannot hold.
    #[error(
        "{key} is not UTF-8, which environment variables of this system must be: use `secrets-bridge print {key}`"
    )]
    NotTextForVariable {
        /// Which secret.
        key: Key,
    },
    /// No text of git credentials.
    #[error("{key} does not hold git credentials: {problem}")]
    NotGit {
        /// Which secret.
        key: Key,
        /// What is wrong with it.
        problem: GitCredentialsError,
    },
    /// A text without one.
    #[error("{key} holds no git credential for https")]
    NoGitCredential {
        /// Which secret.
        key: Key,
    },
    /// Standard output cannot be written.
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
    /// A file that COMMAND wants cannot be there.
    #[error("cannot deliver {key} as a file: {problem}")]
    File {
        /// Which secret.
        key: Key,
        /// Why not.
        problem: FileProblem,
    },
}

/// Why a file cannot be where COMMAND wants it.
#[derive(Debug, Error)]
pub enum FileProblem {
    /// No directory that is in memory.
    #[error(
        "there is no storage in memory (/dev/shm, /run and /tmp are none), and a secret must not reach the image's \
         file system"
    )]
    NoMemory,
    /// `~` without a home.
    #[error("there is no home directory for ~")]
    NoHome,
    /// Something is there.
    #[error("{} exists (`replace` puts it aside until COMMAND has ended)", .0.display())]
    Exists(PathBuf),
    /// A step of putting it there failed.
    #[error("cannot {what} {}: {source}", .path.display())]
    Place {
        /// The step.
        what: &'static str,
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Its bytes cannot be stored.
    #[error(transparent)]
    Io(#[from] io::Error),
}
