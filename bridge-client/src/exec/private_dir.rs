//! A directory for what COMMAND needs beside itself: sockets, public keys, names of programs.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use tracing::debug;

#[cfg_attr(unix, path = "private_dir/unix.rs")]
#[cfg_attr(windows, path = "private_dir/windows.rs")]
mod platform;

#[cfg(windows)]
pub(crate) use platform::{TEMPORARY, insist};

/// How often another name is tried. One in 2^64 is taken by chance.
const ATTEMPTS: usize = 4;

/// A fresh directory that only this user can enter. Dropping it removes it with everything in it.
#[derive(Debug)]
pub struct PrivateDir {
    path: PathBuf,
    memory_backed: bool,
}

impl PrivateDir {
    /// In memory if there is any place for it, so that nothing of it can reach an image.
    ///
    /// # Errors
    /// What the last place said, if there is none at all.
    pub fn create() -> io::Result<Self> {
        Self::create_in(&platform::places())
    }

    fn create_in(places: &[PathBuf]) -> io::Result<Self> {
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for memory_backed in [true, false] {
            for place in places {
                match platform::judge(place) {
                    Ok(judged) if judged == memory_backed => {}
                    Ok(_) => continue,
                    Err(error) => {
                        failure = error;
                        continue;
                    }
                }
                match fresh(place) {
                    Ok(path) => {
                        debug!("a private directory: {}", path.display());
                        return Ok(Self { path, memory_backed });
                    }
                    Err(error) => failure = error,
                }
            }
        }
        Err(failure)
    }

    /// Where it is: short enough for a socket in it (108 bytes, unix(7)), and of letters that need no quoting.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the system says that its files are in memory, and so in no layer of an image.
    pub fn is_memory_backed(&self) -> bool {
        self.memory_backed
    }

    /// A new file `name` with `contents`, which only this user can read.
    ///
    /// # Errors
    /// The system's; `AlreadyExists` if there is one.
    pub fn write(&self, name: &str, contents: &[u8]) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        platform::write_new(&path, contents)?;
        Ok(path)
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        if let Err(error) = platform::remove(&self.path) {
            debug!("{} stays: {error}", self.path.display());
        }
    }
}

fn fresh(place: &Path) -> io::Result<PathBuf> {
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..ATTEMPTS {
        // std's hash keys are the system's random bytes. A guessed name gains nothing but a failure: an existing
        // directory is never taken.
        let path = place.join(format!("sb-{:016x}", RandomState::new().hash_one(std::process::id())));
        match platform::make(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}
