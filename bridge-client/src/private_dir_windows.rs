//! A user's own temporary directory, whose access list new entries inherit.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

pub(super) fn places() -> Vec<PathBuf> {
    vec![std::env::temp_dir()]
}

/// Whether `place` is in memory: Windows has no such file system.
pub(super) fn judge(place: &Path) -> io::Result<bool> {
    if fs::metadata(place)?.is_dir() { Ok(false) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

pub(super) fn make(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

pub(super) fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(contents)
}
