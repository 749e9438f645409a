//! Why a project file is not used.

use std::io;
use std::path::{Path, PathBuf};

use proto::escape_whole;
use thiserror::Error;

use super::digest::Digest;

/// Never contains a value that the file has in place of a source.
#[derive(Debug, Error)]
pub(crate) enum ProjectFileError {
    #[error("cannot read the project file {}", shown(.path))]
    Read { path: PathBuf, source: io::Error },
    /// Another user could change the file, or the files that it names.
    #[error("the project file {} is not used: {problem}", shown(.path))]
    NotPrivate { path: PathBuf, problem: &'static str },
    #[error("the project file {} is larger than {} KiB", shown(.path), .maximum >> 10)]
    TooLarge {
        path: PathBuf,
        /// In bytes.
        maximum: u64,
    },
    /// Invalid TOML, an unknown key, or an invalid value.
    #[error("{}, line {line}: {problem}", shown(.path))]
    Content {
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// With the key, escaped.
        problem: String,
    },
    #[error("the project file {} is not approved (SHA-256 {found})", shown(.path))]
    NotApproved { path: PathBuf, found: Digest },
    #[error("the project file {} has changed since its approval (SHA-256 {found})", shown(.path))]
    Changed { path: PathBuf, found: Digest },
    /// A name leads elsewhere, or a known_hosts or CA file holds something else.
    #[error("{} of the project file {} has changed since its approval\n  approved  {}\n  now       {}", escape_whole(.name), shown(.path), escape_whole(.approved), escape_whole(.now))]
    Moved {
        path: PathBuf,
        /// Key and name, not escaped.
        name: String,
        approved: String,
        now: String,
    },
    #[error("the project file {} is not the one of --allow-config\n  found    {found}\n  expected {wanted}", shown(.path))]
    OtherDigest { path: PathBuf, found: Digest, wanted: Digest },
    #[error("no {} in the working directory or above it, up to the root of the repository", super::NAME)]
    None,
    #[error("cannot use the records of approved project files, {}: {problem}", shown(.path))]
    Records {
        /// A record or a directory.
        path: PathBuf,
        problem: String,
    },
    #[error("no home directory for the records of approved project files")]
    NoHome,
    /// `allow` was not called at a terminal.
    #[error("not approved: a person must confirm at a terminal (standard input and standard error)")]
    NoTerminal(Digest),
    #[error("not approved: the answer was not yes")]
    Declined,
}

impl ProjectFileError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            // Without the path: the author of the repository has named its directories, and users copy the hint into a shell.
            Self::NotApproved { .. } | Self::Changed { .. } | Self::Moved { .. } => Some(
                "`secrets-bridge allow` (with FILE, if you use --config FILE) shows what it asks for and approves it; \
                 --no-config ignores it"
                    .to_owned(),
            ),
            Self::NotPrivate { .. } => {
                Some("`chmod go-w` or `chown` it; --no-config ignores it".to_owned())
            }
            Self::NoTerminal(digest) => {
                Some(format!("without a terminal, as in CI, use `run --allow-config {digest}` (or `serve`)"))
            }
            Self::Read { .. } => Some("--no-config ignores it".to_owned()),
            Self::TooLarge { .. }
            | Self::Content { .. }
            | Self::OtherDigest { .. }
            | Self::None
            | Self::Records { .. }
            | Self::NoHome
            | Self::Declined => None,
        }
    }
}

/// The path on one line: a line end in it must not begin a line that looks like ours.
fn shown(path: &Path) -> String {
    escape_whole(&path.to_string_lossy())
}
