//! The certificate beside a key, `FILE-cert.pub` (OpenSSH's `PROTOCOL.certkeys`).

use std::io;
use std::path::{Path, PathBuf};

use proto::agent::{Malformed, Reader};
use proto::{Encoding, Secret};

use super::error::KeyProblem;
use super::file;

/// `SSH_CERT_TYPE_USER`.
const USER: u32 = 1;

/// The certificate of the key `blob`, whose file is `key_file`, if there is one.
pub(super) fn beside(key_file: &Path, blob: &[u8]) -> Result<Option<Vec<u8>>, KeyProblem> {
    let mut name = key_file.as_os_str().to_owned();
    name.push("-cert.pub");
    let contents = match file::read(&PathBuf::from(name)) {
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
    let certificate = certificate.ok_or(KeyProblem::Certificate("is damaged"))?;
    match certifies(&certificate, blob) {
        Ok(None) => Ok(Some(certificate)),
        Ok(Some(problem)) => Err(KeyProblem::Certificate(problem)),
        Err(Malformed) => Err(KeyProblem::Certificate("is damaged")),
    }
}

/// What keeps `certificate` from being one for the key `blob`. Who signed it, and until when it is good, is for the
/// server to judge.
fn certifies(certificate: &[u8], blob: &[u8]) -> Result<Option<&'static str>, Malformed> {
    const OTHER_KEY: &str = "is another key's";
    let mut key = Reader::new(blob);
    let mut reader = Reader::new(certificate);
    let plain_type = reader.string()?.strip_suffix(b"-cert-v01@openssh.com").ok_or(Malformed)?;
    if plain_type != key.string()? {
        return Ok(Some(OTHER_KEY));
    }
    reader.string()?; // the nonce
    // Between nonce and serial stand the fields of the key, the same bytes as in the key itself.
    let Some(rest) = reader.rest().strip_prefix(key.rest()) else { return Ok(Some(OTHER_KEY)) };
    let mut reader = Reader::new(rest);
    let _serial = (reader.u32()?, reader.u32()?);
    if reader.u32()? != USER {
        return Ok(Some("is a host's, not a user's"));
    }
    // The rest only has to be there: id, principals, from and until, options, extensions, nothing, CA, signature.
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
