//! Files on Unix. The bytes never reach the file system of the image: they are in the private directory, in memory, and a
//! link leads to them.

use std::ffi::{OsStr, OsString};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use proto::Secret;
use rustix::fs::{AtFlags, Gid, Uid, chownat, readlinkat, symlinkat, unlinkat};
use rustix::io::Errno;

use super::{failed, report, report_replaced};
use crate::delivery::access::{self, Access};
use crate::delivery::error::FileProblem;
use crate::delivery::request::FileTarget;
use crate::exec::private_dir::PrivateDir;

#[path = "unix/original.rs"]
mod original;
#[path = "unix/parent.rs"]
mod parent;
#[path = "unix/rename.rs"]
mod rename;

use original::Original;
use parent::Parent;

/// Whether secrets may be stored in `directory`.
pub(super) fn check(directory: &PrivateDir) -> Result<(), FileProblem> {
    if cfg!(target_os = "linux") && !directory.is_memory_backed() {
        Err(FileProblem::NoMemory)
    } else {
        Ok(())
    }
}

/// Writes a file in `directory`.
pub(super) fn keep(
    directory: &PrivateDir,
    name: &str,
    access: Access,
    contents: &Secret,
) -> Result<PathBuf, FileProblem> {
    let file = directory.write(name, contents.expose())?;
    access::give(&file, access)?;
    Ok(file)
}

/// The link at the path that COMMAND uses. Dropping it removes the link, and moves back what was there before.
#[derive(Debug)]
pub(super) struct Placed {
    original: Option<Original>,
    /// Whether the link was created.
    linked: bool,
    place: Place,
}

/// Where the link is, and where it leads.
#[derive(Debug)]
struct Place {
    parent: Parent,
    name: OsString,
    to: PathBuf,
}

impl Placed {
    /// Puts a link at `at`, below one of `bounds` or elsewhere, see [`Parent::open`].
    pub(super) fn put(
        directory: &PrivateDir,
        name: &str,
        at: &Path,
        bounds: &[PathBuf],
        target: &FileTarget,
        contents: &Secret,
    ) -> Result<Self, FileProblem> {
        let access = target.access;
        let last = at.file_name().ok_or_else(|| FileProblem::NoName(at.to_owned()))?.to_owned();
        let parent = Parent::open(at, bounds, access)?;
        original::recover(&parent, &last)?;
        let to = keep(directory, name, access, contents)?;
        let mut placed = Self { original: None, linked: false, place: Place { parent, name: last, to } };
        // If another process creates or removes what is at the path meanwhile, look again.
        for _ in 0..ATTEMPTS {
            let place = &placed.place;
            match place.link(&place.name, access) {
                Ok(()) => {
                    placed.linked = true;
                    return Ok(placed);
                }
                Err(Errno::EXIST) if !target.replace => return Err(FileProblem::Exists(place.path())),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(failed("create a link at", &place.path())(error.into())),
            }
            if let Some(original) = Original::replace(place, access)? {
                placed.original = Some(original);
                placed.linked = true;
                return Ok(placed);
            }
        }
        Err(failed("create a link at", at)(Errno::BUSY.into()))
    }
}

/// Changes by other processes that are tolerated.
const ATTEMPTS: usize = 8;

impl Drop for Placed {
    fn drop(&mut self) {
        let place = &self.place;
        match self.original.take() {
            Some(original) => original.restore(place),
            None if self.linked => match place.leads_to(&place.name) {
                Ok(to) if to == place.to => {
                    report(
                        unlinkat(&place.parent, &place.name, AtFlags::empty()).map_err(Into::into),
                        &place.path(),
                    );
                }
                Err(Errno::NOENT) => {}
                Ok(_) | Err(_) => report_replaced(&place.path()),
            },
            None => {}
        }
    }
}

impl Place {
    /// The path, without links.
    fn path(&self) -> PathBuf {
        self.parent.join(&self.name)
    }

