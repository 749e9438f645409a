//! Files on Unix. The bytes never reach the file system of the image: they are in the private directory, in memory, and a
//! link leads to them.

use std::fs;
use std::io;
use std::os::unix::fs::{lchown, symlink};
use std::path::{Path, PathBuf};

use proto::Secret;

use super::{failed, report, report_replaced};
use crate::delivery::access::{self, Access};
use crate::delivery::error::FileProblem;
use crate::exec::private_dir::PrivateDir;

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

/// The link at the path that COMMAND uses.
#[derive(Debug)]
pub(super) struct Placed {
    at: PathBuf,
    to: PathBuf,
}

impl Placed {
    pub(super) fn put(
        directory: &PrivateDir,
        name: &str,
        at: &Path,
        access: Access,
        contents: &Secret,
    ) -> Result<Self, FileProblem> {
        let to = keep(directory, name, access, contents)?;
        symlink(&to, at).map_err(failed("create a link at", at))?;
        let placed = Self { at: at.to_owned(), to };
        if access.names_owner()
            && let Err(error) = lchown(at, access.uid, access.gid)
        {
            placed.remove();
            return Err(failed("set the owner of", at)(error));
        }
        Ok(placed)
    }

    pub(super) fn remove(self) {
        match fs::read_link(&self.at) {
            Ok(target) if target == self.to => report(fs::remove_file(&self.at), &self.at),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) | Err(_) => report_replaced(&self.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use proto::Key;

    use super::*;
    use crate::delivery::error::DeliveryError;
    use crate::delivery::files::Files;
    use crate::delivery::request::FileTarget;

    fn file(path: &Path, replace: bool) -> (Key, FileTarget, Secret) {
        let target =
            FileTarget { path: Some(path.to_owned()), variable: None, access: Access::own(0o400), replace };
        ("k".parse().unwrap(), target, Secret::new(b"secret".to_vec()))
    }

    #[test]
    fn a_file_has_its_mode_and_is_removed_with_its_directories() {
        let (directory, scratch) = (PrivateDir::create().unwrap(), tempfile::TempDir::new().unwrap());
        let path = scratch.path().join("a/b/netrc");
        let (files, _) = Files::place(&directory, vec![file(&path, false)]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
        drop(files);
        assert!(fs::read_dir(scratch.path()).unwrap().next().is_none());
    }

    #[test]
    fn an_existing_file_is_an_error_or_is_restored() {
        let (directory, scratch) = (PrivateDir::create().unwrap(), tempfile::TempDir::new().unwrap());
        let path = scratch.path().join("netrc");
        fs::write(&path, "old").unwrap();
        let refused = Files::place(&directory, vec![file(&path, false)]).unwrap_err();
        assert!(matches!(refused, DeliveryError::File { problem: FileProblem::Exists(_), .. }));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let directory = PrivateDir::create().unwrap();
        let (files, _) = Files::place(&directory, vec![file(&path, true)]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        // Some tools write a new file and rename it.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "new").unwrap();
        drop(files);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn files_that_command_created_stay() {
        let (directory, scratch) = (PrivateDir::create().unwrap(), tempfile::TempDir::new().unwrap());
        let path = scratch.path().join("made/netrc");
        let (files, _) = Files::place(&directory, vec![file(&path, false)]).unwrap();
        fs::write(scratch.path().join("made/other"), "own").unwrap();
        drop(files);
        assert!(!path.exists());
        assert_eq!(fs::read(scratch.path().join("made/other")).unwrap(), b"own");
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
