//! The directory in which a file for COMMAND is placed. It is opened name by name and kept open: what is done there later is
//! done in this directory, whatever its path leads to by then.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::fs::fchown;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, Stat, fchmod, mkdirat, openat, readlinkat, statat, unlinkat,
};
use rustix::io::Errno;
use rustix::process::geteuid;
use tracing::debug;

use super::super::failed;
use crate::delivery::access::{Access, explained};
use crate::delivery::error::FileProblem;

/// Most links on the way, as in Linux (path_resolution(7)).
const MAX_LINKS: usize = 40;
/// Of directories that are created for another user's file.
const OPEN_DIRECTORY: Mode = Mode::from_raw_mode(0o755);
#[cfg(target_os = "linux")]
const SEARCH: OFlags = OFlags::PATH;
#[cfg(not(target_os = "linux"))]
const SEARCH: OFlags = OFlags::RDONLY;

/// An open directory, and the directories that were created on the way to it. Dropping it removes those that are empty.
#[derive(Debug)]
pub(super) struct Parent {
    directory: OwnedFd,
    /// Without links.
    path: PathBuf,
    made: Vec<Made>,
}

#[derive(Debug)]
struct Made {
    within: OwnedFd,
    name: OsString,
    path: PathBuf,
}

impl Parent {
    /// Opens the directory of `at`, and creates the directories that are missing, for the user of `access`.
    ///
    /// Links on the way are followed if they are root's or this user's. Below one of `bounds`, they are followed as long as
    /// they do not lead out of it: a repository or an image could have planted them.
    ///
    /// # Errors
    /// [`FileProblem`]. Directories that were created are removed then.
    pub(super) fn open(at: &Path, bounds: &[PathBuf], access: Access) -> Result<Self, FileProblem> {
        let typed = at.parent().unwrap_or(Path::new("/"));
        let mut walk = Walk::begin()?;
        let missing = match bound_of(typed, bounds) {
            None => walk.enter(typed)?,
            Some((bound, rest)) => {
                let missing = walk.enter(bound)?;
                if missing.is_empty() {
                    let bound = walk.path().to_owned();
                    let missing = walk.enter(rest)?;
                    if !walk.path().starts_with(&bound) {
                        let (path, to) = (typed.to_owned(), walk.path().to_owned());
                        return Err(FileProblem::LeadsOut { path, bound, to });
                    }
                    missing
                } else {
                    missing.into_iter().chain(rest.iter().map(OsStr::to_owned)).collect()
                }
            }
        };
        let (directory, path) = walk.finish()?;
        let mut parent = Self { directory, path, made: Vec::new() };
        for name in missing {
            parent.make(name, access)?;
        }
        Ok(parent)
    }

    /// Creates `name` and continues there.
    fn make(&mut self, name: OsString, access: Access) -> Result<(), FileProblem> {
        let path = self.path.join(&name);
        let create = failed("create the directory", &path);
        let is_new = match mkdirat(&self.directory, &name, Mode::from_raw_mode(0o777)) {
            Ok(()) => true,
            // Another process was quicker. It must be a directory.
            Err(Errno::EXIST) => false,
            Err(error) => return Err(create(error.into())),
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(&self.directory, &name, flags, Mode::empty());
        // Even its owner cannot read it, by an odd umask.
        let opened = opened.or_else(|_| openat(&self.directory, &name, flags | SEARCH, Mode::empty()));
        let opened = match opened {
            Ok(opened) => opened,
            Err(error) => {
                if is_new {
                    let _ = unlinkat(&self.directory, &name, AtFlags::REMOVEDIR);
                }
                return Err(create(error.into()));
            }
        };
        let within = std::mem::replace(&mut self.directory, opened);
        self.path.clone_from(&path);
        if is_new {
            self.made.push(Made { within, name, path: path.clone() });
            if access.is_for_others() {
                if access.names_owner() {
                    fchown(&self.directory, access.uid, access.gid)
                        .map_err(|error| explained(error, access))?;
                }
                fchmod(&self.directory, OPEN_DIRECTORY)
                    .map_err(|error| failed("open", &path)(error.into()))?;
            }
        }
        Ok(())
    }

    /// The real path of `name` in it.
    pub(super) fn join(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }
}

impl AsFd for Parent {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

impl Drop for Parent {
    fn drop(&mut self) {
        for Made { within, name, path } in self.made.drain(..).rev() {
            // COMMAND may have created files in it. They stay.
            if let Err(error) = unlinkat(&within, &name, AtFlags::REMOVEDIR) {
                debug!("cannot remove {}: {error}", path.display());
            }
        }
    }
}

/// The longest of `bounds` above `path`, and the rest of the path. With `..` in it, the path is meant to lead out.
fn bound_of<'a>(path: &'a Path, bounds: &'a [PathBuf]) -> Option<(&'a Path, &'a Path)> {
    let rest = |bound: &'a PathBuf| Some((bound.as_path(), path.strip_prefix(bound).ok()?));
    let found = bounds.iter().filter_map(rest).max_by_key(|(bound, _)| bound.components().count());
    found.filter(|(_, rest)| !rest.components().any(|part| part == Component::ParentDir))
}

/// A walk from the root.
struct Walk {
    /// From the root to where it is now.
    directories: Vec<(OwnedFd, PathBuf)>,
    links: usize,
    /// Owns everything in a container of another user namespace, whose root has no id here.
    root_owner: u32,
}

impl Walk {
    fn begin() -> Result<Self, FileProblem> {
        let root = Path::new("/");
        let flags = SEARCH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(CWD, root, flags, Mode::empty()).map_err(io::Error::from)?;
        let found = rustix::fs::fstat(&opened).map_err(io::Error::from)?;
        Ok(Self { directories: vec![(opened, root.to_owned())], links: 0, root_owner: found.st_uid })
    }

