//! Secrets that the builder mounted itself, for builds without a bridge: one Dockerfile line works with both.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use proto::Key;
use proto::limits::MAX_SECRET;
use thiserror::Error;
use tracing::{info, warn};

use crate::conf_source::ConfSourceError;
use crate::delivery::collect::Collection;
use crate::delivery::request::SecretRequest;
use crate::error::ClientError;
use crate::exec::prepared::Prepared;
use crate::fetch::Delivery as _;

/// Where BuildKit, buildah and Docker's services mount secrets.
#[cfg(not(windows))]
const DIRECTORY: &str = "/run/secrets";
#[cfg(windows)]
const DIRECTORY: &str = r"C:\ProgramData\Docker\secrets";

/// Why a mounted secret is of no use.
#[derive(Debug, Error)]
pub enum MountError {
    /// It is not there.
    #[error("there is no {}", .0.display())]
    Missing(PathBuf),
    /// It is empty.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// More than [`MAX_SECRET`].
    #[error("{} is larger than {} MiB", .0.display(), MAX_SECRET >> 20)]
    TooLarge(PathBuf),
    /// It cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A key that leads out of the directory.
    #[error("its name is no path in a directory")]
    Outside,
}

/// Takes `requests` from files named like their keys in `directory`, or where builders mount them. `no_conf` says where a
/// conf was looked for, and that there is none.
///
/// # Errors
/// [`ClientError::NeitherConfNorMount`] for the first secret that is needed and not there.
pub fn prepare(
    requests: &[SecretRequest],
    directory: Option<&Path>,
    no_conf: ConfSourceError,
) -> Result<Prepared<'static>, ClientError> {
    let directory = directory.unwrap_or(Path::new(DIRECTORY));
    let mut collection = Collection::new(requests);
    let keys = collection.keys();
    let mut found = 0;
    for (index, key) in keys.iter().enumerate() {
        match read(directory, key) {
            Ok(value) => {
                collection.begin(index, value.len() as u64)?;
                collection.chunk(index, &value)?;
                found += 1;
            }
            Err(MountError::Missing(_)) if collection.can_do_without(index) => {}
            Err(problem) => {
                return Err(ClientError::NeitherConfNorMount { key: key.clone(), problem, no_conf });
            }
        }
    }
    match (keys.len(), found) {
        (0, _) => warn!("there is no bridge: COMMAND runs without one"),
        (_, 0) => {
            warn!("there is no bridge and no secret in {}: COMMAND runs without secrets", directory.display())
        }
        (_, found) => info!("there is no bridge: {found} secrets are taken from {}", directory.display()),
    }
    Ok(Prepared { collected: collection.finish()?, agent: None })
}

fn read(directory: &Path, key: &Key) -> Result<zeroize::Zeroizing<Vec<u8>>, MountError> {
    if key.as_str().split('/').any(|part| part.is_empty() || part == "." || part == "..") {
        return Err(MountError::Outside);
    }
    let path = directory.join(key.as_str());
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(MountError::Missing(path)),
        Err(source) => return Err(MountError::Unreadable { path, source }),
    };
    let length = file.metadata().map(|metadata| metadata.len()).unwrap_or_default();
    let mut value = zeroize::Zeroizing::new(Vec::with_capacity(
        usize::try_from(length.min(MAX_SECRET)).unwrap_or_default(),
    ));
    match file.take(MAX_SECRET + 1).read_to_end(&mut value) {
        Err(source) => Err(MountError::Unreadable { path, source }),
        Ok(0) => Err(MountError::Empty(path)),
        Ok(length) if length as u64 > MAX_SECRET => Err(MountError::TooLarge(path)),
        Ok(_) => Ok(value),
    }
}
