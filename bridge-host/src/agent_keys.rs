//! Private SSH keys from files, for hosts without an agent. They are read once, when the bridge starts, and stay in this
//! process's memory, where they only sign. `ssh-policy` decides what.

use std::fmt;
use std::path::Path;

use proto::Secret;
use proto::agent::Identity;

use crate::named_file::NamedFile;
use crate::prompt::PromptError;

mod certificate;
mod der;
mod error;
mod file;
mod modulo;
mod openssh;
mod passphrase;
mod pem;
mod signing_key;
#[cfg(test)]
mod tests;

pub use error::{KeyFileError, KeyProblem};
use passphrase::Passphrases;
use signing_key::SigningKey;

/// The keys of one agent, from all its files.
pub(crate) struct KeyFiles(Vec<Key>);

pub(crate) struct Key {
    signing: SigningKey,
    blob: Vec<u8>,
    certificate: Option<Vec<u8>>,
    comment: Vec<u8>,
}

impl KeyFiles {
    /// Reads all of `files`. For each encrypted file, `passphrase` is called at most three times, with a question that
    /// names the file. A key that is in two files is loaded once.
    ///
    /// # Errors
    /// [`KeyFileError`], for the first file that cannot be used.
    pub(crate) fn load(
        files: &[NamedFile],
        passphrase: &mut dyn FnMut(&str) -> Result<Secret, PromptError>,
    ) -> Result<Self, KeyFileError> {
        let mut keys: Vec<Key> = Vec::with_capacity(files.len());
        for file in files {
            let key = Key::load(file, passphrase)
                .map_err(|problem| KeyFileError { path: file.path().to_owned(), problem })?;
            match keys.iter_mut().find(|known| known.blob == key.blob) {
                Some(known) => known.certificate = known.certificate.take().or(key.certificate),
                None => keys.push(key),
            }
        }
        Ok(Self(keys))
    }

    /// The public keys, each followed by its certificate if it has one.
    pub(crate) fn identities(&self) -> Vec<Identity> {
        let blobs = |key: &Key| [Some(key.blob.clone()), key.certificate.clone()].into_iter().flatten();
        self.0
            .iter()
            .flat_map(|key| blobs(key).map(|blob| Identity { key: blob, comment: key.comment.clone() }))
            .collect()
    }

    /// The signature of `data` (algorithm and bytes, as two strings) by the key, or the key of the certificate,
    /// `key_blob`. `None` if the key is not among these, or is an RSA key and `flags` do not ask for SHA-2.
    pub(crate) fn sign(&self, key_blob: &[u8], data: &[u8], flags: u32) -> Option<Vec<u8>> {
        self.0
            .iter()
            .find(|key| key.blob == key_blob || key.certificate.as_deref() == Some(key_blob))?
            .sign(data, flags)
    }
}

impl fmt::Debug for KeyFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFiles({} keys)", self.0.len())
    }
}

impl Key {
    fn load(
        named: &NamedFile,
        ask: &mut dyn FnMut(&str) -> Result<Secret, PromptError>,
    ) -> Result<Self, KeyProblem> {
        let file = file::read(named)?;
        let (format, bytes) = pem::find(&file.contents)?;
        // Checked last: a user who gave the public key by mistake needs another hint than chmod.
        file.privacy?;
        let key = Self::of_format(format, &bytes, named.path(), ask)?;
        let certificate = certificate::read_beside(named, &key.blob)?;
        Ok(Self { certificate, ..key })
    }

    /// From the contents of a file, without a certificate. `path` is for questions and for the comment.
    pub(crate) fn parse(
        contents: &[u8],
        path: &Path,
        ask: &mut dyn FnMut(&str) -> Result<Secret, PromptError>,
    ) -> Result<Self, KeyProblem> {
        let (format, bytes) = pem::find(contents)?;
        Self::of_format(format, &bytes, path, ask)
    }

    fn of_format(
        format: pem::Format,
        bytes: &Secret,
        path: &Path,
        ask: &mut dyn FnMut(&str) -> Result<Secret, PromptError>,
    ) -> Result<Self, KeyProblem> {
        let mut passphrases = Passphrases { path, ask };
        let (signing, comment) = match format {
            pem::Format::OpenSsh => openssh::read(bytes.expose(), &mut passphrases)?,
            pem::Format::Pkcs8 => (der::pkcs8(bytes.expose())?, Vec::new()),
            pem::Format::EncryptedPkcs8 => {
                (der::encrypted_pkcs8(bytes.expose(), &mut passphrases)?, Vec::new())
            }
            pem::Format::Pkcs1 => (der::pkcs1(bytes.expose())?, Vec::new()),
            pem::Format::Sec1 => (der::sec1(bytes.expose())?, Vec::new()),
        };
        let blob = signing.blob()?;
        let comment = if comment.is_empty() { file_name(path) } else { comment };
        Ok(Self { signing, blob, certificate: None, comment })
    }

    /// The public key, in SSH's encoding.
    pub(crate) fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// As [`KeyFiles::sign`].
    pub(crate) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        self.signing.sign(data, flags)
    }
}

fn file_name(path: &Path) -> Vec<u8> {
    path.file_name().map(|name| name.to_string_lossy().into_owned().into_bytes()).unwrap_or_default()
}
