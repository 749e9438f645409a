//! Reads the project file once, and only if no other user can change it.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use aws_lc_rs::digest::{SHA256, digest};

use super::ProjectFileError;

#[cfg_attr(unix, path = "read/unix.rs")]
#[cfg_attr(windows, path = "read/windows.rs")]
mod platform;

/// In bytes.
pub(super) const MAX_SIZE: u64 = 64 << 10;

/// SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

/// A project file as it was when it was read. These bytes are parsed, shown and recorded, whatever happens to the file.
#[derive(Debug)]
pub(crate) struct ReadFile {
    /// Absolute, without links.
    pub(crate) path: PathBuf,
    /// The directory of `path`.
    pub(super) directory: PathBuf,
    /// Of `bytes`.
    pub(crate) digest: Digest,
    pub(super) bytes: Vec<u8>,
}

/// Reads the project file at `path`.
///
/// # Errors
/// [`ProjectFileError`]: unreadable, not a regular file, owned or writable by another user, or too large.
pub(crate) fn read(path: &Path) -> Result<ReadFile, ProjectFileError> {
    let cannot_read = |source| ProjectFileError::Read { path: path.to_owned(), source };
    let not_private = |problem| ProjectFileError::NotPrivate { path: path.to_owned(), problem };
    let path = canonical(path)?;
    let directory = path.parent().unwrap_or(&path).to_owned();
    // A user who can write there could change the files that relative names lead to.
    platform::check_directory(&directory.metadata().map_err(cannot_read)?).map_err(not_private)?;
    let file: File = platform::open_no_follow(&path).map_err(cannot_read)?;
    // Of the open file, not of the path, which may name another file by now.
    platform::check_file(&file.metadata().map_err(cannot_read)?).map_err(not_private)?;
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes).map_err(cannot_read)?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(ProjectFileError::TooLarge(path));
    }
    Ok(ReadFile { directory, digest: Digest::of(&bytes), bytes, path })
}

/// `path`, absolute and with all links resolved but the last: the file itself must not be a link, and need not exist.
///
/// # Errors
/// [`ProjectFileError::Read`].
pub(crate) fn canonical(path: &Path) -> Result<PathBuf, ProjectFileError> {
    let cannot_read = |source| ProjectFileError::Read { path: path.to_owned(), source };
    let name = path.file_name().ok_or_else(|| cannot_read(io::ErrorKind::IsADirectory.into()))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok(directory.unwrap_or(Path::new(".")).canonicalize().map_err(cannot_read)?.join(name))
}

impl Digest {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let mut sha256 = [0; 32];
        // Both are 32 bytes long.
        sha256.iter_mut().zip(digest(&SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
        Self(sha256)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = ();

    /// 64 hexadecimal digits.
    fn from_str(text: &str) -> Result<Self, ()> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return Err(()) };
        let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?));
        let bytes = bytes.collect::<Option<Vec<u8>>>().ok_or(())?;
        Ok(Self(bytes.try_into().map_err(|_| ())?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_64_hexadecimal_digits() {
        let digest = Digest::of(b"");
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(text.to_uppercase().parse(), Ok(digest));
        for wrong in [&text[1..], &text[2..], &format!("{text}00"), &text.replace('e', "g"), ""] {
            assert_eq!(wrong.parse::<Digest>(), Err(()), "{wrong}");
        }
    }
}
