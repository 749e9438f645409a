//! Private files by inheritance: a user's profile directory grants nobody else access, and files in it inherit that.
//! No access list of our own is set yet, so a file elsewhere is as private as its folder.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::path::Path;

pub(super) fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).open(path)
}

pub(super) fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

pub(super) fn open_no_follow(path: &Path) -> io::Result<File> {
    File::open(path)
}

pub(super) fn check_private(metadata: &Metadata) -> Result<(), &'static str> {
    if metadata.is_file() { Ok(()) } else { Err("it is not a regular file") }
}
