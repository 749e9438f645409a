//! A directory in the user's own temporary one, with an access list of its own: wherever TEMP leads, nobody else is let in.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use local_ipc::windows::access;
use tracing::warn;

/// `FILE_ATTRIBUTE_TEMPORARY`: Windows keeps such a file in memory as long as there is room.
pub(crate) const TEMPORARY: u32 = 0x100;

/// How often a removal is tried again, and after which time.
const TRIES: u32 = 40;
const PAUSE: Duration = Duration::from_millis(25);

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

pub(super) fn remove(path: &Path) -> io::Result<()> {
    // It may hold secrets, unlike on Unix on a disk.
    insist(|| fs::remove_dir_all(path)).inspect_err(|error| warn!("{} stays: {error}", path.display()))
}

/// Tries `removal` until it succeeds, or for a second: what COMMAND started may still be ending, and whoever looks for
/// viruses be reading. Nobody can remove a file that is open to somebody who did not allow for that.
pub(crate) fn insist(removal: impl Fn() -> io::Result<()>) -> io::Result<()> {
    for _ in 0..TRIES {
        match removal() {
            Err(error) if error.kind() != io::ErrorKind::NotFound => std::thread::sleep(PAUSE),
            done => return done,
        }
    }
    removal()
}

pub(super) fn write_new(path: &Path, contents: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create_new(true).attributes(TEMPORARY).open(path)?.write_all(contents)
}
