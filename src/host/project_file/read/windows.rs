//! Owner and access list are not checked on Windows: only the SHA-256 shows that the file has not changed.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

pub(super) fn open_no_follow(path: &Path) -> io::Result<File> {
    if path.symlink_metadata()?.is_symlink() {
        return Err(io::Error::other("it is a symbolic link"));
    }
    File::open(path)
}

pub(super) fn check_file(metadata: &Metadata) -> Result<(), &'static str> {
    if metadata.is_file() { Ok(()) } else { Err("not a regular file") }
}

// The same signature as on Unix.
#[allow(clippy::unnecessary_wraps)]
pub(super) fn check_directory(_metadata: &Metadata) -> Result<(), &'static str> {
    Ok(())
}
