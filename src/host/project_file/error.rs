//! Why a project file is not used.

use std::io;
use std::path::{Path, PathBuf};

use proto::escape_whole;
use thiserror::Error;

use super::read::{Digest, MAX_SIZE};

/// Why a project file is not used. Never carries a value that stood where a source belongs.
#[derive(Debug, Error)]
pub(crate) enum ProjectFileError {
    /// It cannot be found or read.
    #[error("cannot read the project file {}", shown(.path))]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// Somebody else could change it, or what it names.
    #[error("the project file {} is not used: {problem}", shown(.path))]
    NotPrivate {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: &'static str,
    },
    /// More than there is any need for.
    #[error("the project file {} is larger than {} KiB", shown(.0), MAX_SIZE >> 10)]
    TooLarge(PathBuf),
    /// Not TOML, or not what it may say.
    #[error("{}, line {line}: {problem}", shown(.path))]
    Content {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// With the key, escaped.
        problem: String,
    },
    /// Nobody has allowed it.
    #[error("the project file {} is not approved (SHA-256 {found})", shown(.path))]
    NotAllowed {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: Digest,
    },
    /// Somebody has allowed what it was.
    #[error("the project file {} has changed since its approval (SHA-256 {found})", shown(.path))]
    Changed {
        /// The file.
        path: PathBuf,
        /// What it is now.
        found: Digest,
    },
    /// `--allow-config` names other bytes.
    #[error("the project file {} is not the one of --allow-config\n  found    {found}\n  expected {wanted}", shown(.path))]
    OtherDigest {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: Digest,
        /// What was asked for.
        wanted: Digest,
    },
    /// One is needed, and there is none.
    #[error("no {} in the working directory or above it, up to the root of the repository", super::NAME)]
    None,
    /// The records of `allow` cannot be used.
    #[error("cannot use the records of approved project files, {}: {problem}", shown(.path))]
    Records {
        /// A file or directory of theirs.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// There is nowhere to keep records.
    #[error("no home directory for the records of approved project files")]
    NoHome,
    /// Nobody is there to be asked.
    #[error("not approved: a person must confirm at a terminal (standard input and standard error)")]
    NobodyToAsk(Digest),
    /// The answer was not yes.
    #[error("not approved: the answer was not yes")]
    Declined,
}

impl ProjectFileError {
    /// What to do about it.
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            // Without the path: whoever named its directories does not write into a line that is copied into a shell.
            Self::NotAllowed { .. } | Self::Changed { .. } => Some(
                "`secrets-bridge allow` (with FILE, if you use --config FILE) shows what it asks for and approves it; \
                 --no-config ignores it"
                    .to_owned(),
            ),
            Self::NotPrivate { .. } => {
                Some("`chmod go-w` or `chown` it; --no-config ignores it".to_owned())
            }
            Self::NobodyToAsk(digest) => {
                Some(format!("without a terminal, as in CI, use `run --allow-config {digest}` (or `serve`)"))
            }
            Self::Read { .. } => Some("--no-config ignores it".to_owned()),
            Self::TooLarge(_)
            | Self::Content { .. }
            | Self::OtherDigest { .. }
            | Self::None
            | Self::Records { .. }
            | Self::NoHome
            | Self::Declined => None,
        }
    }
}

/// A path has no line ends when it is shown: each line of a message is ours.
fn shown(path: &Path) -> String {
    escape_whole(&path.to_string_lossy())
}
