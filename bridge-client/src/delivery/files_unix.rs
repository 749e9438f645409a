//! Secrets as files whose bytes never reach the image's file system: they are in the private directory, in memory, and
//! where COMMAND looks for them is a link. Links, and directories made for them, are removed when COMMAND has ended.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use proto::{Key, Secret};
use tracing::{debug, warn};

use crate::delivery::wish::FileTarget;
use crate::error::{DeliveryError, FileProblem};
use crate::private_dir::PrivateDir;

/// Files that are in their places. Dropping this takes them away.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// In the order in which they were made; undone from the last to the first.
    done: Vec<Done>,
}

/// One thing that was done, and is undone.
#[derive(Debug)]
enum Done {
    Directory(PathBuf),
    Moved { from: PathBuf, to: PathBuf },
    Link { at: PathBuf, to: PathBuf },
}

impl Files {
    /// Puts each file into its place. Returns the variables that say where they are.
    ///
    /// # Errors
    /// [`DeliveryError::File`]; nothing is left then.
    pub(crate) fn place(
        directory: &PrivateDir,
        files: Vec<(Key, FileTarget, Secret)>,
    ) -> Result<(Self, Vec<(String, OsString)>), DeliveryError> {
        let mut placed = Self::default();
        let mut variables = Vec::new();
        for (number, (key, target, contents)) in files.into_iter().enumerate() {
            let failed = |problem| DeliveryError::File { key: key.clone(), problem };
            if cfg!(target_os = "linux") && !directory.is_memory_backed() {
                return Err(failed(FileProblem::NoMemory));
            }
            let file =
                store(directory, number, &key, &target, &contents).map_err(|error| failed(error.into()))?;
            if let Some(path) = &target.path {
                let path = absolute(path).map_err(failed)?;
                placed.link(&path, &file, target.replace).map_err(failed)?;
            }
            if let Some(variable) = target.variable {
                variables.push((variable, target.path.unwrap_or(file).into_os_string()));
            }
        }
        Ok((placed, variables))
    }

    fn link(&mut self, at: &Path, to: &Path, replace: bool) -> Result<(), FileProblem> {
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| FileProblem::Place { what, path, source }
        };
        match fs::symlink_metadata(at) {
            Ok(_) if !replace => return Err(FileProblem::Exists(at.to_owned())),
            Ok(_) => {
                let aside = aside(at);
                fs::rename(at, &aside).map_err(failed("put aside", at))?;
                self.done.push(Done::Moved { from: at.to_owned(), to: aside });
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_parents(at).map_err(failed("make the directory of", at))?;
            }
            Err(error) => return Err(failed("look at", at)(error)),
        }
        symlink(to, at).map_err(failed("make a link at", at))?;
        self.done.push(Done::Link { at: at.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn make_parents(&mut self, path: &Path) -> io::Result<()> {
        let missing = path.ancestors().skip(1).take_while(|parent| fs::symlink_metadata(parent).is_err());
        let mut missing: Vec<&Path> = missing.collect();
        missing.reverse();
        for parent in missing {
            fs::create_dir(parent)?;
            self.done.push(Done::Directory(parent.to_owned()));
        }
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for done in self.done.drain(..).rev() {
            match done {
                Done::Link { at, to } => match fs::read_link(&at) {
                    Ok(target) if target == to => report(fs::remove_file(&at), &at),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Ok(_) | Err(_) => {
                        warn!("COMMAND put something else at {}, which may hold the secret", at.display());
                    }
                },
                Done::Moved { from, to } => report(fs::rename(&to, &from), &from),
                // COMMAND may have put something into it, which is its own.
                Done::Directory(path) => match fs::remove_dir(&path) {
                    Ok(()) => {}
                    Err(error) => debug!("{} stays: {error}", path.display()),
                },
            }
        }
    }
}

fn report(result: io::Result<()>, path: &Path) {
    if let Err(error) = result {
        warn!("{} is not as it was before: {error}", path.display());
    }
}

fn store(
    directory: &PrivateDir,
    number: usize,
    key: &Key,
    target: &FileTarget,
    contents: &Secret,
) -> io::Result<PathBuf> {
    // The number keeps keys such as `a/b` and `a_b` apart; the name is for people, who see it in messages of tools.
    let name = key.as_str().replace('/', "_");
    let file = directory.write(&format!("{number}-{name}"), contents.expose())?;
    fs::set_permissions(&file, fs::Permissions::from_mode(target.mode))?;
    Ok(file)
}

/// Beside it, so that it stays on its file system.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".sb-{}", std::process::id()));
    name.into()
}

fn absolute(path: &Path) -> Result<PathBuf, FileProblem> {
    let path = match path.strip_prefix("~") {
        Ok(rest) => {
            std::env::home_dir().filter(|home| home.is_absolute()).ok_or(FileProblem::NoHome)?.join(rest)
        }
        Err(_) => path.to_owned(),
    };
    Ok(std::path::absolute(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &Path, replace: bool) -> (Key, FileTarget, Secret) {
        let target = FileTarget { path: Some(path.to_owned()), variable: None, mode: 0o400, replace };
        ("k".parse().unwrap(), target, Secret::new(b"secret".to_vec()))
    }

    #[test]
    fn a_file_is_there_with_its_mode_and_goes_with_all_that_was_made_for_it() {
        let (directory, scratch) = (PrivateDir::create().unwrap(), tempfile::TempDir::new().unwrap());
        let path = scratch.path().join("a/b/netrc");
        let (files, _) = Files::place(&directory, vec![file(&path, false)]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o400);
        drop(files);
        assert!(fs::read_dir(scratch.path()).unwrap().next().is_none());
    }

    #[test]
    fn what_is_there_is_an_error_or_comes_back_untouched() {
        let (directory, scratch) = (PrivateDir::create().unwrap(), tempfile::TempDir::new().unwrap());
        let path = scratch.path().join("netrc");
        fs::write(&path, "old").unwrap();
        let refused = Files::place(&directory, vec![file(&path, false)]).unwrap_err();
        assert!(matches!(refused, DeliveryError::File { problem: FileProblem::Exists(_), .. }));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        let directory = PrivateDir::create().unwrap();
        let (files, _) = Files::place(&directory, vec![file(&path, true)]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"secret");
        // A tool that writes a new file and renames it.
        fs::remove_file(&path).unwrap();
        fs::write(&path, "new").unwrap();
        drop(files);
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_command_made_stays() {
        let (directory, scratch) = (PrivateDir::create().unwrap(), tempfile::TempDir::new().unwrap());
        let path = scratch.path().join("made/netrc");
        let (files, _) = Files::place(&directory, vec![file(&path, false)]).unwrap();
        fs::write(scratch.path().join("made/other"), "own").unwrap();
        drop(files);
        assert!(!path.exists());
        assert_eq!(fs::read(scratch.path().join("made/other")).unwrap(), b"own");
    }

    #[test]
    fn when_one_cannot_be_placed_none_stays() {
        let (directory, scratch) = (PrivateDir::create().unwrap(), tempfile::TempDir::new().unwrap());
        let taken = scratch.path().join("taken");
        fs::write(&taken, "").unwrap();
        let files = vec![file(&scratch.path().join("first"), false), file(&taken, false)];
        assert!(Files::place(&directory, files).is_err());
        assert!(!scratch.path().join("first").exists());
    }
}
