//! Looks for the project file in the working directory and above it, up to the boundary of the project.

use std::io;
use std::path::{Path, PathBuf};

use super::{NAME, ProjectFileError};

#[cfg_attr(unix, path = "find/unix.rs")]
#[cfg_attr(windows, path = "find/windows.rs")]
mod platform;

/// The project file for the working directory.
///
/// # Errors
/// [`ProjectFileError::Read`] if a directory cannot be read.
pub(crate) fn find() -> Result<Option<PathBuf>, ProjectFileError> {
    let here = std::env::current_dir()
        .and_then(std::fs::canonicalize)
        .map_err(|source| ProjectFileError::Read { path: NAME.into(), source })?;
    for directory in within_project(&here) {
        let path = directory.join(NAME);
        // A dangling link counts too, and is then refused: it must not hide from the search.
        match path.symlink_metadata() {
            Ok(_) => return Ok(Some(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(ProjectFileError::Read { path, source }),
        }
    }
    Ok(None)
}

/// The root of the repository that contains `directory`, or `directory` itself if there is none. All files below came
/// with the project.
pub(super) fn project_root(directory: &Path) -> PathBuf {
    let root = within_project(directory).find(|above| is_repository(above));
    root.unwrap_or(directory).to_owned()
}

/// `start` and the directories above it, up to the repository's root, the home directory, or the file system's
/// boundary.
fn within_project(start: &Path) -> impl Iterator<Item = &Path> {
    let home = local_ipc::home_directory().and_then(|home| home.canonicalize().ok());
    let mut next = Some(start);
    std::iter::from_fn(move || {
        let directory = next?;
        let is_last = is_repository(directory) || home.as_deref() == Some(directory);
        next = directory.parent().filter(|above| !is_last && platform::same_project(directory, above));
        Some(directory)
    })
}

/// `.git` is a directory, or a file in a worktree or submodule.
fn is_repository(directory: &Path) -> bool {
    directory.join(".git").symlink_metadata().is_ok()
}
