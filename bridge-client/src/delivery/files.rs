//! Secrets as files, where COMMAND expects them. They are removed when COMMAND has ended, and so are directories that were
//! created for them.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proto::{Key, Secret};
use tracing::{debug, warn};

use crate::delivery::access::{self, Access};
use crate::delivery::error::{DeliveryError, FileProblem};
use crate::delivery::request::FileTarget;
use crate::exec::private_dir::PrivateDir;

#[cfg_attr(unix, path = "files/unix.rs")]
#[cfg_attr(windows, path = "files/windows.rs")]
mod platform;

use platform::Placed;

/// Files that are in place. Dropping this removes them.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// In the order in which they were done. Undone from the last to the first.
    steps: Vec<Step>,
}

/// A change to the file system that has to be undone.
#[derive(Debug)]
enum Step {
    Directory(PathBuf),
    Moved { from: PathBuf, to: PathBuf },
    Placed(Placed),
}

impl Files {
    /// Puts each file into its place. Returns the variables for their paths.
    ///
    /// # Errors
    /// [`DeliveryError::File`]. All files are removed then.
    pub(crate) fn place(
        directory: &PrivateDir,
        files: Vec<(Key, FileTarget, Secret)>,
    ) -> Result<(Self, Vec<(String, OsString)>), DeliveryError> {
        let mut placed = Self::default();
        let mut variables = Vec::new();
        for (number, (key, target, contents)) in files.into_iter().enumerate() {
            let failed = |problem| DeliveryError::File { key: key.clone(), problem };
            // The number distinguishes keys such as `a/b` and `a_b`. The key is for people, who see the path in messages of
            // tools.
            let name = format!("{number}-{}", key.as_str().replace('/', "_"));
            platform::check(directory).map_err(failed)?;
            let path = match &target.path {
                Some(path) => {
                    let path = absolute(path).map_err(failed)?;
                    placed.make_room(&path, &target).map_err(failed)?;
                    let it =
                        Placed::put(directory, &name, &path, target.access, &contents).map_err(failed)?;
                    placed.steps.push(Step::Placed(it));
                    warn_if_unreachable(&key, &path, target.access);
                    path
                }
                None => platform::keep(directory, &name, target.access, &contents).map_err(failed)?,
            };
            if let Some(variable) = target.variable {
                variables.push((variable, path.into_os_string()));
            }
        }
        Ok((placed, variables))
    }

    /// Moves away what is at `at`, or creates the directories above it.
    fn make_room(&mut self, at: &Path, target: &FileTarget) -> Result<(), FileProblem> {
        match fs::symlink_metadata(at) {
            Ok(_) if !target.replace => Err(FileProblem::Exists(at.to_owned())),
            Ok(_) => {
                let aside = aside(at);
                fs::rename(at, &aside).map_err(failed("move away", at))?;
                self.steps.push(Step::Moved { from: at.to_owned(), to: aside });
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_parents(at, target.access),
            Err(error) => Err(failed("read the metadata of", at)(error)),
        }
    }

    fn make_parents(&mut self, path: &Path, access: Access) -> Result<(), FileProblem> {
        let missing = path.ancestors().skip(1).take_while(|parent| fs::symlink_metadata(parent).is_err());
        let mut missing: Vec<&Path> = missing.collect();
        missing.reverse();
        for parent in missing {
            fs::create_dir(parent).map_err(failed("create the directory", parent))?;
            self.steps.push(Step::Directory(parent.to_owned()));
            if access.names_owner() || access.mode & 0o077 != 0 {
                access::give(parent, Access { mode: 0o755, ..access })?;
            }
        }
        Ok(())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        for step in self.steps.drain(..).rev() {
            match step {
                Step::Placed(placed) => placed.remove(),
                Step::Moved { from, to } => report(fs::rename(&to, &from), &from),
                // COMMAND may have created files in it. They stay.
                Step::Directory(path) => match fs::remove_dir(&path) {
                    Ok(()) => {}
                    Err(error) => debug!("cannot remove {}: {error}", path.display()),
                },
            }
        }
    }
}

/// The file is usable only if the directories above it are.
fn warn_if_unreachable(key: &Key, path: &Path, access: Access) {
    if let (Some(closed), Some(uid)) = (access::unreachable_directory(path, access), access.uid) {
        warn!("{key}: user {uid} cannot reach {}: it may not search {}", path.display(), closed.display());
    }
}

fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileProblem + use<> {
    let path = path.to_owned();
    move |source| FileProblem::Place { what, path, source }
}

fn report(result: io::Result<()>, path: &Path) {
    if let Err(error) = result {
        warn!("cannot restore {}: {error}", path.display());
    }
}

fn report_replaced(at: &Path) {
    warn!("COMMAND put something else at {}, which may hold the secret", at.display());
}

/// A name in the same directory, and so on the same file system.
fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".sb-{}", std::process::id()));
    name.into()
}

fn absolute(path: &Path) -> Result<PathBuf, FileProblem> {
    let path = match path.strip_prefix("~") {
        Ok(rest) => local_ipc::home_directory()
            .filter(|home| home.is_absolute())
            .ok_or(FileProblem::NoHome)?
            .join(rest),
        Err(_) => path.to_owned(),
    };
    Ok(std::path::absolute(path)?)
}
