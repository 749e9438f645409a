//! Reads the project file once, and only if no other user can change it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::digest::Digest;
use super::error::ProjectFileError;

#[cfg_attr(unix, path = "read/unix.rs")]
#[cfg_attr(windows, path = "read/windows.rs")]
mod platform;

/// In bytes.
const MAX_SIZE: u64 = 64 << 10;

/// A project file as it was when it was read. These bytes are parsed, shown and recorded, whatever happens to the file.
#[derive(Debug)]
pub(crate) struct ReadFile {
    /// Absolute, without links.
    pub(crate) path: PathBuf,
    /// The directory of `path`.
    pub(super) directory: PathBuf,
    /// Of `bytes`.
    pub(crate) digest: Digest,
    pub(super) bytes: Vec<u8>,
}

impl ReadFile {
    /// A file with these bytes, which need not exist.
    pub(crate) fn of_bytes(bytes: Vec<u8>, directory: &Path) -> Self {
        let path = directory.join(super::NAME);
        Self { directory: directory.to_owned(), digest: Digest::of(&bytes), bytes, path }
    }
}

/// Reads the project file at `path`.
///
/// # Errors
/// [`ProjectFileError`]: unreadable, not a regular file, owned or writable by another user, or too large.
pub(crate) fn read(path: &Path) -> Result<ReadFile, ProjectFileError> {
    let cannot_read = |source| ProjectFileError::Read { path: path.to_owned(), source };
    let not_private = |problem| ProjectFileError::NotPrivate { path: path.to_owned(), problem };
    let path = canonical(path)?;
    let directory = path.parent().unwrap_or(&path).to_owned();
    // A user who can write there could change the files that relative names lead to.
    platform::check_directory(&directory.metadata().map_err(cannot_read)?).map_err(not_private)?;
    let file: File = platform::open_no_follow(&path).map_err(cannot_read)?;
    // Of the open file, not of the path, which may name another file by now.
    platform::check_file(&file.metadata().map_err(cannot_read)?).map_err(not_private)?;
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(cannot_read)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(ProjectFileError::TooLarge { path, maximum: MAX_SIZE });
    }
    Ok(ReadFile { directory, digest: Digest::of(&bytes), bytes, path })
}

/// `path`, absolute and with all links resolved but the last: the file itself must not be a link, and need not exist.
///
/// # Errors
/// [`ProjectFileError::Read`].
pub(crate) fn canonical(path: &Path) -> Result<PathBuf, ProjectFileError> {
    let cannot_read = |source| ProjectFileError::Read { path: path.to_owned(), source };
    let name = path.file_name().ok_or_else(|| cannot_read(io::ErrorKind::IsADirectory.into()))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(directory.unwrap_or(Path::new(".")).canonicalize().map_err(cannot_read)?.join(name))
}
