//! Privacy by access list: this user alone, whatever the folder permits.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::Path;

use local_ipc::windows::access;

pub(super) fn create_new(path: &Path) -> io::Result<File> {
    // Not shared: no other process can open the file before it is private.
    let file = OpenOptions::new().write(true).create_new(true).share_mode(0).open(path)?;
    access::make_private(path)?;
    Ok(file)
}

pub(super) fn append(path: &Path) -> io::Result<File> {
    match create_new(path) {
        // Opened again below, in a mode that lets other processes read along.
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error),
    }
    OpenOptions::new().append(true).open(path)
}

/// Follows links: by default, only administrators can create one on Windows.
pub(super) fn open_no_follow(path: &Path) -> io::Result<File> {
    File::open(path)
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
