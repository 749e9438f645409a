//! Private directories on Windows: in the temporary directory, with an access list that admits only this user, wherever TEMP
//! leads.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use local_ipc::windows::access;
use tracing::warn;

use crate::delivery::access::Access;

/// `FILE_ATTRIBUTE_TEMPORARY`: Windows keeps such a file in memory as long as there is room.
pub(crate) const TEMPORARY: u32 = 0x100;

/// Limit of retries of a removal, and the time between two.
const RETRIES: u32 = 40;
const RETRY_INTERVAL: Duration = Duration::from_millis(25);

/// No other process needs to know.
#[derive(Debug)]
pub(super) enum Lock {}

pub(super) fn lock(_path: &Path) -> Option<Lock> {
    None
}

pub(super) fn places() -> Vec<PathBuf> {
    vec![std::env::temp_dir()]
}

/// Whether `place` is in memory: never, Windows has no such file system.
pub(super) fn is_suitable_and_in_memory(place: &Path) -> io::Result<bool> {
    if fs::metadata(place)?.is_dir() { Ok(false) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

pub(super) fn make(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    // It is empty before it is private. A user who opened it in between can list names, but cannot open what is created in
    // it.
    access::make_private(path).inspect_err(|_| {
        let _ = fs::remove_dir(path);
    })
}

/// Nothing to do: nothing in it is for another user.
#[allow(clippy::unnecessary_wraps, reason = "the same signature on every system")]
pub(super) fn admit(_path: &Path, _accesses: impl IntoIterator<Item = Access>) -> io::Result<()> {
    Ok(())
}

/// Nothing to do: nothing in it is for another user.
#[allow(clippy::unnecessary_wraps, reason = "the same signature on every system")]
pub(super) fn open_to_all(_path: &Path) -> io::Result<()> {
    Ok(())
}

/// As [`open_to_all`].
#[allow(clippy::unnecessary_wraps, reason = "the same signature on every system")]
pub(super) fn open_file_to_all(_path: &Path) -> io::Result<()> {
    Ok(())
}

pub(super) fn remove(path: &Path) -> io::Result<()> {
    // It may hold secrets on a disk, unlike on Unix.
    retry_removal(|| fs::remove_dir_all(path))
        .inspect_err(|error| warn!("cannot remove {}: {error}", path.display()))
}

/// Retries `removal` until it succeeds, for a second: processes that COMMAND started may still be ending, and a virus
/// scanner may be reading. A file cannot be removed while a process has it open without allowing that.
pub(crate) fn retry_removal(removal: impl Fn() -> io::Result<()>) -> io::Result<()> {
    for _ in 0..RETRIES {
        match removal() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => std::thread::sleep(RETRY_INTERVAL),
            done => return done,
        }
    }
    removal()
}

pub(super) fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).attributes(TEMPORARY).open(path)?.write_all(contents)
}
