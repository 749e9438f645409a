//! Exit codes, and the one place that decides them.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | success; `exec` and `run` exit with the code of COMMAND |
//! | 1 | `scan` or `run --scan` found a secret |
//! | 125 | secrets-bridge failed: usage, conf, bridge, source, delivery; or COMMAND succeeded, but wrote a secret into a file |
//! | 126 | COMMAND exists and cannot be executed |
//! | 127 | COMMAND was not found |
//! | 128 + N | signal N ended COMMAND |
//! | 141 | the reader of `print` ended before it had the whole secret |

use std::io;
use std::process::ExitCode;

#[cfg(feature = "host")]
use bridge_host::{AgentsError, HostError, HttpCredentialsError, SecretStoreError};
#[cfg(feature = "host")]
use image_scan::ScanError;
use thiserror::Error;

use crate::usage::UsageError;

const FAILED: u8 = 125;
const CANNOT_EXECUTE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// What a shell shows for a program that SIGPIPE (13) ended.
const OUTPUT_CLOSED: u8 = 141;

/// Everything that ends a command early.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Usage(#[from] UsageError),
    #[cfg(feature = "client")]
    #[error(transparent)]
    Client(#[from] bridge_client::ClientError),
    #[cfg(feature = "client")]
    #[error(transparent)]
    GitHelper(#[from] bridge_client::git::credential_helper::CredentialHelperError),
    /// Under the name of ssh, or of git's remote helper.
    #[cfg(all(feature = "client", unix))]
    #[error(transparent)]
    Wrapper(#[from] bridge_client::ssh::wrapper::WrapperError),
    #[cfg(feature = "host")]
    #[error(transparent)]
    Host(#[from] HostError),
    #[cfg(feature = "host")]
    #[error(transparent)]
    HttpCredentials(#[from] HttpCredentialsError),
    #[cfg(feature = "host")]
    #[error(transparent)]
    ProjectFile(#[from] crate::host::ProjectFileError),
    #[cfg(feature = "host")]
    #[error(transparent)]
    Scan(#[from] ScanError),
    #[error("cannot start {}", proto::escape(.program))]
    Command { program: String, source: io::Error },
    #[error("{what}")]
    Io {
        /// Begins with "cannot".
        what: String,
        source: io::Error,
    },
    /// The reader has closed standard output (EPIPE). There is no message, since the reader knows: only the exit code.
    #[error("standard output was closed")]
    OutputClosed,
    /// The background process of `serve -d` did not start.
    #[cfg(feature = "host")]
    #[error("{message}")]
    Background {
        /// The message of the background process, escaped by it.
        message: String,
    },
}

#[cfg(feature = "host")]
impl From<AgentsError> for Failure {
    fn from(error: AgentsError) -> Self {
        Self::Host(error.into())
    }
}

#[cfg(feature = "host")]
impl From<SecretStoreError> for Failure {
    fn from(error: SecretStoreError) -> Self {
        Self::Host(error.into())
    }
}

impl Failure {
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    // All failures but these few have one code.
    #[allow(clippy::wildcard_enum_match_arm)]
    pub(crate) fn exit_code(&self) -> u32 {
        let code = match self {
            Self::Command { source, .. } if source.kind() == io::ErrorKind::NotFound => NOT_FOUND,
            Self::Command { .. } => CANNOT_EXECUTE,
            Self::OutputClosed => OUTPUT_CLOSED,
            #[cfg(all(feature = "client", unix))]
            Self::Wrapper(error) => error.exit_code(),
            _ => FAILED,
        };
        u32::from(code)
    }

    /// What to do about it, if there is useful advice.
    #[allow(clippy::wildcard_enum_match_arm)]
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Usage(error) => error.hint(),
            #[cfg(feature = "client")]
            Self::Client(error) => error.hint(),
            #[cfg(feature = "host")]
            Self::ProjectFile(error) => error.hint(),
            #[cfg(feature = "host")]
            Self::Scan(ScanError::NoArchive | ScanError::NoImage) => Some(
                "write the archive with `docker save IMAGE`; `docker export` does not write an image"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}

/// Ends `main` with `code`. Windows has 32-bit codes, and COMMAND's is passed on unchanged.
pub(crate) fn exit_with(code: u32) -> ExitCode {
    match u8::try_from(code) {
        Ok(code) => ExitCode::from(code),
        // Only COMMAND's code on Windows is larger; nothing is left to drop there.
        Err(_) => std::process::exit(code.cast_signed()),
    }
}
