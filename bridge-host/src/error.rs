//! Why a bridge cannot start. What goes wrong later is told to the client and written into the audit.

use std::io;
use std::path::PathBuf;

use git_credential::GitScope;
use proto::agent::AgentId;
use proto::{Key, TlsError};
use thiserror::Error;

use crate::agent::{AgentError, KnownHostsError};
use crate::private_file::PrivateFileError;
use crate::random::RandomError;
use crate::secrets::command::CommandError;
use crate::secrets::git_credential::GitCredentialProblem;

/// Why a bridge does not start; each variant is something that the caller can put right.
#[derive(Debug, Error)]
pub enum HostError {
    /// No address or port to listen at.
    #[error("cannot listen at {at}")]
    Listen {
        /// The address, with port or range.
        at: String,
        /// Why, for the last port tried.
        source: io::Error,
    },
    /// A secret's source does not yield it.
    #[error("secret {key}: {problem}")]
    Source {
        /// Which secret.
        key: Key,
        /// What is wrong with its source.
        problem: SourceError,
    },
    /// Two sources for one key.
    #[error("secret {0} is given twice")]
    DuplicateKey(Key),
    /// More secrets than a bridge lists.
    #[error("more than {0} secrets")]
    TooManySecrets(usize),
    /// The file of `--ca-key-store` cannot be used.
    #[error("--ca-key-store {}: {problem}", .path.display())]
    CaKeyStore {
        /// The file.
        path: PathBuf,
        /// Why not.
        problem: CaKeyStoreError,
    },
    /// The file of `--audit` cannot be opened or written.
    #[error("--audit {}: cannot be written", .path.display())]
    Audit {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// An agent that cannot be offered.
    #[error("SSH agent {id}: {problem}")]
    Agent {
        /// Which one.
        id: AgentId,
        /// What is wrong with it.
        problem: AgentError,
    },
    /// The hosts of `--ssh-allow-host` are not known.
    #[error(transparent)]
    Hosts(#[from] KnownHostsError),
    /// `--agent-socket` cannot be made.
    #[error("--agent-socket {}", .path.display())]
    AgentSocket {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The throwaway CA could not be made.
    #[error("cannot mint the throwaway CA")]
    Mint(#[from] MintError),
}

/// What can fail while certificates are made.
#[derive(Debug, Error)]
pub enum MintError {
    /// No random bytes for a key.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// Key or certificate generation failed.
    #[error("certificate generation failed")]
    Certificate(#[from] rcgen::Error),
    /// rustls refused the result.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// Why a source yields no secret. Never carries what it yielded.
#[derive(Debug, Error)]
pub enum SourceError {
    /// A file that cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// An environment variable that is not set.
    #[error("the environment variable {0} is not set")]
    NotSet(String),
    /// Standard input could not be read.
    #[error("cannot read standard input: {0}")]
    Stdin(io::Error),
    /// A command that failed.
    #[error("{0}")]
    Command(#[from] CommandError),
    /// Nothing, and `allow-empty` was not given.
    #[error("its source is empty (allow-empty permits that)")]
    Empty,
    /// More than [`proto::limits::MAX_SECRET`].
    #[error("it is larger than {} MiB", proto::limits::MAX_SECRET >> 20)]
    TooLarge,
    /// Not what the key's prefix says.
    #[error("{0}")]
    NotEncoded(#[from] proto::key::NotEncoded),
    /// No git credential.
    #[error("{scope}: {problem}")]
    GitCredential {
        /// What it was to be for.
        scope: Box<GitScope>,
        /// Why there is none.
        problem: Box<GitCredentialProblem>,
    },
    /// What was wrong when it was tried last, a moment ago.
    #[error("{0}")]
    Before(String),
}

/// Why a CA key store is not used.
#[derive(Debug, Error)]
pub enum CaKeyStoreError {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Others can read it, or it is somebody else's, or no regular file.
    #[error("{0}; whoever can read it can use every bridge that uses it")]
    NotPrivate(&'static str),
    /// It is not such a file.
    #[error("it is not a CA key store of this version")]
    Malformed,
}

impl From<PrivateFileError> for CaKeyStoreError {
    fn from(error: PrivateFileError) -> Self {
        match error {
            PrivateFileError::Io(error) => Self::Io(error),
            PrivateFileError::NotPrivate(problem) => Self::NotPrivate(problem),
        }
    }
}
