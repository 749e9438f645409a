//! Files that this user alone can open. Windows has no storage in memory, and links need a privilege there, so the bytes are
//! where COMMAND looks for them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use local_ipc::windows::access;
use proto::Secret;
use same_file::Handle;
use tracing::warn;

use super::{failed, report_another_thing};
use crate::delivery::error::FileProblem;
use crate::exec::private_dir::{PrivateDir, TEMPORARY, insist};

/// Secrets may be in any directory of this user's alone.
pub(super) fn check(_directory: &PrivateDir) -> Result<(), FileProblem> {
    Ok(())
}

/// A file in `directory`, as private as that; modes mean nothing here.
pub(super) fn keep(directory: &PrivateDir, name: &str, _mode: u32, contents: &Secret) -> io::Result<PathBuf> {
    directory.write(name, contents.expose())
}

/// A file where COMMAND looks.
#[derive(Debug)]
pub(super) struct Placed {
    at: PathBuf,
    made: Handle,
}

impl Placed {
    pub(super) fn put(
        _directory: &PrivateDir,
        _name: &str,
        at: &Path,
        _mode: u32,
        contents: &Secret,
    ) -> Result<Self, FileProblem> {
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
            Ok(made) => Ok(Self { at: at.to_owned(), made }),
            Err(error) => {
                let _ = fs::remove_file(at);
                Err(failed("make", at)(error))
            }
        }
    }

    pub(super) fn take_away(self) {
        let Self { at, made } = self;
        match Handle::from_path(&at) {
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
            Ok(_) | Err(_) => report_another_thing(&at),
        }
    }
}
