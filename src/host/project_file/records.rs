//! The approvals by `allow`: for the path of each project file, the SHA-256 that it had, and where its names led.
//!
//! Each approval is a file, named by the SHA-256 of the path, in `$XDG_STATE_HOME/secrets-bridge/allowed` (by default
//! `~/.local/state`; on Windows in `%LOCALAPPDATA%`). It holds a first line for the format, the digest, the path,
//! and a line for each name. Only this user may write there. That keeps repositories out, but not programs of this user, which could read the secrets
//! themselves.

use std::io;
use std::path::{Path, PathBuf};

use bridge_host::private_file::{self, PrivateFileError};

use super::named_path::{NamedPath, RecordedPath, decoded, encoded};
use super::{Digest, ProjectFileError};

#[cfg_attr(unix, path = "records/unix.rs")]
#[cfg_attr(windows, path = "records/windows.rs")]
mod platform;

const FIRST_LINE: &[u8] = b"secrets-bridge allowed 2\n";
/// Of the format without the names.
const OLD_FIRST_LINE: &[u8] = b"secrets-bridge allowed 1\n";
/// In bytes; a path has at most 4096 on Linux, and a project file at most 64 KiB of names.
const MAX_SIZE: u64 = 1 << 20;
/// `allow --list` shows no more.
const MAX_LISTED: usize = 10_000;

/// The directory of the records.
#[derive(Debug)]
pub(crate) struct Records(PathBuf);

/// What was approved of one file.
#[derive(Debug)]
pub(super) struct Approval {
    pub(super) digest: Digest,
    pub(super) paths: Vec<RecordedPath>,
}

impl Records {
    /// The records of this user. Creates nothing.
    ///
    /// # Errors
    /// [`ProjectFileError::NoHome`].
    pub(crate) fn of_this_user() -> Result<Self, ProjectFileError> {
        let state = platform::state_directory().ok_or(ProjectFileError::NoHome)?;
        Ok(Self(state.join("secrets-bridge").join("allowed")))
    }

    /// The approval of the file at `path`. One of an earlier version does not count, as it does not say where names led.
    ///
    /// # Errors
    /// [`ProjectFileError::Records`] if the record is invalid or not private.
    pub(super) fn approval_of(&self, path: &Path) -> Result<Option<Approval>, ProjectFileError> {
        let record = self.record_of(path);
        let wrong = |problem: String| ProjectFileError::Records { path: record.clone(), problem };
        let Some(contents) = self.read(&record)? else { return Ok(None) };
        if contents.starts_with(OLD_FIRST_LINE) {
            return Ok(None);
        }
        match parse(&contents) {
            Some((recorded, approval)) if recorded == path.as_os_str().as_encoded_bytes() => {
                Ok(Some(approval))
            }
            Some(_) | None => Err(wrong("not a record of this version".to_owned())),
        }
    }

    /// Approves the file at `path` with this digest, as long as its names lead where they lead now.
    ///
    /// # Errors
    /// [`ProjectFileError::Records`].
    pub(crate) fn add(
        &self,
        path: &Path,
        digest: &Digest,
        named: &[NamedPath],
    ) -> Result<(), ProjectFileError> {
        let failed = |error: io::Error| self.problem(&error);
        platform::create_private(&self.0).map_err(failed)?;
        self.check()?;
        let mut lines = vec![digest.to_string(), encoded(path.as_os_str().as_encoded_bytes())];
        lines.extend(named.iter().map(|path| path.record().as_line().to_owned()));
        let contents = [FIRST_LINE, lines.join("\n").as_bytes(), b"\n"].concat();
        if contents.len() as u64 > MAX_SIZE {
            return Err(failed(io::ErrorKind::FileTooLarge.into()));
        }
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
            if let Some((path, approval)) = parse(&contents) {
                listed.push((String::from_utf8_lossy(&path).into_owned(), approval.digest));
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

/// The path of the project file, and its approval.
fn parse(contents: &[u8]) -> Option<(Vec<u8>, Approval)> {
    let text = std::str::from_utf8(contents.strip_prefix(FIRST_LINE)?).ok()?;
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let digest = lines.next()?.parse().ok()?;
    let path = decoded(lines.next()?);
    let paths = lines.map(RecordedPath::parse).collect::<Option<_>>()?;
    Some((path, Approval { digest, paths }))
}
