//! Why a secret that arrived cannot be delivered.

use std::io;
use std::path::PathBuf;

use git_credential::GitCredentialsError;
use proto::Key;
use thiserror::Error;

use crate::delivery::access::AccessError;

/// Why a secret that arrived cannot be delivered.
#[derive(Debug, Error)]
pub enum DeliveryError {
    /// It does not fit into an environment variable.
    #[error(
        "{key} has {length} bytes, but an environment variable of this system can hold only {limit}: \
         use `secrets-bridge print {key}` or `--file`"
    )]
    TooLongForVariable {
        key: Key,
        /// In the requested encoding.
        length: u64,
        limit: u64,
    },
    /// It contains a NUL byte, which would end the value of a variable.
    #[error(
        "{key} contains a NUL byte, which no environment variable can hold: use `secrets-bridge print {key}` or `--file`"
    )]
    NulInVariable { key: Key },
    /// Variables of this system hold only UTF-8.
    #[error(
        "{key} is not UTF-8, which environment variables of this system must be: use `secrets-bridge print {key}`"
    )]
    NotTextForVariable { key: Key },
    /// It is not a list of git credentials.
    #[error("{key} does not hold git credentials: {problem}")]
    NotGit { key: Key, problem: GitCredentialsError },
    /// It is a list without credentials for https.
    #[error("{key} holds no git credential for https")]
    NoGitCredential { key: Key },
    #[error("cannot write to standard output: {0}")]
    Stdout(io::Error),
    #[error("cannot deliver {key} as a file: {problem}")]
    File { key: Key, problem: FileProblem },
}

/// Why a file cannot be put where COMMAND expects it.
#[derive(Debug, Error)]
pub enum FileProblem {
    /// There is no writable file system in memory.
    #[error(
        "no file system in memory (none of /dev/shm, /run and /tmp is one), and a secret must not reach the file system of \
         the image"
    )]
    NoMemory,
    #[error("no home directory for ~")]
    NoHome,
    #[error("{} exists (`replace` moves it away until COMMAND has ended)", .0.display())]
    Exists(PathBuf),
    /// An `exec` that was killed left the original there, or the name is taken by another file.
    #[error(
        "{} is where an exec that was killed leaves what it had found at {}, and both exist: keep one of them, as the latter",
        .saved.display(), .at.display()
    )]
    Saved { at: PathBuf, saved: PathBuf },
    #[error("{} is in use by another exec, or locked by another process", .0.display())]
    InUse(PathBuf),
    #[error("{} is not the path of a file", .0.display())]
    NoName(PathBuf),
    /// A repository, or an image, could have planted the link.
    #[error(
        "{} leads through a link out of {}, to {}: write that path if it is meant", .path.display(), .bound.display(),
        .to.display()
    )]
    LeadsOut { path: PathBuf, bound: PathBuf, to: PathBuf },
    #[error("{} is a link of another user ({owner}), who could lead it elsewhere", .path.display())]
    ForeignLink { path: PathBuf, owner: u32 },
    /// A step failed.
    #[error("cannot {what} {}: {source}", .path.display())]
    Place {
        /// The step, as a verb phrase before the path.
        what: &'static str,
        path: PathBuf,
        source: io::Error,
    },
    /// It cannot have the requested owner or mode.
    #[error(transparent)]
    Access(#[from] AccessError),
    /// Its bytes cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}
