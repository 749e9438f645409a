//! The approvals by `allow`: for the path of each project file, the SHA-256 that it had.
//!
//! Each approval is a file, named by the SHA-256 of the path, in `$XDG_STATE_HOME/secrets-bridge/allowed` (by default
//! `~/.local/state`; on Windows in `%LOCALAPPDATA%`). It holds a first line for the format, the digest, and the path. Only
//! this user may write there. That keeps repositories out, but not programs of this user, which could read the secrets
//! themselves.

use std::io;
use std::path::{Path, PathBuf};

use bridge_host::private_file::{self, PrivateFileError};

use super::{Digest, ProjectFileError};

#[cfg_attr(unix, path = "records/unix.rs")]
#[cfg_attr(windows, path = "records/windows.rs")]
mod platform;

const FIRST_LINE: &[u8] = b"secrets-bridge allowed 1\n";
/// In bytes; a path has at most 4096 on Linux.
const MAX_SIZE: u64 = 16 << 10;
/// `allow --list` shows no more.
const MAX_LISTED: usize = 10_000;

/// The directory of the records.
#[derive(Debug)]
pub(crate) struct Records(PathBuf);

impl Records {
    /// The records of this user. Creates nothing.
    ///
    /// # Errors
    /// [`ProjectFileError::NoHome`].
    pub(crate) fn of_this_user() -> Result<Self, ProjectFileError> {
        let state = platform::state_directory().ok_or(ProjectFileError::NoHome)?;
        Ok(Self(state.join("secrets-bridge").join("allowed")))
    }

    /// The digest that the file at `path` had at its approval.
    ///
    /// # Errors
    /// [`ProjectFileError::Records`] if the record is invalid or not private.
    pub(crate) fn digest_of(&self, path: &Path) -> Result<Option<Digest>, ProjectFileError> {
        let record = self.record_of(path);
        let wrong = |problem: String| ProjectFileError::Records { path: record.clone(), problem };
        let Some(contents) = self.read(&record)? else { return Ok(None) };
        match parse(&contents) {
            Some((digest, recorded)) if recorded == path.as_os_str().as_encoded_bytes() => Ok(Some(digest)),
            _ => Err(wrong("not a record of this version".to_owned())),
        }
    }

    /// Approves the file at `path` with this digest, and no longer with another.
    ///
    /// # Errors
    /// [`ProjectFileError::Records`].
    pub(crate) fn add(&self, path: &Path, digest: &Digest) -> Result<(), ProjectFileError> {
        let failed = |error: io::Error| self.problem(&error);
        platform::create_private(&self.0).map_err(failed)?;
        self.check()?;
        let path_bytes = path.as_os_str().as_encoded_bytes();
        let contents = [FIRST_LINE, digest.to_string().as_bytes(), b"\n", path_bytes, b"\n"].concat();
        private_file::write(&self.record_of(path), &contents).map_err(failed)
    }

    /// Removes the record. Returns whether there was one.
    ///
    /// # Errors
    /// [`ProjectFileError::Records`].
    pub(crate) fn remove(&self, path: &Path) -> Result<bool, ProjectFileError> {
        match std::fs::remove_file(self.record_of(path)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(self.problem(&error)),
        }
    }

    /// All records, ordered by path, each as `DIGEST  PATH`.
    ///
    /// # Errors
    /// [`ProjectFileError::Records`].
    pub(crate) fn list(&self) -> Result<Vec<String>, ProjectFileError> {
        let failed = |error: io::Error| self.problem(&error);
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
        };
        let mut listed = Vec::new();
        for entry in entries.take(MAX_LISTED) {
            let contents = self.read(&entry.map_err(failed)?.path())?.unwrap_or_default();
            if let Some((digest, path)) = parse(&contents) {
                listed.push((String::from_utf8_lossy(path).into_owned(), digest));
            }
        }
        listed.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(listed.into_iter().map(|(path, digest)| format!("{digest}  {path}")).collect())
    }

    fn record_of(&self, path: &Path) -> PathBuf {
        self.0.join(Digest::of(path.as_os_str().as_encoded_bytes()).to_string())
    }

    fn read(&self, record: &Path) -> Result<Option<Vec<u8>>, ProjectFileError> {
        if self.0.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            return Ok(None);
        }
        self.check()?;
        private_file::read(record, MAX_SIZE).map_err(|error: PrivateFileError| ProjectFileError::Records {
            path: record.to_owned(),
            problem: error.to_string(),
        })
    }

    /// Checks that only this user can write to the directory and its parent.
    fn check(&self) -> Result<(), ProjectFileError> {
        for directory in self.0.ancestors().take(2) {
            let wrong = |problem: String| ProjectFileError::Records { path: directory.to_owned(), problem };
            let metadata = directory.symlink_metadata().map_err(|error| wrong(error.to_string()))?;
            platform::check_private(&metadata).map_err(|problem| wrong(problem.to_owned()))?;
        }
        Ok(())
    }

    fn problem(&self, error: &io::Error) -> ProjectFileError {
        ProjectFileError::Records { path: self.0.clone(), problem: error.to_string() }
    }
}

fn parse(contents: &[u8]) -> Option<(Digest, &[u8])> {
    let (digest, path) = contents.strip_prefix(FIRST_LINE)?.split_at_checked(64)?;
    let digest = std::str::from_utf8(digest).ok()?.parse().ok()?;
    Some((digest, path.strip_prefix(b"\n")?.strip_suffix(b"\n")?))
}