    /// Creates a link with `name`.
    fn link(&self, name: &OsStr, access: Access) -> Result<(), Errno> {
        symlinkat(&self.to, &self.parent, name)?;
        if access.names_owner() {
            let (uid, gid) = (access.uid.map(Uid::from_raw), access.gid.map(Gid::from_raw));
            chownat(&self.parent, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW).inspect_err(|_| {
                let _ = unlinkat(&self.parent, name, AtFlags::empty());
            })?;
        }
        Ok(())
    }

    /// Where the link `name` leads.
    ///
    /// # Errors
    /// `INVAL` for anything but a link, and `NOENT`.
    fn leads_to(&self, name: &OsStr) -> Result<PathBuf, Errno> {
        leads_to(&self.parent, name)
    }
}

fn leads_to(parent: &Parent, name: &OsStr) -> Result<PathBuf, Errno> {
    use std::os::unix::ffi::OsStringExt as _;
    let target = readlinkat(parent.as_fd(), name, Vec::new())?;
    Ok(OsString::from_vec(target.into_bytes()).into())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use proto::Key;

    use super::rename::tests::without_support;
    use super::*;
    use crate::delivery::error::DeliveryError;
    use crate::delivery::files::Files;

    fn file(path: &Path, replace: bool) -> (Key, FileTarget, Secret) {
        let target =
            FileTarget { path: Some(path.to_owned()), variable: None, access: Access::own(0o400), replace };
        ("k".parse().unwrap(), target, Secret::new(b"secret\n".to_vec()))
    }

    fn place(path: &Path, replace: bool) -> Result<(PrivateDir, Files), DeliveryError> {
        let directory = PrivateDir::create().unwrap();
        let (files, _) = Files::place(&directory, vec![file(path, replace)])?;
        Ok((directory, files))
    }

    fn names(directory: &Path) -> Vec<String> {
        let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// Runs `test` on this file system, and as on one without the flags of renameat2.
    fn on_both(test: impl Fn(&Path)) {
        let scratch = tempfile::TempDir::new().unwrap();
        test(scratch.path());
        let scratch = tempfile::TempDir::new().unwrap();
        without_support(|| test(scratch.path()));
    }

    #[test]
    fn a_file_has_its_mode_and_is_removed_with_its_directories() {
        let scratch = tempfile::TempDir::new().unwrap();
        let path = scratch.path().join("a/b/netrc");
        let (_directory, files) = place(&path, false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"secret\n");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
        drop(files);
        assert!(names(scratch.path()).is_empty());
    }

    #[test]
    fn an_existing_file_is_an_error_or_is_restored() {
        on_both(|scratch| {
            let path = scratch.join("netrc");
            fs::write(&path, "old").unwrap();
            let before = fs::metadata(&path).unwrap();
            let refused = place(&path, false).unwrap_err();
            assert!(matches!(refused, DeliveryError::File { problem: FileProblem::Exists(_), .. }));
            assert_eq!(names(scratch), ["netrc"]);
            let (_directory, files) = place(&path, true).unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"secret\n");
            assert_eq!(fs::read(scratch.join("netrc.sb-original")).unwrap(), b"old");
            drop(files);
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(fs::metadata(&path).unwrap().ino(), before.ino());
            assert_eq!(names(scratch), ["netrc"]);
        });
    }

    #[test]
    fn what_command_puts_in_the_place_of_a_link_is_not_lost() {
        on_both(|scratch| {
            let path = scratch.join("netrc");
            fs::write(&path, "old").unwrap();
            for expected in ["netrc.sb-changed", "netrc.sb-changed-1"] {
                let (_directory, files) = place(&path, true).unwrap();
                // Some tools write a new file and rename it.
                fs::remove_file(&path).unwrap();
                fs::write(&path, "new").unwrap();
                drop(files);
                assert_eq!(fs::read(&path).unwrap(), b"old");
                assert_eq!(fs::read(scratch.join(expected)).unwrap(), b"new");
            }
            // A copy of the secret must not stay.
            let (_directory, files) = place(&path, true).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, "more\nsecret\n").unwrap();
            drop(files);
            assert_eq!(names(scratch), ["netrc", "netrc.sb-changed", "netrc.sb-changed-1"]);
            // A link that COMMAND removed.
            let (_directory, files) = place(&path, true).unwrap();
            fs::remove_file(&path).unwrap();
            drop(files);
            assert_eq!(fs::read(&path).unwrap(), b"old");
        });
    }

    #[test]
    fn a_directory_and_a_link_are_replaced_and_restored() {
        on_both(|scratch| {
            let (directory, link) = (scratch.join("directory"), scratch.join("link"));
            fs::create_dir_all(directory.join("inner")).unwrap();
            symlink("nowhere", &link).unwrap();
            for path in [&directory, &link] {
                let placed = place(path, true).unwrap();
                assert_eq!(fs::read(path).unwrap(), b"secret\n");
                drop(placed.1);
            }
            assert_eq!(names(&directory), ["inner"]);
            assert_eq!(fs::read_link(&link).unwrap(), Path::new("nowhere"));
            assert_eq!(names(scratch), ["directory", "link"]);
        });
    }

    #[test]
    fn a_file_that_stands_where_the_original_would_go_is_not_overwritten() {
        on_both(|scratch| {
            let (path, saved) = (scratch.join("netrc"), scratch.join("netrc.sb-original"));
            fs::write(&path, "old").unwrap();
            fs::write(&saved, "older").unwrap();
            let refused = place(&path, true).unwrap_err();
            assert!(
                matches!(refused, DeliveryError::File { problem: FileProblem::Saved { .. }, .. }),
                "{refused}"
            );
            assert_eq!(fs::read(&path).unwrap(), b"old");
            assert_eq!(fs::read(&saved).unwrap(), b"older");
            assert_eq!(names(scratch), ["netrc", "netrc.sb-original"]);
        });
    }

    #[test]
    fn a_path_in_use_is_refused_and_nothing_changes() {
        on_both(|scratch| {
            let path = scratch.join("netrc");
            fs::write(&path, "old").unwrap();
            for replace_first in [true, false] {
                let path = if replace_first { path.clone() } else { scratch.join("new") };
                let (_directory, files) = place(&path, replace_first).unwrap();
                for replace in [true, false] {
                    let refused = place(&path, replace).unwrap_err();
                    let is_in_use =
                        matches!(refused, DeliveryError::File { problem: FileProblem::InUse(_), .. });
                    assert!(is_in_use, "{refused}");
                }
                assert_eq!(fs::read(&path).unwrap(), b"secret\n");
                drop(files);
            }
            assert_eq!(names(scratch), ["netrc"]);
        });
    }

    #[test]
    fn files_that_command_created_stay() {
        let scratch = tempfile::TempDir::new().unwrap();
        let path = scratch.path().join("made/netrc");
        let (_directory, files) = place(&path, false).unwrap();
        fs::write(scratch.path().join("made/other"), "own").unwrap();
        drop(files);
        assert!(!path.exists());
        assert_eq!(fs::read(scratch.path().join("made/other")).unwrap(), b"own");
    }

    #[test]
    fn a_directory_that_was_moved_away_meanwhile_is_still_cleaned_up() {
        let scratch = tempfile::TempDir::new().unwrap();
        let (before, after) = (scratch.path().join("before"), scratch.path().join("after"));
        fs::create_dir(&before).unwrap();
        fs::write(before.join("netrc"), "old").unwrap();
        let (_directory, files) = place(&before.join("netrc"), true).unwrap();
        fs::rename(&before, &after).unwrap();
        fs::create_dir(&before).unwrap();
        drop(files);
        assert_eq!(fs::read(after.join("netrc")).unwrap(), b"old");
        assert_eq!((names(&after), names(&before)), (vec!["netrc".to_owned()], Vec::new()));
    }

    #[test]
    fn if_one_file_fails_none_stays() {
        let (directory, scratch) = (PrivateDir::create().unwrap(), tempfile::TempDir::new().unwrap());
        let taken = scratch.path().join("taken");
        fs::write(&taken, "").unwrap();
        let files = vec![file(&scratch.path().join("first"), false), file(&taken, false)];
        assert!(Files::place(&directory, files).is_err());
        assert!(!scratch.path().join("first").exists());
    }
}
