//! Key files on Windows: as private as their folder. No access list is read yet; a user's profile is private.

use std::fs::{File, Metadata};
use std::io;
use std::path::Path;

use crate::agent_keys::error::KeyProblem;

pub(super) fn open(path: &Path) -> io::Result<File> {
    File::open(path)
}

pub(super) fn check_private(_metadata: &Metadata) -> Result<(), KeyProblem> {
    Ok(())
}