    fn current(&self) -> Result<&(OwnedFd, PathBuf), FileProblem> {
        self.directories.last().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound).into())
    }

    fn path(&self) -> &Path {
        self.directories.last().map_or(Path::new("/"), |(_, path)| path)
    }

    fn finish(mut self) -> Result<(OwnedFd, PathBuf), FileProblem> {
        self.directories.pop().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound).into())
    }

    /// Enters `path`, from the root or from where the walk is. Returns the names from the first one on that does not exist.
    fn enter(&mut self, path: &Path) -> Result<Vec<OsString>, FileProblem> {
        // The next name is at the end.
        let mut names: Vec<PathBuf> = reversed(path);
        while let Some(name) = names.pop() {
            match name.components().next() {
                None | Some(Component::CurDir | Component::Prefix(_)) => {}
                Some(Component::RootDir) => self.directories.truncate(1),
                Some(Component::ParentDir) if self.directories.len() > 1 => {
                    self.directories.pop();
                }
                Some(Component::ParentDir) => {}
                Some(Component::Normal(name)) => {
                    let Some(found) = self.look(name)? else {
                        names.push(name.into());
                        return missing(names)
                            .ok_or_else(|| FileProblem::Io(io::ErrorKind::InvalidFilename.into()));
                    };
                    if FileType::from_raw_mode(found.st_mode) == FileType::Symlink {
                        names.extend(self.follow(name, &found)?);
                    } else {
                        self.descend(name)?;
                    }
                }
            }
        }
        Ok(Vec::new())
    }

    fn look(&self, name: &OsStr) -> Result<Option<Stat>, FileProblem> {
        let (directory, path) = self.current()?;
        match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(found) => Ok(Some(found)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed("read the metadata of", &path.join(name))(error.into())),
        }
    }

    /// The names in the link, the next one at the end.
    fn follow(&mut self, name: &OsStr, found: &Stat) -> Result<Vec<PathBuf>, FileProblem> {
        let (directory, path) = self.current()?;
        let path = path.join(name);
        if ![0, geteuid().as_raw(), self.root_owner].contains(&found.st_uid) {
            return Err(FileProblem::ForeignLink { path, owner: found.st_uid });
        }
        let target = readlinkat(directory, name, Vec::new());
        let target = target.map_err(|error| failed("read the link", &path)(error.into()))?;
        self.links += 1;
        if self.links > MAX_LINKS {
            return Err(failed("follow the link", &path)(Errno::LOOP.into()));
        }
        Ok(reversed(Path::new(&OsString::from_vec(target.into_bytes()))))
    }

    fn descend(&mut self, name: &OsStr) -> Result<(), FileProblem> {
        let (directory, path) = self.current()?;
        let path = path.join(name);
        let flags = SEARCH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = openat(directory, name, flags, Mode::empty());
        let opened = opened.map_err(|error| failed("open the directory", &path)(error.into()))?;
        self.directories.push((opened, path));
        Ok(())
    }
}

