//! Files that we write for this user: the audit, logs, the conf of `serve -w`, the CA key store, the approvals of project
//! files, the example of `init`.
//!
//! None is opened through a link that a repository could have made: a repository with `bridge.log -> ~/.bashrc` would
//! have what a build says run in the user's shell. So the last component is never a link; directories in a repository are
//! none; the file is a regular one with a single name, of this user, and no other user may write to it.

use std::fs::File;
use std::hash::{BuildHasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

#[cfg_attr(unix, path = "private_file/unix.rs")]
#[cfg_attr(windows, path = "private_file/windows.rs")]
mod platform;

use platform::Place;

/// Who may read a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readers {
    ThisUser,
    All,
}

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
/// renamed, so that readers get either the old or the new contents.
///
/// # Errors
/// The system's; also if `path` is a link, or not a file of this user. The temporary file is removed.
pub fn write(path: &Path, contents: &[u8]) -> io::Result<()> {
    let place = Place::of(path)?;
    platform::check_target(&place)?;
    // The keys of std's hash are random bytes of the system; a file that has the name is not replaced.
    let unique = RandomState::new().hash_one(std::process::id());
    let temporary = place.beside(&format!(".sb-{unique:016x}"))?;
    let result = platform::create_new(&temporary, Readers::ThisUser).and_then(|mut file| {
        file.write_all(contents)?;
        drop(file);
        platform::rename(&temporary, &place)
    });
    if result.is_err() {
        // If this fails too, the first error is still the one to report.
        let _ = platform::remove(&temporary);
    }
    result
}

/// Creates `path`, which other users may read, with `contents`.
///
/// # Errors
/// The system's: `AlreadyExists` if there is anything, also a link that leads nowhere.
pub fn create_readable(path: &Path, contents: &[u8]) -> io::Result<()> {
    platform::create_new(&Place::of(path)?, Readers::All)?.write_all(contents)
}

/// Reads up to `limit` bytes of `path`, which must be a regular file of this user that no other user may read. `None` if
/// it does not exist.
///
/// # Errors
/// [`PrivateFileError`].
pub fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, PrivateFileError> {
    let file = match Place::of(path).and_then(|place| platform::open_no_follow(&place)) {
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

/// Opens `path` for appending. A new file is private; an existing one must be a regular file of this user with one name,
/// and loses the permission of other users to write to it. `/dev/null` is opened as it is.
///
/// # Errors
/// The system's, and for a file that is another one than that.
pub fn append(path: &Path) -> io::Result<File> {
    if path == Path::new("/dev/null") {
        return File::options().append(true).open(path);
    }
    platform::append(&Place::of(path)?)
}

/// Opens the FIFO `path`, which belongs to this user and which a process reads. Writes to it fail where they would wait.
///
/// # Errors
/// The system's, and for anything that is not such a FIFO.
pub fn open_fifo(path: &Path) -> io::Result<File> {
    platform::open_fifo(&Place::of(path)?)
}

/// The same path without links in its directories, for what is not opened as a file: sockets.
///
/// # Errors
/// As for files: a link in a repository, or a directory to which all users may write.
pub fn without_links(path: &Path) -> io::Result<PathBuf> {
    Ok(Place::of(path)?.path())
}

#[cfg(test)]
#[cfg(unix)]
mod tests;
