//! A working directory for git that is in no repository.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

use crate::random::random;

/// An empty directory that only this user may write to, removed when this is dropped.
///
/// Not `/`: that may be a repository in a container, and on Windows any user may make `C:\.git`. A directory of the user, such
/// as the home directory, may be one too.
pub(super) struct EmptyDirectory {
    path: PathBuf,
    ceiling: OsString,
}

impl EmptyDirectory {
    /// # Errors
    /// The system's, and if the path of the directory for temporary files cannot be an element of `PATH`.
    pub(super) fn create() -> io::Result<Self> {
        // Canonical, as git compares the ceiling with the real path of its working directory.
        let parent = std::env::temp_dir();
        // Not on Windows, where git does not know the form of canonical paths.
        let parent = if cfg!(windows) { parent } else { parent.canonicalize()? };
        let ceiling = std::env::join_paths([&parent]).map_err(|_| {
            io::Error::other("the path of the directory for temporary files has a separator in it")
        })?;
        let number = u128::from_be_bytes(random().map_err(io::Error::other)?);
        let path = parent.join(format!("secrets-bridge-git-{number:032x}"));
        create_private(&path)?;
        Ok(Self { path, ceiling })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The value of `GIT_CEILING_DIRECTORIES` that keeps git from the directories above, one of which may be in a repository.
    pub(super) fn ceiling(&self) -> &OsString {
        &self.ceiling
    }
}

impl Drop for EmptyDirectory {
    fn drop(&mut self) {
        // A helper may have left a file; that stays.
        let _ = std::fs::remove_dir(&self.path);
    }
}

#[cfg(unix)]
fn create_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

/// The directory for temporary files is in the user's profile.
#[cfg(windows)]
fn create_private(path: &Path) -> io::Result<()> {
    std::fs::create_dir(path)
}
