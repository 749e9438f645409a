//! Reads the file of a key, and tells whether it is private.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::error::KeyProblem;

#[cfg_attr(unix, path = "file/unix.rs")]
#[cfg_attr(windows, path = "file/windows.rs")]
mod platform;

/// Largest file that is read. An RSA key of 8192 bits needs 7 KiB.
pub(super) const MAX_FILE: usize = 64 << 10;

pub(super) struct KeyFile {
    pub(super) contents: Zeroizing<Vec<u8>>,
    /// Whether nobody else may read it. Judged by the caller, once it is known that a private key is in it.
    pub(super) privacy: Result<(), KeyProblem>,
}

pub(super) fn read(path: &Path) -> Result<KeyFile, KeyProblem> {
    let file: File = match platform::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(KeyProblem::Missing),
        Err(error) => return Err(KeyProblem::Read(error)),
    };
    // Asked of the open file, not of the path, which may name another one by now.
    if !file.metadata().map_err(KeyProblem::Read)?.is_file() {
        return Err(KeyProblem::NotAFile);
    }
    let privacy = platform::check_private(&file);
    // Room for all of it at once: growing would leave copies behind.
    let mut contents = Zeroizing::new(Vec::with_capacity(MAX_FILE + 1));
    file.take(MAX_FILE as u64 + 1).read_to_end(&mut contents).map_err(KeyProblem::Read)?;
    if contents.len() > MAX_FILE {
        return Err(KeyProblem::TooLarge);
    }
    Ok(KeyFile { contents, privacy })
}
