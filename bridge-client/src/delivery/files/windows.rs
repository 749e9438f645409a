//! Files on Windows, which only this user can open. Windows has no file system in memory, and links need a privilege, so the
//! bytes are in a file at the path that COMMAND uses.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use local_ipc::windows::access;
use proto::Secret;
use same_file::Handle;
use tracing::{debug, warn};

use super::{failed, report, report_replaced};
use crate::delivery::access::Access;
use crate::delivery::error::FileProblem;
use crate::delivery::request::FileTarget;
use crate::exec::private_dir::{PrivateDir, TEMPORARY, retry_removal};

/// Where an existing file is while COMMAND runs.
const SAVED: &str = ".sb-original";
/// Where a file is moved that COMMAND put in the place of ours.
const CHANGED: &str = ".sb-changed";

/// Secrets may be stored in any directory that is private to this user.
pub(super) fn check(_directory: &PrivateDir) -> Result<(), FileProblem> {
    Ok(())
}

/// Writes a file in `directory`, and as private as that. Windows has no modes.
pub(super) fn keep(
    directory: &PrivateDir,
    name: &str,
    _access: Access,
    contents: &Secret,
) -> Result<PathBuf, FileProblem> {
    Ok(directory.write(name, contents.expose())?)
}

/// The file at the path that COMMAND uses. Dropping it removes the file, and moves back what was there before.
#[derive(Debug)]
pub(super) struct Placed {
    at: PathBuf,
    created: Option<Handle>,
    original: Option<PathBuf>,
    /// Directories that were created above it.
    made: Vec<PathBuf>,
}

impl Placed {
    pub(super) fn put(
        _directory: &PrivateDir,
        _name: &str,
        at: &Path,
        _bounds: &[PathBuf],
        target: &FileTarget,
        contents: &Secret,
    ) -> Result<Self, FileProblem> {
        let mut placed = Self { at: at.to_owned(), created: None, original: None, made: Vec::new() };
        placed.make_room(target.replace)?;
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .attributes(TEMPORARY)
            // No other process can open it before it is private.
            .share_mode(0)
            .open(at)
            .map_err(failed("create", at))?;
        let filled = access::make_private(at).and_then(|()| file.write_all(contents.expose()));
        drop(file);
        match filled.and_then(|()| File::open(at)).and_then(Handle::from_file) {
            Ok(created) => {
                placed.created = Some(created);
                Ok(placed)
            }
            Err(error) => {
                let _ = fs::remove_file(at);
                Err(failed("create", at)(error))
            }
        }
    }

    /// Moves away what is at the path, or creates the directories above it.
    fn make_room(&mut self, replace: bool) -> Result<(), FileProblem> {
        let at = &self.at;
        let saved = beside(at, SAVED);
        if fs::symlink_metadata(&saved).is_ok() {
            return Err(FileProblem::Saved { at: at.clone(), saved });
        }
        match fs::symlink_metadata(at) {
            Ok(_) if !replace => Err(FileProblem::Exists(at.clone())),
            Ok(_) => {
                move_to_free_name(at, &saved).map_err(failed("move away", at))?;
                self.original = Some(saved);
                Ok(())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.make_parents(),
            Err(error) => Err(failed("read the metadata of", at)(error)),
        }
    }

    fn make_parents(&mut self) -> Result<(), FileProblem> {
        let parents = self.at.ancestors().skip(1);
        let mut missing: Vec<PathBuf> =
            parents.take_while(|parent| fs::symlink_metadata(parent).is_err()).map(Path::to_owned).collect();
        missing.reverse();
        for parent in missing {
            fs::create_dir(&parent).map_err(failed("create the directory", &parent))?;
            self.made.push(parent);
        }
        Ok(())
    }

    fn remove(&self, created: Handle) {
        let at = &self.at;
        match Handle::from_path(at) {
            Ok(found) if found == created => {
                // Otherwise the file would only be marked as deleted, until these handles are closed.
                drop((found, created));
                match retry_removal(|| fs::remove_file(at)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Ok(()) => {}
                    Err(error) => warn!("cannot remove {}, which contains the secret: {error}", at.display()),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) | Err(_) => report_replaced(at),
        }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        if let Some(created) = self.created.take() {
            self.remove(created);
        }
        if let Some(original) = self.original.take() {
            if fs::symlink_metadata(&self.at).is_ok() {
                let changed = beside(&self.at, CHANGED);
                match move_to_free_name(&self.at, &changed) {
                    Ok(()) => warn!("what COMMAND put at {} is now {}", self.at.display(), changed.display()),
                    Err(error) => warn!("cannot move {} away: {error}", self.at.display()),
                }
            }
            report(move_to_free_name(&original, &self.at), &original);
        }
        for path in self.made.drain(..).rev() {
            // COMMAND may have created files in it. They stay.
            if let Err(error) = fs::remove_dir(&path) {
                debug!("cannot remove {}: {error}", path.display());
            }
        }
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Moves `from` to `to`, and fails if there is something: std's `rename` would replace a file. A hard link does not.
fn move_to_free_name(from: &Path, to: &Path) -> io::Result<()> {
    if fs::symlink_metadata(from)?.is_file() {
        match fs::hard_link(from, to) {
            Ok(()) => return fs::remove_file(from),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // FAT has no hard links.
            Err(_) => {}
        }
    }
    match fs::symlink_metadata(to) {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => fs::rename(from, to),
        Err(error) => Err(error),
    }
}
