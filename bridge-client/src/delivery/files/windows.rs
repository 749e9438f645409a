//! Files on Windows, which only this user can open. Windows has no file system in memory, and links need a privilege, so the
//! bytes are in a file at the path that COMMAND uses.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::windows::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use local_ipc::windows::access;
use proto::Secret;
use same_file::Handle;
use tracing::warn;

use super::{failed, report_replaced};
use crate::delivery::access::Access;
use crate::delivery::error::FileProblem;
use crate::exec::private_dir::{PrivateDir, TEMPORARY, retry_removal};

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

/// The file at the path that COMMAND uses.
#[derive(Debug)]
pub(super) struct Placed {
    at: PathBuf,
    created: Handle,
}

impl Placed {
    pub(super) fn put(
        _directory: &PrivateDir,
        _name: &str,
        at: &Path,
        _access: Access,
        contents: &Secret,
    ) -> Result<Self, FileProblem> {
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
            Ok(created) => Ok(Self { at: at.to_owned(), created }),
            Err(error) => {
                let _ = fs::remove_file(at);
                Err(failed("create", at)(error))
            }
        }
    }

    pub(super) fn remove(self) {
        let Self { at, created } = self;
        match Handle::from_path(&at) {
            Ok(found) if found == created => {
                // Otherwise the file would only be marked as deleted, until these handles are closed.
                drop((found, created));
                match retry_removal(|| fs::remove_file(&at)) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Ok(()) => {}
                    Err(error) => warn!("cannot remove {}, which contains the secret: {error}", at.display()),
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(_) | Err(_) => report_replaced(&at),
        }
    }
}
