//! Secrets that the builder mounted, for builds without a bridge: one line of a Dockerfile works with both.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use proto::Key;
use proto::limits::MAX_SECRET;
use thiserror::Error;
use tracing::{info, warn};

use crate::conf_source::NoConf;
use crate::delivery::collect::Collection;
use crate::delivery::error::DeliveryError;
use crate::delivery::request::SecretRequest;
use crate::delivery::sink::Sink as _;
use crate::exec::prepared::Prepared;
use crate::http::{HttpMode, HttpRequest};

/// Where BuildKit, buildah and Docker's services mount secrets.
#[cfg(not(windows))]
const DIRECTORY: &str = "/run/secrets";
#[cfg(windows)]
const DIRECTORY: &str = r"C:\ProgramData\Docker\secrets";

/// Why a mounted secret cannot be used.
#[derive(Debug, Error)]
pub enum MountError {
    #[error("there is no {}", .0.display())]
    Missing(PathBuf),
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    #[error("{} is larger than {} MiB", .0.display(), MAX_SECRET >> 20)]
    TooLarge(PathBuf),
    #[error("cannot read {}: {source}", .path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    /// The key leads out of the directory.
    #[error("its key is not a path below the directory")]
    Outside,
}

/// Why a build without a bridge cannot use mounted secrets instead.
#[derive(Debug, Error)]
pub enum FallbackError {
    /// A required secret is not mounted.
    #[error("{no_conf}\nand {key} is not mounted: {problem}")]
    NeitherConfNorMount { key: Key, problem: MountError, no_conf: NoConf },
    /// COMMAND is to get the proxy, which needs a bridge.
    #[error("{no_conf}\nand --http needs a bridge")]
    NoBridgeForHttp { no_conf: NoConf },
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}

impl FallbackError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::NeitherConfNorMount { .. } | Self::NoBridgeForHttp { .. } => Some(NoConf::hint()),
            Self::Delivery(_) => None,
        }
    }
}

/// Reads the secrets of `requests` from files named like their keys in `directory`, by default where builders mount them.
/// `no_conf` says where a conf was looked for.
///
/// # Errors
/// [`FallbackError`] for the first secret that is required and cannot be used, and if `http` is required.
pub fn prepare(
    requests: &[SecretRequest],
    http: &HttpRequest,
    directory: Option<&Path>,
    no_conf: NoConf,
) -> Result<Prepared<'static>, FallbackError> {
    match http.mode {
        HttpMode::None | HttpMode::IfRuled => {}
        HttpMode::Required => return Err(FallbackError::NoBridgeForHttp { no_conf }),
    }
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
            Err(MountError::Missing(_)) if collection.is_optional(index) => {}
            Err(problem) => {
                return Err(FallbackError::NeitherConfNorMount { key: key.clone(), problem, no_conf });
            }
        }
    }
    match (keys.len(), found) {
        (0, _) => warn!("there is no bridge: COMMAND runs without one"),
        (_, 0) => {
            warn!("there is no bridge and no secret in {}: COMMAND runs without secrets", directory.display())
        }
        (_, found) => {
            info!("there is no bridge: taking secrets from {} ({found} found)", directory.display())
        }
    }
    Ok(Prepared { collected: collection.finish()?, agent: None, http: None })
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
