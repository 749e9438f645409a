//! Reads a key file, and checks whether it is private.

use std::fs::File;
use std::io::{self, Read as _};

use zeroize::Zeroizing;

use super::error::KeyProblem;
use crate::named_file::NamedFile;

#[cfg_attr(unix, path = "file/unix.rs")]
#[cfg_attr(windows, path = "file/windows.rs")]
mod platform;

/// Largest file that is read, in bytes. An RSA key of 8192 bits needs 7 KiB.
const MAX_FILE: usize = 64 << 10;

pub(super) struct KeyFile {
    pub(super) contents: Zeroizing<Vec<u8>>,
    /// An error if other users can read or change it. For the caller to judge, once it has found a private key in it.
    pub(super) privacy: Result<(), KeyProblem>,
}

pub(super) fn read(file: &NamedFile) -> Result<KeyFile, KeyProblem> {
    let file: File = match file.open_without_waiting() {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeyProblem::Missing),
        Err(error) => return Err(KeyProblem::Read(error)),
    };
    // Of the open file, not of the path, which may lead to another one by now.
    if !file.metadata().map_err(KeyProblem::Read)?.is_file() {
        return Err(KeyProblem::NotAFile);
    }
    let privacy = platform::check_private(&file);
    // Allocated at full size: growing would leave unwiped copies behind.
    let mut contents = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut contents).map_err(KeyProblem::Read)?;
    if contents.len() > MAX_FILE {
        return Err(KeyProblem::TooLarge { limit: MAX_FILE });
    }
    Ok(KeyFile { contents, privacy })
}
