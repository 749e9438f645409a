//! The certificate beside a key, `FILE-cert.pub` (OpenSSH's `PROTOCOL.certkeys`).

use std::io;

use proto::agent::{Malformed, Reader};
use proto::{Encoding, Secret};

use super::error::KeyProblem;
use super::file;
use crate::named_file::NamedFile;

/// How the sentence of [`KeyProblem::Certificate`] goes on.
const DAMAGED: &str = "is damaged";
const OTHER_KEY: &str = "belongs to another key";
const FOR_HOSTS: &str = "is for a host, not for a user";

/// `SSH_CERT_TYPE_USER`.
const USER: u32 = 1;

/// The certificate of the key `blob` that lies beside its file, if there is one.
pub(super) fn read_beside(key_file: &NamedFile, blob: &[u8]) -> Result<Option<Vec<u8>>, KeyProblem> {
    let contents = match file::read(&key_file.beside("-cert.pub")) {
        Ok(file) => file.contents,
        Err(KeyProblem::Missing) => return Ok(None),
        Err(KeyProblem::Read(error)) => return Err(KeyProblem::CertificateRead(error)),
        Err(_) => return Err(KeyProblem::CertificateRead(io::ErrorKind::InvalidInput.into())),
    };
    let mut words = contents.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let certificate = words.nth(1).and_then(|base64| {
        let bytes = Encoding::Base64.decode(Secret::new(base64.to_vec())).ok()?;
        Some(bytes.expose().to_vec())
    });
    let certificate = certificate.ok_or(KeyProblem::Certificate(DAMAGED))?;
    match problem(&certificate, blob) {
        Ok(None) => Ok(Some(certificate)),
        Ok(Some(problem)) => Err(KeyProblem::Certificate(problem)),
        Err(Malformed) => Err(KeyProblem::Certificate(DAMAGED)),
    }
}

/// Why `certificate` is not a user certificate of the key `blob`, if it is not. Its authority and its validity are for
/// the server to check.
fn problem(certificate: &[u8], blob: &[u8]) -> Result<Option<&'static str>, Malformed> {
    let mut key = Reader::new(blob);
    let mut reader = Reader::new(certificate);
    let plain_type = reader.string()?.strip_suffix(b"-cert-v01@openssh.com").ok_or(Malformed)?;
    if plain_type != key.string()? {
        return Ok(Some(OTHER_KEY));
    }
    reader.string()?; // the nonce
    // Between nonce and serial are the fields of the key, the same bytes as in the key itself.
    let Some(rest) = reader.rest().strip_prefix(key.rest()) else { return Ok(Some(OTHER_KEY)) };
    let mut reader = Reader::new(rest);
    let _serial = (reader.u32()?, reader.u32()?);
    if reader.u32()? != USER {
        return Ok(Some(FOR_HOSTS));
    }
    // The rest only has to be present: key id, principals, validity from and until, critical options, extensions,
    // reserved, authority, signature.
    reader.string()?;
    reader.string()?;
    for _half_of_a_time in 0..4 {
        reader.u32()?;
    }
    for _field in 0..5 {
        reader.string()?;
    }
    reader.finish()?;
    Ok(None)
}
