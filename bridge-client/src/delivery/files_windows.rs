//! Secrets as files that this user alone can open, and that are deleted when COMMAND has ended. Windows has no storage in
//! memory, and links need a privilege there, so the bytes are where COMMAND looks for them.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use proto::{Key, Secret};
use same_file::Handle;
use tracing::{debug, warn};
use windows_access::access;

use crate::delivery::wish::FileTarget;
use crate::error::{DeliveryError, FileProblem};
use crate::private_dir::{PrivateDir, TEMPORARY, insist};

/// Files that are in their places. Dropping this takes them away.
#[derive(Default)]
pub(crate) struct Files {
    /// In the order in which they were made; undone from the last to the first.
    done: Vec<Done>,
}

/// One thing that was done, and is undone.
enum Done {
    Directory(PathBuf),
    Moved { from: PathBuf, to: PathBuf },
    File { at: PathBuf, made: Handle },
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
            let path = match &target.path {
                Some(path) => {
                    let path = absolute(path).map_err(failed)?;
                    placed.put(&path, &contents, target.replace).map_err(failed)?;
                    path
                }
                None => {
                    // The number keeps keys such as `a/b` and `a_b` apart; the name is for people.
                    let name = format!("{number}-{}", key.as_str().replace('/', "_"));
                    directory.write(&name, contents.expose()).map_err(|error| failed(error.into()))?
                }
            };
            if let Some(variable) = target.variable {
                variables.push((variable, path.into_os_string()));
            }
        }
        Ok((placed, variables))
    }

    fn put(&mut self, at: &Path, contents: &Secret, replace: bool) -> Result<(), FileProblem> {
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
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .attributes(TEMPORARY)
            // Nobody else opens it before it is private.
            .share_mode(0)
            .open(at)
            .map_err(failed("make", at))?;
        let filled = access::make_private(at).and_then(|()| file.write_all(contents.expose()));
        drop(file);
        match filled.and_then(|()| File::open(at)).and_then(Handle::from_file) {
            Ok(made) => self.done.push(Done::File { at: at.to_owned(), made }),
            Err(error) => {
                let _ = fs::remove_file(at);
                return Err(failed("make", at)(error));
            }
        }
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
                Done::File { at, made } => match Handle::from_path(&at) {
                    Ok(found) if found == made => {
                        // Else the file would only be marked, and stay until these are closed.
                        drop((found, made));
                        match insist(|| fs::remove_file(&at)) {
                            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                            Ok(()) => {}
                            Err(error) => warn!("{} stays, and holds the secret: {error}", at.display()),
                        }
                    }
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

/// Beside it, so that it stays on its volume.
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
