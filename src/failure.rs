//! Exit codes, and the one place that decides them.
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done (`exec`, `run`: COMMAND's own code, whatever it is) |
//! | 1 | `scan` found a secret |
//! | 125 | a failure of ours: usage, conf, bridge, source, delivery; COMMAND succeeded, and wrote a secret down |
//! | 126 | COMMAND exists and cannot be executed |
//! | 127 | COMMAND was not found |
//! | 128 + N | signal N ended COMMAND |

use std::io;
use std::process::ExitCode;

#[cfg(feature = "client")]
use bridge_client::ClientError;
#[cfg(feature = "client")]
use bridge_client::git::credential_helper::GitHelperError;
#[cfg(all(feature = "client", unix))]
use bridge_client::ssh::wrapper::WrapperError;
#[cfg(feature = "host")]
use bridge_host::{AgentsError, HostError, SecretStoreError};
#[cfg(feature = "host")]
use image_scan::ScanError;
use thiserror::Error;

#[cfg(feature = "host")]
use crate::host::project_file::ProjectFileError;
use crate::usage::UsageError;

const OURS: u8 = 125;
const CANNOT_EXECUTE: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Everything that ends a command early.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The command line makes no sense.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The build's side failed.
    #[cfg(feature = "client")]
    #[error(transparent)]
    Client(#[from] ClientError),
    /// git, which asks for a credential, cannot be answered.
    #[cfg(feature = "client")]
    #[error(transparent)]
    GitHelper(#[from] GitHelperError),
    /// ssh, or git's remote helper, which this program stands in front of.
    #[cfg(all(feature = "client", unix))]
    #[error(transparent)]
    Wrapper(#[from] WrapperError),
    /// The host's side failed.
    #[cfg(feature = "host")]
    #[error(transparent)]
    Host(#[from] HostError),
    /// A project file may not be used, or cannot.
    #[cfg(feature = "host")]
    #[error(transparent)]
    ProjectFile(#[from] ProjectFileError),
    /// An image could not be searched.
    #[cfg(feature = "host")]
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// COMMAND did not start.
    #[error("cannot start {}", proto::escape(.program))]
    Command {
        /// COMMAND.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A file or stream of ours failed.
    #[error("{what}")]
    Io {
        /// What could not be done, to what.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// A background bridge did not start, and said why.
    #[cfg(feature = "host")]
    #[error("{message}")]
    Detached {
        /// What it said, escaped already.
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
    /// An I/O failure of ours.
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// What the process returns.
    // Of all the ways in which a program may not start, two have codes of their own.
    #[allow(clippy::wildcard_enum_match_arm)]
    pub(crate) fn exit_code(&self) -> u32 {
        let code = match self {
            Self::Command { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => NOT_FOUND,
                _ => CANNOT_EXECUTE,
            },
            Self::Usage(_) | Self::Io { .. } => OURS,
            #[cfg(feature = "client")]
            Self::Client(_) | Self::GitHelper(_) => OURS,
            #[cfg(all(feature = "client", unix))]
            Self::Wrapper(error) => error.exit_code(),
            #[cfg(feature = "host")]
            Self::Host(_) | Self::ProjectFile(_) | Self::Scan(_) => OURS,
            #[cfg(feature = "host")]
            Self::Detached { .. } => OURS,
        };
        u32::from(code)
    }

    /// What to do about it, if an honest hint exists.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Usage(error) => error.hint(),
            #[cfg(feature = "client")]
            Self::Client(error) => error.hint(),
            #[cfg(feature = "client")]
            Self::GitHelper(_) => None,
            #[cfg(all(feature = "client", unix))]
            Self::Wrapper(_) => None,
            #[cfg(feature = "host")]
            Self::Host(_) => None,
            #[cfg(feature = "host")]
            Self::ProjectFile(error) => error.hint(),
            #[cfg(feature = "host")]
            Self::Scan(ScanError::NoArchive | ScanError::NoImage) => {
                Some("`docker save IMAGE` writes what is searched; `docker export` does not".to_owned())
            }
            #[cfg(feature = "host")]
            Self::Scan(_) => None,
            Self::Command { .. } | Self::Io { .. } => None,
            #[cfg(feature = "host")]
            Self::Detached { .. } => None,
        }
    }
}

/// Ends with `code`. Windows has 32-bit codes, and a child's is passed on whole.
pub(crate) fn with(code: u32) -> ExitCode {
    match u8::try_from(code) {
        Ok(code) => ExitCode::from(code),
        // Only a child's code on Windows is larger; nothing is left to drop there.
        Err(_) => std::process::exit(code.cast_signed()),
    }
}
