//! Whether others could change a file, by owner and mode.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// A link would have two places, and two owners.
pub(super) fn open_no_follow(path: &Path) -> io::Result<File> {
    // NONBLOCK: a FIFO put there must not stop us.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    match rustix::fs::open(path, flags, Mode::empty()) {
        Ok(file) => Ok(file.into()),
        Err(rustix::io::Errno::LOOP) => Err(io::Error::other("it is a symbolic link")),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn check_file(metadata: &Metadata) -> Result<(), &'static str> {
    if !metadata.is_file() {
        Err("not a regular file")
    } else if !is_trusted(metadata.uid()) {
        Err("it belongs to another user")
    } else if metadata.mode() & 0o022 != 0 {
        Err("other users may write to it")
    } else {
        Ok(())
    }
}

/// As for the file; where the sticky bit is set, others can add names and not change those that are there.
pub(super) fn check_directory(metadata: &Metadata) -> Result<(), &'static str> {
    if !is_trusted(metadata.uid()) {
        Err("its directory belongs to another user")
    } else if metadata.mode() & 0o022 != 0 && metadata.mode() & 0o1000 == 0 {
        Err("other users may write to its directory")
    } else {
        Ok(())
    }
}

/// This user, and root, who can do everything anyway.
fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}
