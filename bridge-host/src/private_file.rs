//! Files that only this user may read: the CA key store, the conf that `serve -w` writes, records of what is allowed.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use thiserror::Error;

#[cfg_attr(unix, path = "private_file/unix.rs")]
#[cfg_attr(windows, path = "private_file/windows.rs")]
mod platform;

/// Why a private file is not read.
#[derive(Debug, Error)]
pub enum PrivateFileError {
    /// It cannot be.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Others can read it, or it is somebody else's, or no regular file.
    #[error("{0}")]
    NotPrivate(&'static str),
}

/// Replaces `path` by a file with `contents` that only this user may read. The new file is written beside it and
/// renamed, so that a reader sees the old one or the new one, whole, and a link at `path` is replaced, not followed.
///
/// # Errors
/// Whatever the system says; the temporary file is removed then.
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
        // Nothing else can be done about a leftover; the first error is the one to report.
        let _ = std::fs::remove_file(&temporary);
    }
    result
}

/// The contents of `path`, at most `limit` bytes, if it is a regular file of this user's that nobody else may read.
/// `None` if there is no such file.
///
/// # Errors
/// [`PrivateFileError`].
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, PrivateFileError> {
    let file: File = match platform::open_no_follow(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    // Asked of the open file, not of the path, which may name another one by now.
    platform::check_private(&file)?.map_err(PrivateFileError::NotPrivate)?;
    let mut contents = Vec::new();
    file.take(limit).read_to_end(&mut contents)?;
    Ok(Some(contents))
}

/// Opens `path` for appending, creating it private.
///
/// # Errors
/// Whatever the system says.
pub fn append(path: &Path) -> io::Result<File> {
    platform::append(path)
}
