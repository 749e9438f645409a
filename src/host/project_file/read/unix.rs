//! Checks whether other users could change a file, by owner and mode.

use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// A link has another directory and owner than its target, and only one of them would be checked.
pub(super) fn open_no_follow(path: &Path) -> io::Result<File> {
    // NONBLOCK: opening a FIFO must not block.
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

/// With the sticky bit, other users can add files, but not replace those that exist.
pub(super) fn check_directory(metadata: &Metadata) -> Result<(), &'static str> {
    if !is_trusted(metadata.uid()) {
        Err("its directory belongs to another user")
    } else if metadata.mode() & 0o022 != 0 && metadata.mode() & 0o1000 == 0 {
        Err("other users may write to its directory")
    } else {
        Ok(())
    }
}

/// This user, or root, who can change everything anyway.
fn is_trusted(owner: u32) -> bool {
    owner == 0 || owner == rustix::process::geteuid().as_raw()
}
