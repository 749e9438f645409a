//! Files and sockets that the settings name.
//!
//! The user of a command line types a name, and it is followed where it leads, as by every program. The name in a project
//! file was approved as where it led at that time; what it leads to when it is used must be the same.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};

#[cfg_attr(unix, path = "named_file/unix.rs")]
#[cfg_attr(windows, path = "named_file/windows.rs")]
mod platform;

/// A file or socket that the settings name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    path: PathBuf,
    links: Links,
    contents: Contents,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Links {
    Follow,
    Refuse,
}

/// What a file must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contents {
    Any,
    /// The file does not exist.
    Missing,
    /// The SHA-256 of its bytes.
    Sha256([u8; 32]),
}

impl NamedFile {
    /// As it was typed on the command line: links are followed.
    pub fn typed(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), links: Links::Follow, contents: Contents::Any }
    }

    /// An absolute path in which all links are resolved. When it is opened, no part of it may be a link.
    pub fn resolved(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), links: Links::Refuse, contents: Contents::Any }
    }

    /// The same file, which must hold `contents`. Only [`Self::read_if_exists`] checks this.
    #[must_use]
    pub fn with_contents(self, contents: Contents) -> Self {
        Self { contents, ..self }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether `path` is a named pipe of Windows, which has no links, and which may open when its links are asked for.
    pub fn is_pipe(path: &Path) -> bool {
        platform::is_pipe(path)
    }

    /// A file beside it, with `suffix` after its name. A certificate or public key is public, so its links are followed.
    pub(crate) fn beside(&self, suffix: &str) -> Self {
        let mut name = self.path.as_os_str().to_owned();
        name.push(suffix);
        Self::typed(name)
    }

    /// Opens it for reading. Waits for the writer of a FIFO.
    ///
    /// # Errors
    /// The system's; also if a part of a resolved path is a link.
    pub fn open(&self) -> io::Result<File> {
        match self.links {
            Links::Follow => File::open(&self.path),
            Links::Refuse => platform::open_without_links(&self.path, false),
        }
    }

    /// As [`Self::open`], without waiting for the writer of a FIFO.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_without_waiting(&self) -> io::Result<File> {
        match self.links {
            Links::Follow => platform::open(&self.path),
            Links::Refuse => platform::open_without_links(&self.path, true),
        }
    }

    /// Whether it was approved as a file that does not exist.
    pub(crate) fn is_approved_as_missing(&self) -> bool {
        self.contents == Contents::Missing
    }

    /// The bytes of the file, at most one more than `limit`; `None` if it does not exist.
    ///
    /// # Errors
    /// The system's; also if the file does not hold what [`Self::with_contents`] says.
    pub fn read_if_exists(&self, limit: u64) -> io::Result<Option<Vec<u8>>> {
        let bytes = match self.open_without_waiting() {
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
                Some(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        if self.contents == Contents::Any || self.contents == Contents::of(bytes.as_deref()) {
            Ok(bytes)
        } else {
            Err(io::Error::other("it has changed since it was approved (`secrets-bridge allow`)"))
        }
    }

    /// Checks that a resolved path still has no links, for a socket, which is not opened by a handle. A link that is made
    /// between this check and the use of the path is not noticed.
    ///
    /// # Errors
    /// The system's, also if the path does not exist, or leads elsewhere.
    pub fn check_links(&self) -> io::Result<()> {
        match self.links {
            Links::Follow => Ok(()),
            Links::Refuse if platform::is_pipe(&self.path) => Ok(()),
            Links::Refuse if self.path.canonicalize()? == self.path => Ok(()),
            Links::Refuse => Err(leads_elsewhere()),
        }
    }
}

impl Contents {
    /// What a file with these bytes holds; `None` if it does not exist.
    pub fn of(bytes: Option<&[u8]>) -> Self {
        let Some(bytes) = bytes else { return Self::Missing };
        let mut sha256 = [0; 32];
        // Both are 32 bytes long.
        sha256.iter_mut().zip(digest(&SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
        Self::Sha256(sha256)
    }
}

fn leads_elsewhere() -> io::Error {
    io::Error::other("a part of its path has become a link since it was approved (`secrets-bridge allow`)")
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_resolved_path_is_opened_only_without_links() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().canonicalize().unwrap();
        std::fs::create_dir_all(base.join("a/b")).unwrap();
        std::fs::write(base.join("a/b/file"), "text").unwrap();
        symlink("b", base.join("a/link")).unwrap();
        symlink("file", base.join("a/b/link")).unwrap();
        let text = |file: NamedFile| {
            let opened = [file.open(), file.open_without_waiting()];
            opened.map(|opened| opened.and_then(io::read_to_string).map_err(|error| error.to_string()))
        };
        let ok = || ["text"; 2].map(|text| Ok(text.to_owned()));
        assert_eq!(text(NamedFile::resolved(base.join("a/b/file"))), ok());
        for name in ["a/link/file", "a/b/link"] {
            assert_eq!(text(NamedFile::typed(base.join(name))), ok());
            let refused = text(NamedFile::resolved(base.join(name)));
            assert_eq!(refused, [0; 2].map(|_| Err(leads_elsewhere().to_string())), "{name}");
            assert!(NamedFile::resolved(base.join(name)).check_links().is_err());
        }
        assert!(NamedFile::resolved(base.join("a/b/file")).check_links().is_ok());
        assert!(NamedFile::resolved("a/b/file").open().is_err(), "a relative path is not resolved");
        let missing = NamedFile::resolved(base.join("a/none/file")).open().unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        let not_a_directory = NamedFile::resolved(base.join("a/b/file/x")).open().unwrap_err();
        assert_eq!(not_a_directory.kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn a_file_with_other_contents_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let file = NamedFile::typed(directory.path().join("file"));
        let missing = file.clone().with_contents(Contents::Missing);
        let held = file.clone().with_contents(Contents::of(Some(b"text")));
        assert!(missing.read_if_exists(10).unwrap().is_none() && held.read_if_exists(10).is_err());
        std::fs::write(file.path(), "text").unwrap();
        assert!(missing.read_if_exists(10).is_err());
        assert_eq!(held.read_if_exists(10).unwrap(), Some(b"text".to_vec()));
        std::fs::write(file.path(), "Text").unwrap();
        assert!(held.read_if_exists(10).is_err() && file.read_if_exists(10).is_ok());
    }
}
