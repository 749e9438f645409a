//! Secrets as files where COMMAND looks for them. They, and directories made for them, are removed when COMMAND has ended.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use proto::{Key, Secret};
use tracing::{debug, warn};

use crate::delivery::error::{DeliveryError, FileProblem};
use crate::delivery::request::FileTarget;
use crate::exec::private_dir::PrivateDir;

#[cfg_attr(unix, path = "files/unix.rs")]
#[cfg_attr(windows, path = "files/windows.rs")]
mod platform;

use platform::Placed;

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
    Placed(Placed),
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
            // The number keeps keys such as `a/b` and `a_b` apart; the name is for people, who see it in messages of tools.
            let name = format!("{number}-{}", key.as_str().replace('/', "_"));
            platform::check(directory).map_err(failed)?;
            let path = match &target.path {
                Some(path) => {
                    let path = absolute(path).map_err(failed)?;
                    placed.clear_the_way(&path, target.replace).map_err(failed)?;
                    let it = Placed::put(directory, &name, &path, target.mode, &contents).map_err(failed)?;
                    placed.done.push(Done::Placed(it));
                    path
                }
                None => platform::keep(directory, &name, target.mode, &contents)
                    .map_err(|error| failed(error.into()))?,
            };
            if let Some(variable) = target.variable {
                variables.push((variable, path.into_os_string()));
            }
        }
        Ok((placed, variables))
    }

    /// What is at `at` is put aside, or what it lies in is made.
    fn clear_the_way(&mut self, at: &Path, replace: bool) -> Result<(), FileProblem> {
        match fs::symlink_metadata(at) {
            Ok(_) if !replace => Err(FileProblem::Exists(at.to_owned())),
            Ok(_) => {
                let aside = aside(at);
                fs::rename(at, &aside).map_err(failed("put aside", at))?;
                self.done.push(Done::Moved { from: at.to_owned(), to: aside });
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.make_parents(at).map_err(failed("make the directory of", at))
            }
            Err(error) => Err(failed("look at", at)(error)),
        }
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
                Done::Placed(placed) => placed.take_away(),
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

/// The step `what` has failed at `path`.
fn failed(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FileProblem + use<> {
    let path = path.to_owned();
    move |source| FileProblem::Place { what, path, source }
}

fn report(result: io::Result<()>, path: &Path) {
    if let Err(error) = result {
        warn!("{} is not as it was before: {error}", path.display());
    }
}

fn report_another_thing(at: &Path) {
    warn!("COMMAND put something else at {}, which may hold the secret", at.display());
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
