//! Privacy by owner and mode.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;

use rustix::fs::{FileType, Mode, OFlags, Stat, fchmod, fstat, openat, renameat, unlinkat};
use rustix::io::Errno;

use super::Readers;

mod place;

pub(super) use place::Place;

const PRIVATE: Mode = Mode::from_raw_mode(0o600);
const READABLE: Mode = Mode::from_raw_mode(0o644);
const WRITABLE_BY_OTHERS: Mode = Mode::from_raw_mode(0o022);
/// A file that disappears between two steps of [`append`] is created anew, this often.
const ATTEMPTS: u32 = 8;

// NONBLOCK: to open a FIFO would wait for its other end.
const FLAGS: OFlags = OFlags::CLOEXEC.union(OFlags::NOFOLLOW).union(OFlags::NOCTTY).union(OFlags::NONBLOCK);
const NEW: OFlags = FLAGS.union(OFlags::CREATE).union(OFlags::EXCL);
// Appends also after `logrotate` has truncated the file. RDWR: the last byte says whether the last line is whole.
const APPEND: OFlags = OFlags::RDWR.union(OFlags::APPEND);

pub(super) fn create_new(place: &Place, readers: Readers) -> io::Result<File> {
    let mode = match readers {
        Readers::ThisUser => PRIVATE,
        Readers::All => READABLE,
    };
    Ok(openat(&place.directory, &place.name, NEW | OFlags::WRONLY, mode)?.into())
}

pub(super) fn append(place: &Place) -> io::Result<File> {
    for _ in 0..ATTEMPTS {
        // What it is comes first: to open a device can have effects, and a FIFO without a reader gives another error.
        let found = place.status()?;
        let file: File = match found {
            None => match openat(&place.directory, &place.name, NEW | APPEND, PRIVATE) {
                Ok(file) => file.into(),
                Err(Errno::EXIST) => continue,
                Err(error) => return Err(error.into()),
            },
            Some(status) => {
                check_replaceable(&status)?;
                match openat(&place.directory, &place.name, FLAGS | APPEND, Mode::empty()) {
                    Ok(file) => file.into(),
                    Err(Errno::NOENT) => continue,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        // The open file: the name may lead to another one by now.
        let status = fstat(&file)?;
        check_replaceable(&status)?;
        let mode = Mode::from_raw_mode(status.st_mode);
        if mode.intersects(WRITABLE_BY_OTHERS) {
            // It is this user's own file; who may read it is the user's choice.
            fchmod(&file, mode.difference(WRITABLE_BY_OTHERS))?;
        }
        return Ok(file);
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Opens a FIFO that a process reads.
pub(super) fn open_fifo(place: &Place) -> io::Result<File> {
    let is_fifo = |status: &Stat| FileType::from_raw_mode(status.st_mode) == FileType::Fifo;
    if !place.status()?.is_none_or(|status| is_fifo(&status)) {
        return Err(io::Error::other("it is not a FIFO"));
    }
    let file: File = match openat(&place.directory, &place.name, FLAGS | OFlags::WRONLY, Mode::empty()) {
        Ok(file) => file.into(),
        Err(Errno::NXIO) => return Err(io::Error::other("no process reads this FIFO")),
        Err(error) => return Err(error.into()),
    };
    let status = fstat(&file)?;
    if !is_fifo(&status) {
        return Err(io::Error::other("it is not a FIFO"));
    }
    if status.st_uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::other("it belongs to another user"));
    }
    Ok(file)
}

/// Checks what stands where a file is to be replaced: nothing, or a file of this user.
pub(super) fn check_target(place: &Place) -> io::Result<()> {
    place.status()?.map_or(Ok(()), |status| check_replaceable(&status))
}

/// Checks that a file may be written to, or replaced.
fn check_replaceable(status: &Stat) -> io::Result<()> {
    if place::is_link(status) {
        Err(io::Error::other("it is a symbolic link, and files are not written through links"))
    } else if FileType::from_raw_mode(status.st_mode) == FileType::Directory {
        Err(Errno::ISDIR.into())
    } else if FileType::from_raw_mode(status.st_mode) != FileType::RegularFile {
        Err(io::Error::other("it is not a regular file"))
    } else if status.st_uid != rustix::process::geteuid().as_raw() {
        Err(io::Error::other("it belongs to another user"))
    } else if status.st_nlink != 1 {
        Err(io::Error::other(format!("it has {} hard links, and should have one", status.st_nlink)))
    } else {
        Ok(())
    }
}

pub(super) fn rename(from: &Place, to: &Place) -> io::Result<()> {
    Ok(renameat(&from.directory, &from.name, &to.directory, &to.name)?)
}

pub(super) fn remove(place: &Place) -> io::Result<()> {
    Ok(unlinkat(&place.directory, &place.name, rustix::fs::AtFlags::empty())?)
}

pub(super) fn open_no_follow(place: &Place) -> io::Result<File> {
    if place.status()?.is_some_and(|status| place::is_link(&status)) {
        return Err(io::Error::other("it is a symbolic link"));
    }
    Ok(openat(&place.directory, &place.name, FLAGS | OFlags::RDONLY, Mode::empty())?.into())
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
