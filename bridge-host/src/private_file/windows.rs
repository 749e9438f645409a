//! Privacy by access list: this user alone, whatever the folder permits.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use local_ipc::windows::access;

use super::Readers;

/// `CreateFileW`: opens a link itself, not what it leads to.
const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
/// Of symbolic links, junctions and files that are elsewhere (GetFileAttributes).
const FILE_ATTRIBUTE_REPARSE_POINT: u32 = 0x0400;

/// A file's path. Links in its directories are followed: std opens no path in an open directory, and by default only
/// administrators can create a link, git included.
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        path.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        Ok(Self(path.to_owned()))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.0.clone()
    }

    #[expect(clippy::unnecessary_wraps, reason = "it can fail on Unix")]
    pub(super) fn beside(&self, suffix: &str) -> io::Result<Self> {
        let mut name = std::ffi::OsString::from(".");
        name.push(self.0.file_name().unwrap_or_default());
        name.push(suffix);
        Ok(Self(self.0.with_file_name(name)))
    }
}

pub(super) fn create_new(place: &Place, readers: Readers) -> io::Result<File> {
    // Not shared: no other process can open the file before it is private.
    let file = OpenOptions::new().write(true).create_new(true).share_mode(0).open(&place.0)?;
    if readers == Readers::ThisUser {
        access::make_private(&place.0)?;
    }
    Ok(file)
}

pub(super) fn append(place: &Place) -> io::Result<File> {
    match create_new(place, Readers::ThisUser) {
        // Opened again below, in a mode that lets other processes read along.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .custom_flags(FILE_FLAG_OPEN_REPARSE_POINT)
        .open(&place.0)?;
    refuse_link(&file)?;
    Ok(file)
}

pub(super) fn open_fifo(_place: &Place) -> io::Result<File> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "there are no FIFOs on Windows"))
}

/// Checks what stands where a file is to be replaced: nothing, or a file.
pub(super) fn check_target(place: &Place) -> io::Result<()> {
    match place.0.symlink_metadata() {
        Ok(metadata) if is_link(metadata.file_attributes()) => Err(link()),
        Ok(metadata) if !metadata.is_file() => Err(io::Error::other("it is not a regular file")),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

pub(super) fn rename(from: &Place, to: &Place) -> io::Result<()> {
    std::fs::rename(&from.0, &to.0)
}

pub(super) fn remove(place: &Place) -> io::Result<()> {
    std::fs::remove_file(&place.0)
}

pub(super) fn open_no_follow(place: &Place) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(&place.0)?;
    refuse_link(&file)?;
    Ok(file)
}

fn refuse_link(file: &File) -> io::Result<()> {
    if is_link(file.metadata()?.file_attributes()) { Err(link()) } else { Ok(()) }
}

fn is_link(attributes: u32) -> bool {
    attributes & FILE_ATTRIBUTE_REPARSE_POINT != 0
}

fn link() -> io::Error {
    io::Error::other("it is a link, and files are not written through links")
}

pub(super) fn check_private(file: &File) -> io::Result<Result<(), &'static str>> {
    Ok(if !file.metadata()?.is_file() {
        Err("it is not a regular file")
    } else if access::is_private(file)? {
        Ok(())
    } else {
        Err("it belongs to another user, or others may read it (icacls FILE /inheritance:r /grant:r USER:F)")
    })
}
