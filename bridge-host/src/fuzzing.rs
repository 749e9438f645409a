//! What the fuzz targets call. Not an interface.

use std::path::Path;

use proto::Secret;

use crate::agent_keys::{Key, KeyProblem};

/// A private key from a file, which can sign.
pub struct KeyFile(Key);

impl KeyFile {
    /// Parses the contents of a key file; every encrypted one has the `passphrase`.
    ///
    /// # Errors
    /// [`KeyProblem`].
    pub fn parse(contents: &[u8], passphrase: &str) -> Result<Self, KeyProblem> {
        let mut ask = |_: &str| Ok(Secret::from(passphrase.to_owned()));
        Key::parse(contents, Path::new("key"), &mut ask).map(Self)
    }

    /// The public key, in SSH's encoding.
    pub fn public(&self) -> &[u8] {
        self.0.blob()
    }

    /// The signature of `data`, by SHA-512 if it is an RSA key.
    pub fn sign(&self, data: &[u8]) -> Option<Vec<u8>> {
        const RSA_SHA2_512: u32 = 4;
        self.0.sign(data, RSA_SHA2_512)
    }
}
