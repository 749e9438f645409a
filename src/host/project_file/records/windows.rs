//! Directories that only this user may write to, by inheritance from the local data of the profile.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

pub(super) fn state_directory() -> Option<PathBuf> {
    std::env::var_os("LOCALAPPDATA").map(PathBuf::from).filter(|path| path.is_absolute())
}

pub(super) fn create_private(directory: &Path) -> io::Result<()> {
    std::fs::create_dir_all(directory)
}

pub(super) fn check_private(metadata: &Metadata) -> Result<(), &'static str> {
    if metadata.is_dir() { Ok(()) } else { Err("not a directory") }
}
