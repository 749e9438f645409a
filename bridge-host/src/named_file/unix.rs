//! Opens directory after directory, none of which may be a link.

use std::fs::File;
use std::io;
use std::path::{Component, Path};

use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, openat, statat};

/// Enough to look up names in a directory, without permission to list it.
#[cfg(any(target_os = "linux", target_os = "android"))]
const SEARCH: OFlags = OFlags::PATH;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const SEARCH: OFlags = OFlags::RDONLY;

/// Does not wait for the writer of a FIFO.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

pub(super) fn open_without_links(path: &Path, without_waiting: bool) -> io::Result<File> {
    let names = path.strip_prefix("/").map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let directory_flags = SEARCH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file_flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NOCTTY;
    if without_waiting {
        file_flags |= OFlags::NONBLOCK;
    }
    let mut directory: OwnedFd = rustix::fs::open("/", directory_flags, Mode::empty())?;
    let mut names = names.components().peekable();
    while let Some(Component::Normal(name)) = names.next() {
        let is_last = names.peek().is_none();
        let flags = if is_last { file_flags } else { directory_flags };
        let opened = openat(&directory, name, flags, Mode::empty())
            .map_err(|error| explained(&directory, name.as_ref(), error))?;
        if is_last {
            return Ok(opened.into());
        }
        directory = opened;
    }
    Err(io::ErrorKind::IsADirectory.into())
}

pub(super) fn is_pipe(_path: &Path) -> bool {
    false
}

/// A link gives ELOOP or, where a directory must be, ENOTDIR.
fn explained(directory: impl AsFd, name: &Path, error: rustix::io::Errno) -> io::Error {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => super::leads_elsewhere(),
        Ok(_) | Err(_) => error.into(),
    }
}
