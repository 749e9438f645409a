//! OpenSSH's own format (its `PROTOCOL.key`), plain and encrypted.
//!
//! Parsed with our strict reader rather than with ssh-key, which wants ECDSA numbers at full length and so refuses one in
//! four nistp521 keys that ssh-keygen makes (0.6.7). Key derivation and ciphers are ssh-key's.

use proto::Secret;
use proto::agent::{Malformed, Reader};
use ssh_key::{Cipher, Kdf};
use zeroize::Zeroizing;

use super::error::KeyProblem;
use super::passphrase::Passphrases;
use super::signing_key::{CURVES, RsaNumbers, SigningKey};

const MAGIC: &[u8] = b"openssh-key-v1\0";
/// Length of the tag of authenticated ciphers, in bytes.
const TAG_LENGTH: usize = 16;

/// A key and its comment.
pub(super) type KeyWithComment = (SigningKey, Vec<u8>);

impl From<Malformed> for KeyProblem {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

pub(super) fn read(bytes: &[u8], passphrases: &mut Passphrases<'_>) -> Result<KeyWithComment, KeyProblem> {
    let mut reader = Reader::new(bytes.strip_prefix(MAGIC).ok_or(KeyProblem::Malformed)?);
    let cipher = text(&mut reader)?;
    let derivation = text(&mut reader)?;
    let options = reader.string()?;
    if reader.u32()? != 1 {
        return Err(KeyProblem::Malformed); // the format allows several keys, but nothing writes more than one
    }
    let public = reader.string()?;
    let private = reader.string()?;
    // Before a person is asked for a passphrase that would be of no use.
    check_supported(Reader::new(public).string()?)?;

    let (key, comment) = if cipher == "none" {
        reader.finish()?;
        // Without encryption there is no wrong passphrase: the key is damaged.
        read_private(private)?.ok_or(KeyProblem::Malformed)?
    } else {
        let sealed = Sealed::read(cipher, derivation, options, private, reader.rest())?;
        passphrases.decrypt_with(|passphrase| match sealed.decrypt(passphrase) {
            Some(private) => read_private(private.expose()),
            None => Ok(None),
        })?
    };
    // As ssh does: the public half needs no passphrase, so tools read it and rely on it.
    if key.blob()? == public { Ok((key, comment)) } else { Err(KeyProblem::Malformed) }
}

/// The private part, still encrypted.
struct Sealed<'a> {
    cipher: Cipher,
    derivation: Kdf,
    private: &'a [u8],
    tag: Option<[u8; TAG_LENGTH]>,
}

impl<'a> Sealed<'a> {
    fn read(
        cipher: &str,
        derivation: &str,
        options: &[u8],
        private: &'a [u8],
        after: &[u8],
    ) -> Result<Self, KeyProblem> {
        let cipher = Cipher::new(cipher).map_err(|_| KeyProblem::UnsupportedEncryption)?;
        if derivation != "bcrypt" {
            return Err(KeyProblem::UnsupportedEncryption);
        }
        let mut options = Reader::new(options);
        let derivation = Kdf::Bcrypt { salt: options.string()?.to_vec(), rounds: options.u32()? };
        options.finish()?;
        let tag = match (cipher.has_tag(), after) {
            (false, []) => None,
            (true, tag) => Some(tag.try_into().map_err(|_| KeyProblem::Malformed)?),
            (false, _) => return Err(KeyProblem::Malformed),
        };
        if !private.len().is_multiple_of(cipher.block_size()) {
            return Err(KeyProblem::Malformed);
        }
        Ok(Self { cipher, derivation, private, tag })
    }

    /// The private part. Without a tag, only [`read_private`] finds out whether the passphrase is wrong.
    fn decrypt(&self, passphrase: &[u8]) -> Option<Secret> {
        let (key, iv) = self.derivation.derive_key_and_iv(self.cipher, passphrase).ok()?;
        let mut private = Zeroizing::new(self.private.to_vec());
        self.cipher.decrypt(&key, &iv, &mut private, self.tag).ok()?;
        Some(Secret::new(std::mem::take(&mut private)))
    }
}

/// Parses the decrypted private part. `None` if its two check numbers differ: a wrong passphrase.
fn read_private(bytes: &[u8]) -> Result<Option<KeyWithComment>, KeyProblem> {
    let mut reader = Reader::new(bytes);
    if reader.u32()? != reader.u32()? {
        return Ok(None);
    }
    let key_type = reader.string()?;
    let key = match key_type {
        b"ssh-ed25519" => {
            let public = reader.string()?;
            let (seed, _) = reader.string()?.split_at_checked(32).ok_or(KeyProblem::Malformed)?;
            SigningKey::ed25519(seed, public)?
        }
        b"ssh-rsa" => {
            let [n, e, d] = [number(&mut reader)?, number(&mut reader)?, number(&mut reader)?];
            let [q_inverse, p, q] = [number(&mut reader)?, number(&mut reader)?, number(&mut reader)?];
            SigningKey::rsa(&RsaNumbers { n, e, d, q_inverse, p, q })?
        }
        _ => {
            check_supported(key_type)?;
            let curve = CURVES.iter().find(|curve| curve.key_type.as_bytes() == key_type);
            let curve = curve.ok_or(KeyProblem::UnsupportedType)?;
            if reader.string()? != curve.name.as_bytes() {
                return Err(KeyProblem::Malformed);
            }
            let point = reader.string()?;
            SigningKey::ecdsa(curve, number(&mut reader)?, point)?
        }
    };
    let comment = reader.string()?.to_vec();
    let padding_fits = (1..=u8::MAX).zip(reader.rest()).all(|(expected, padding)| expected == *padding);
    if padding_fits { Ok(Some((key, comment))) } else { Err(KeyProblem::Malformed) }
}

/// # Errors
/// Why keys of this type are not supported, if they are not.
fn check_supported(key_type: &[u8]) -> Result<(), KeyProblem> {
    match key_type {
        b"ssh-ed25519" | b"ssh-rsa" => Ok(()),
        b"ssh-dss" => Err(KeyProblem::Dsa),
        _ if key_type.starts_with(b"sk-") => Err(KeyProblem::SecurityKey),
        _ if CURVES.iter().any(|curve| curve.key_type.as_bytes() == key_type) => Ok(()),
        _ => Err(KeyProblem::UnsupportedType),
    }
}

/// A positive `mpint`, without leading zeros.
fn number<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    match reader.string()? {
        [] => Err(Malformed),
        [0, number @ ..] => Ok(number),
        [first, ..] if first & 0x80 != 0 => Err(Malformed),
        number => Ok(number),
    }
}

fn text<'a>(reader: &mut Reader<'a>) -> Result<&'a str, Malformed> {
    std::str::from_utf8(reader.string()?).map_err(|_| Malformed)
}
