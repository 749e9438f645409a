//! Where a file is: its open directory, and its name in it.
//!
//! The path is walked one component at a time, each opened in the directory before it without following links, so what
//! was checked is what is used. (`openat2(2)` with `RESOLVE_NO_SYMLINKS` would refuse the links of the system too, such as
//! `/var/run`, and exists on Linux only.)

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, fstat, open, openat, readlinkat, stat, statat};
use rustix::io::Errno;

/// As many as Linux follows (path_resolution(7)).
const MAX_LINKS: u32 = 40;
/// What the top of a repository has: git's directory, or file in a worktree; the project file.
const MARKERS: [&str; 2] = [".git", "secrets-bridge.toml"];
const WRITABLE_BY_ALL: Mode = Mode::WOTH;
const STICKY: Mode = Mode::from_raw_mode(0o1000);

/// A file's directory and its name there. The file need not exist.
pub(in crate::private_file) struct Place {
    pub(super) directory: OwnedFd,
    pub(super) name: OsString,
    /// The path of the directory, without links.
    path: PathBuf,
}

impl Place {
    /// The place of `path`. Links of the system, such as `/var/run`, are followed. Links in a repository are refused: its
    /// author would choose where the file goes. The working directory counts as a repository, unless it is `/`, and so
    /// does each directory with one of [`MARKERS`].
    ///
    /// # Errors
    /// The system's; also for a link in a repository, and a directory to which all users may write.
    pub(in crate::private_file) fn of(path: &Path) -> io::Result<Self> {
        let working_directory = std::env::current_dir()?;
        Self::seen_from(&working_directory, path)
    }

    pub(in crate::private_file) fn seen_from(working_directory: &Path, path: &Path) -> io::Result<Self> {
        let absolute = working_directory.join(path);
        // `a/..`, `a/.` and `a/` name directories.
        let name = match absolute.components().next_back() {
            Some(Component::Normal(name)) if absolute.as_os_str().as_bytes().ends_with(name.as_bytes()) => {
                name
            }
            _ => return Err(Errno::ISDIR.into()),
        };
        let mut walk = Walk::from_root(identity(&stat(working_directory)?))?;
        walk.go_to(absolute.parent().unwrap_or(Path::new("/")))?;
        let path = walk.path();
        let directory = walk.entered.pop().ok_or(io::ErrorKind::NotFound)?.directory;
        Ok(Self { directory, name: name.to_owned(), path })
    }

    /// The file's path, with no link in its directories.
    pub(in crate::private_file) fn path(&self) -> PathBuf {
        self.path.join(&self.name)
    }

    /// The place of a hidden file in the same directory, whose name ends with `suffix`.
    pub(in crate::private_file) fn beside(&self, suffix: &str) -> io::Result<Self> {
        let mut name = OsString::from(".");
        name.push(&self.name);
        name.push(suffix);
        Ok(Self { directory: self.directory.try_clone()?, name, path: self.path.clone() })
    }

    /// What is at the place; a link is not followed. `None` if there is nothing.
    pub(super) fn status(&self) -> io::Result<Option<Stat>> {
        match statat(&self.directory, &self.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(status) => Ok(Some(status)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

/// Device and inode of a directory.
type Identity = (u64, u64);

#[allow(clippy::unnecessary_cast, reason = "the types differ between systems")]
fn identity(status: &Stat) -> Identity {
    (status.st_dev as u64, status.st_ino as u64)
}

/// The way from `/` to where the walk is: each directory was opened in the one before, and none through a link.
struct Walk {
    entered: Vec<Entered>,
    working_directory: Identity,
    links: u32,
}

struct Entered {
    directory: OwnedFd,
    name: OsString,
    in_repository: bool,
    /// Whether other users may put links here: `/tmp`.
    is_shared: bool,
}

impl Walk {
    fn from_root(working_directory: Identity) -> io::Result<Self> {
        let mut walk = Self { entered: Vec::new(), working_directory, links: 0 };
        walk.enter(open("/", DIRECTORY, Mode::empty())?, OsStr::new("/"))?;
        Ok(walk)
    }

    /// Goes to the directory `path`, which is absolute.
    fn go_to(&mut self, path: &Path) -> io::Result<()> {
        let mut ahead: VecDeque<OsString> = components(path).collect();
        while let Some(name) = ahead.pop_front() {
            if name == "/" {
                self.entered.truncate(1);
                continue;
            }
            if name == ".." {
                self.entered.truncate(self.entered.len().saturating_sub(1).max(1));
                continue;
            }
            let Some(here) = self.entered.last() else { return Err(io::ErrorKind::NotFound.into()) };
            match openat(&here.directory, &name, DIRECTORY, Mode::empty()) {
                Ok(directory) => self.enter(directory, &name)?,
                // A link (the former on Linux, the latter elsewhere), or not a directory.
                Err(error @ (Errno::NOTDIR | Errno::LOOP)) => {
                    let target = self.link(here, &name, error)?;
                    self.links += 1;
                    if self.links > MAX_LINKS {
                        return Err(Errno::LOOP.into());
                    }
                    for component in components(Path::new(&target)).collect::<Vec<_>>().into_iter().rev() {
                        ahead.push_front(component);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn enter(&mut self, directory: OwnedFd, name: &OsStr) -> io::Result<()> {
        let status = fstat(&directory)?;
        let mode = Mode::from_raw_mode(status.st_mode);
        let in_repository = match self.entered.last() {
            None => false,
            Some(above) => {
                above.in_repository
                    || identity(&status) == self.working_directory
                    || MARKERS
                        .iter()
                        .any(|marker| statat(&directory, *marker, AtFlags::SYMLINK_NOFOLLOW).is_ok())
            }
        };
        let is_shared = mode.contains(WRITABLE_BY_ALL);
        self.entered.push(Entered { directory, name: name.to_owned(), in_repository, is_shared });
        if is_shared && !mode.contains(STICKY) {
            let path = self.path();
            return Err(io::Error::other(format!(
                "all users may write to the directory {} (chmod o-w, or choose another place)",
                path.display()
            )));
        }
        Ok(())
    }

    /// The target of the link `name` in `here`, if it may be followed. `error` is why it could not be opened.
    fn link(&self, here: &Entered, name: &OsStr, error: Errno) -> io::Result<OsString> {
        let target = match readlinkat(&here.directory, name, Vec::new()) {
            Ok(target) => OsString::from_vec(target.into_bytes()),
            Err(Errno::INVAL) => return Err(error.into()), // not a link
            Err(error) => return Err(error.into()),
        };
        let refused = |why: &str| {
            let path = self.path().join(name);
            Err(io::Error::other(format!("{} is a symbolic link {why}", path.display())))
        };
        if here.in_repository {
            return refused("in a repository, and files are not opened through those");
        }
        let owner = statat(&here.directory, name, AtFlags::SYMLINK_NOFOLLOW)?.st_uid;
        if here.is_shared && owner != 0 && owner != rustix::process::geteuid().as_raw() {
            return refused("of another user");
        }
        Ok(target)
    }

    fn path(&self) -> PathBuf {
        self.entered.iter().map(|entered| &entered.name).collect()
    }
}

// PATH: to pass through a directory needs no permission to list it.
#[cfg(target_os = "linux")]
const DIRECTORY: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

fn components(path: &Path) -> impl Iterator<Item = OsString> {
    path.components()
        .filter(|component| *component != Component::CurDir)
        .map(|component| component.as_os_str().to_owned())
}

/// Whether this is a symbolic link.
pub(super) fn is_link(status: &Stat) -> bool {
    FileType::from_raw_mode(status.st_mode) == FileType::Symlink
}
