//! Not built yet: files here would need an access list, and to be deleted with their last handle.

use std::ffi::OsString;

use proto::{Key, Secret};

use crate::delivery::wish::FileTarget;
use crate::error::{DeliveryError, FileProblem};
use crate::private_dir::PrivateDir;

pub(crate) struct Files;

impl Files {
    pub(crate) fn place(
        _directory: &PrivateDir,
        files: Vec<(Key, FileTarget, Secret)>,
    ) -> Result<(Self, Vec<(String, OsString)>), DeliveryError> {
        match files.into_iter().next() {
            None => Ok((Self, Vec::new())),
            Some((key, ..)) => Err(DeliveryError::File {
                key,
                problem: FileProblem::Io(std::io::ErrorKind::Unsupported.into()),
            }),
        }
    }
}
