//! Directories that only this user may write to, by owner and mode.

use std::fs::{DirBuilder, Metadata};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// `$XDG_STATE_HOME`, or what the XDG Base Directory Specification says instead; a relative one is ignored, as it says.
pub(super) fn state_directory() -> Option<PathBuf> {
    let named = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    named
        .or_else(|| Some(local_ipc::home_directory()?.join(".local/state")))
        .filter(|path| path.is_absolute())
}

pub(super) fn create_private(directory: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)
}

pub(super) fn check_private(metadata: &Metadata) -> Result<(), &'static str> {
    if !metadata.is_dir() {
        Err("not a directory")
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        Err("it belongs to another user")
    } else if metadata.mode() & 0o022 != 0 {
        Err("other users may write to it (chmod go-w)")
    } else {
        Ok(())
    }
}
