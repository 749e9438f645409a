//! A directory in the user's own temporary one, with an access list of its own: wherever TEMP leads, nobody else is let in.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use windows_access::access;

/// `FILE_ATTRIBUTE_TEMPORARY`: Windows keeps such a file in memory as long as there is room.
pub(crate) const TEMPORARY: u32 = 0x100;

pub(super) fn places() -> Vec<PathBuf> {
    vec![std::env::temp_dir()]
}

/// Whether `place` is in memory: Windows has no such file system.
pub(super) fn judge(place: &Path) -> io::Result<bool> {
    if fs::metadata(place)?.is_dir() { Ok(false) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

pub(super) fn make(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    // Nothing is in it before it is private. Whoever opened it in between can list names, and what is made in it is
    // closed to them.
    access::make_private(path).inspect_err(|_| {
        let _ = fs::remove_dir(path);
    })
}

pub(super) fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).attributes(TEMPORARY).open(path)?.write_all(contents)
}
