//! Privacy by owner and mode.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

const PRIVATE: u32 = 0o600;

pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(PRIVATE).open(path)
}

pub(super) fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(PRIVATE).open(path)
}

pub(super) fn open_no_follow(path: &Path) -> io::Result<File> {
    // NONBLOCK: to open a FIFO would wait for a writer.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

pub(super) fn check_private(file: &File) -> io::Result<Result<(), &'static str>> {
    let metadata = file.metadata()?;
    Ok(if !metadata.is_file() {
        Err("it is not a regular file")
    } else if metadata.uid() != rustix::process::geteuid().as_raw() {
        Err("it belongs to another user")
    } else if metadata.mode() & 0o077 != 0 {
        Err("other users may read it (chmod 600)")
    } else {
        Ok(())
    })
}
