//! `--ca-key-store`: a file that keeps CA, client key and port, so that the conf is the same in the next run.
//!
//! It gives up the promise that a conf is dead once its bridge has ended. The file is binary: a line that identifies it,
//! the port (2 bytes, big-endian), the client key's seed (32 bytes), and the CA's private key (PKCS #8).

use std::io;
use std::path::Path;

use proto::ClientSeed;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::private_file::{self, PrivateFileError};

const FIRST_LINE: &[u8] = b"secrets-bridge CA key store 1\n";
const MAX_LENGTH: u64 = 4096;

/// Why a CA key store cannot be used.
#[derive(Debug, Error)]
pub enum CaKeyStoreError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}; anyone who can read it can use every bridge that uses it")]
    NotPrivate(&'static str),
    #[error("it is not a CA key store of this version")]
    Malformed,
}

impl From<PrivateFileError> for CaKeyStoreError {
    fn from(error: PrivateFileError) -> Self {
        match error {
            PrivateFileError::Io(error) => Self::Io(error),
            PrivateFileError::NotPrivate(problem) => Self::NotPrivate(problem),
        }
    }
}

/// The contents of the store.
pub(crate) struct Kept {
    /// The port that the last run listened on.
    pub(crate) port: u16,
    pub(crate) client_seed: ClientSeed,
    /// The CA's private key, PKCS #8.
    pub(crate) ca_key: Zeroizing<Vec<u8>>,
}

/// Reads the store; `None` if the file does not exist.
///
/// # Errors
/// [`CaKeyStoreError`] if the file cannot be read, is not private, or is not a CA key store.
pub(crate) fn load(path: &Path) -> Result<Option<Kept>, CaKeyStoreError> {
    let Some(contents) = private_file::read(path, MAX_LENGTH)? else { return Ok(None) };
    let contents = Zeroizing::new(contents);
    parse(&contents).map(Some).ok_or(CaKeyStoreError::Malformed)
}

fn parse(contents: &[u8]) -> Option<Kept> {
    let body = contents.strip_prefix(FIRST_LINE)?;
    let (port, body) = body.split_first_chunk::<2>()?;
    let (seed, ca_key) = body.split_first_chunk::<32>()?;
    Some(Kept {
        port: u16::from_be_bytes(*port),
        client_seed: ClientSeed::new(*seed),
        ca_key: Zeroizing::new(ca_key.to_vec()),
    })
}

/// Writes the store.
///
/// # Errors
/// [`CaKeyStoreError::Io`].
pub(crate) fn save(path: &Path, kept: &Kept) -> Result<(), CaKeyStoreError> {
    let contents = Zeroizing::new(
        [FIRST_LINE, &kept.port.to_be_bytes(), kept.client_seed.expose(), &kept.ca_key].concat(),
    );
    Ok(private_file::write(path, &contents)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_saved_store_is_loaded_and_a_cut_one_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        assert!(load(&path).unwrap().is_none());
        let kept =
            Kept { port: 9100, client_seed: ClientSeed::new([7; 32]), ca_key: Zeroizing::new(vec![1, 2, 3]) };
        save(&path, &kept).unwrap();
        let loaded = load(&path).unwrap().unwrap();
        assert_eq!(
            (loaded.port, loaded.client_seed.expose(), &*loaded.ca_key),
            (9100, &[7; 32], &vec![1, 2, 3])
        );
        private_file::write(&path, &FIRST_LINE[..10]).unwrap();
        assert!(matches!(load(&path), Err(CaKeyStoreError::Malformed)));
    }

    #[cfg(unix)]
    #[test]
    fn a_store_that_others_may_read_or_a_link_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        std::fs::write(&path, FIRST_LINE).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(load(&path), Err(CaKeyStoreError::NotPrivate(_))));
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(load(&link), Err(CaKeyStoreError::Io(_))));
    }
}
