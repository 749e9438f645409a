//! Windows: files and pipes are this user's, and have no modes.

use std::path::{Path, PathBuf};

use super::{Access, AccessError};

/// Nothing to do: options that ask for another owner are refused.
#[allow(clippy::unnecessary_wraps, reason = "the same signature on every system")]
pub(crate) fn give(_path: &Path, _access: Access) -> Result<(), AccessError> {
    Ok(())
}

pub(crate) fn unreachable_directory(_path: &Path, _access: Access) -> Option<PathBuf> {
    None
}

pub(crate) fn may_execute(_program: &Path, _access: Access) -> bool {
    true
}
