//! Files that only this user may read: the CA key store, the audit, the conf that `serve -w` writes, and the approvals
//! of project files.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use thiserror::Error;

#[cfg_attr(unix, path = "private_file/unix.rs")]
#[cfg_attr(windows, path = "private_file/windows.rs")]
mod platform;

/// Why a private file cannot be read.
#[derive(Debug, Error)]
pub enum PrivateFileError {
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Other users can read it, it belongs to one of them, or it is not a regular file.
    #[error("{0}")]
    NotPrivate(&'static str),
}

/// Replaces `path` by a file with `contents` that only this user may read. The new file is written beside it and
/// renamed, so that readers get either the old or the new contents, and a link at `path` is replaced, not followed.
///
/// # Errors
/// The system's. The temporary file is removed.
pub fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
    let mut temporary_name = std::ffi::OsString::from(".");
    temporary_name.push(name);
    temporary_name.push(format!(".{}", std::process::id()));
    let temporary = path.with_file_name(temporary_name);
    let result = platform::create_new(&temporary).and_then(|mut file| {
        file.write_all(contents)?;
        drop(file);
        std::fs::rename(&temporary, path)
    });
    if result.is_err() {
        // If this fails too, the first error is still the one to report.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// Reads up to `limit` bytes of `path`, which must be a regular file of this user that no other user may read. `None` if
/// it does not exist.
///
/// # Errors
/// [`PrivateFileError`].
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, PrivateFileError> {
    let file: File = match platform::open_no_follow(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Checks the open file: the path may name another one by now.
    platform::check_private(&file)?.map_err(PrivateFileError::NotPrivate)?;
    let mut contents = Vec::new();
    file.take(limit).read_to_end(&mut contents)?;
    Ok(Some(contents))
}

/// Opens `path` for appending. A new file is private.
///
/// # Errors
/// The system's.
pub fn append(path: &Path) -> io::Result<File> {
    platform::append(path)
}