fn reversed(path: &Path) -> Vec<PathBuf> {
    let mut names: Vec<PathBuf> = path.components().map(|name| Path::new(&name).to_owned()).collect();
    names.reverse();
    names
}

/// The names that are left, the next one first. `None` if they lead upwards from a directory that does not exist.
fn missing(names: Vec<PathBuf>) -> Option<Vec<OsString>> {
    let name = |name: PathBuf| match name.components().next() {
        Some(Component::Normal(name)) => Some(name.to_owned()),
        Some(Component::Prefix(_) | Component::RootDir | Component::CurDir | Component::ParentDir) | None => {
            None
        }
    };
    names.into_iter().rev().filter(|name| name != Path::new(".")).map(name).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{lchown, symlink};

    use super::*;
    #[cfg(target_os = "linux")]
    use crate::support::require::{ROOT, require};

    fn open(at: &Path, bound: &Path) -> Result<PathBuf, FileProblem> {
        let parent = Parent::open(at, &[bound.to_owned()], Access::own(0o600))?;
        Ok(parent.join(at.file_name().unwrap()))
    }

    /// A scratch directory by its real path.
    fn scratch() -> (tempfile::TempDir, PathBuf) {
        let scratch = tempfile::TempDir::new().unwrap();
        let path = scratch.path().canonicalize().unwrap();
        (scratch, path)
    }

    #[test]
    fn a_link_that_leads_out_of_the_bound_is_refused_and_named() {
        let (_scratch, path) = scratch();
        let (bound, outside) = (path.join("bound"), path.join("outside"));
        for directory in [bound.join("inner"), outside.join("deep")] {
            fs::create_dir_all(directory).unwrap();
        }
        for (link, target) in [
            ("absolute", outside.as_path()),
            ("relative", Path::new("../outside")),
            ("up", Path::new("..")),
            ("twice", Path::new("relative/deep")),
            ("system", Path::new("/tmp")),
        ] {
            symlink(target, bound.join(link)).unwrap();
            for at in [bound.join(link).join("token"), bound.join(link).join("new/token")] {
                let refused = open(&at, &bound).unwrap_err();
                assert!(matches!(refused, FileProblem::LeadsOut { .. }), "{link}: {refused}");
            }
        }
        assert!(fs::read_dir(&outside).unwrap().all(|entry| entry.unwrap().file_name() == "deep"));
        // Links that stay inside, and paths that are meant to lead out.
        symlink("inner", bound.join("stays")).unwrap();
        symlink("../bound/inner", bound.join("returns")).unwrap();
        for link in ["stays", "returns"] {
            assert_eq!(open(&bound.join(link).join("token"), &bound).unwrap(), bound.join("inner/token"));
        }
        assert_eq!(open(&bound.join("../outside/token"), &bound).unwrap(), outside.join("token"));
        assert_eq!(open(&outside.join("token"), &bound).unwrap(), outside.join("token"));
    }

    #[test]
    fn a_bound_that_is_a_link_itself_is_followed() {
        let (_scratch, path) = scratch();
        fs::create_dir(path.join("real")).unwrap();
        symlink("real", path.join("home")).unwrap();
        assert_eq!(open(&path.join("home/a/token"), &path.join("home")).unwrap(), path.join("real/a/token"));
        assert!(!path.join("real/a").exists());
    }

    #[test]
    fn loops_and_files_on_the_way_are_errors() {
        let (_scratch, path) = scratch();
        symlink("loop", path.join("loop")).unwrap();
        fs::write(path.join("file"), "").unwrap();
        for at in ["loop/token", "file/token", "absent/../token"] {
            let bound = path.join("elsewhere");
            assert!(open(&path.join(at), &bound).is_err(), "{at}");
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_link_of_another_user_is_not_followed() {
        require!(ROOT);
        let (_scratch, path) = scratch();
        fs::create_dir(path.join("real")).unwrap();
        symlink("real", path.join("link")).unwrap();
        let bound = path.join("elsewhere");
        assert!(open(&path.join("link/token"), &bound).is_ok());
        lchown(path.join("link"), Some(4001), Some(4001)).unwrap();
        let refused = open(&path.join("link/token"), &bound).unwrap_err();
        assert!(matches!(refused, FileProblem::ForeignLink { owner: 4001, .. }), "{refused}");
    }
}
