//! A private directory for what COMMAND needs while it runs: sockets, files, wrappers of programs.

use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::path::{Path, PathBuf};

use tracing::debug;

use crate::delivery::access::Access;

#[cfg_attr(unix, path = "private_dir/unix.rs")]
#[cfg_attr(windows, path = "private_dir/windows.rs")]
mod platform;

#[cfg(unix)]
pub(crate) use platform::{Holder, holder_of, is_in_private_dir};
#[cfg(windows)]
pub(crate) use platform::{TEMPORARY, retry_removal};

/// What the names of private directories begin with; 16 hexadecimal digits follow.
const PREFIX: &str = "sb-";
/// Limit of names to try. One in 2^64 is taken by chance.
const ATTEMPTS: usize = 4;

/// Who can read a file in a private directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// This user, and root.
    Own,
    /// Everyone who can enter the directory.
    All,
}

/// A new directory that only this user can enter, and those whom [`PrivateDir::admit`] lets in. Dropping it removes it with its contents.
#[derive(Debug)]
pub struct PrivateDir {
    path: PathBuf,
    memory_backed: bool,
    /// Held as long as this process lives, so that another one knows when it has ended.
    _lock: Option<platform::Lock>,
}

impl PrivateDir {
    /// Creates one, in memory if possible, so that none of its contents can reach an image.
    ///
    /// # Errors
    /// The error of the last place, if none is suitable.
    pub fn create() -> io::Result<Self> {
        Self::create_in(&platform::places())
    }

    fn create_in(places: &[PathBuf]) -> io::Result<Self> {
        let mut failure = io::Error::from(io::ErrorKind::NotFound);
        for memory_backed in [true, false] {
            for place in places {
                match platform::is_suitable_and_in_memory(place) {
                    Ok(in_memory) if in_memory == memory_backed => {}
                    Ok(_) => continue,
                    Err(error) => {
                        failure = error;
                        continue;
                    }
                }
                match create_unique(place) {
                    Ok(path) => {
                        debug!("created the private directory {}", path.display());
                        let _lock = platform::lock(&path);
                        return Ok(Self { path, memory_backed, _lock });
                    }
                    Err(error) => failure = error,
                }
            }
        }
        Err(failure)
    }

    /// Short enough for a socket in it (108 bytes, unix(7)), and without characters that need quoting.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether its files are in memory, and so cannot become part of an image.
    pub fn is_memory_backed(&self) -> bool {
        self.memory_backed
    }

    /// Creates the file `name` with `contents`, which only this user can read.
    ///
    /// # Errors
    /// The system's: `AlreadyExists` if there is such a file.
    pub fn write(&self, name: &str, contents: &[u8]) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        platform::write_new(&path, contents)?;
        Ok(path)
    }

    /// Creates one that every user can enter and list, for files that other users read too.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub(crate) fn create_readable() -> io::Result<Self> {
        let directory = Self::create()?;
        platform::open_to_all(&directory.path)?;
        Ok(directory)
    }

    /// Creates the file `name` with `contents` for these readers, whatever the umask. On Windows for this user alone.
    ///
    /// # Errors
    /// The system's: `AlreadyExists` if there is such a file.
    pub(crate) fn write_for(&self, name: &str, contents: &[u8], readers: Readers) -> io::Result<PathBuf> {
        let path = self.write(name, contents)?;
        match readers {
            Readers::Own => {}
            Readers::All => platform::open_file_to_all(&path)?,
        }
        Ok(path)
    }

    /// Creates the directory `name`, which every user can enter and list.
    ///
    /// # Errors
    /// The system's: `AlreadyExists` if there is such a directory.
    pub(crate) fn make_readable(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        std::fs::create_dir(&path)?;
        platform::open_to_all(&path)?;
        Ok(path)
    }

    /// Lets those use the directory whom one of `accesses` names: they can search it, and the modes of the files in it say
    /// what else they can do. To be called when everything in it has its owner and mode.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn admit(&self, accesses: impl IntoIterator<Item = Access>) -> io::Result<()> {
        platform::admit(&self.path, accesses)
    }
}

impl Drop for PrivateDir {
    fn drop(&mut self) {
        if let Err(error) = platform::remove(&self.path) {
            debug!("cannot remove {}: {error}", self.path.display());
        }
    }
}

fn create_unique(place: &Path) -> io::Result<PathBuf> {
    let mut taken = io::Error::from(io::ErrorKind::AlreadyExists);
    for _ in 0..ATTEMPTS {
        // The keys of std's hash are random bytes of the system. Guessing a name gains nothing but a failure: an existing
        // directory is never used.
        let path = place.join(format!("{PREFIX}{:016x}", RandomState::new().hash_one(std::process::id())));
        match platform::make(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => taken = error,
            Err(error) => return Err(error),
        }
    }
    Err(taken)
}
