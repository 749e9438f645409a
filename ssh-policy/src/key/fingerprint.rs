//! Fingerprints of keys, as `ssh-add -l` shows them.

use std::fmt;
use std::str::FromStr;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use thiserror::Error;

const PREFIX: &str = "SHA256:";

/// SHA-256 of a public key; of a certificate, that of the key in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

/// A text that is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "invalid fingerprint: must be SHA256: and 43 characters of base64, as `ssh-keygen -lf KEY` prints it"
)]
pub struct InvalidFingerprint;

impl Fingerprint {
    /// The fingerprint of a plain public key in SSH's encoding.
    pub(crate) fn of(key: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, key).as_ref());
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = InvalidFingerprint;

    fn from_str(text: &str) -> Result<Self, InvalidFingerprint> {
        let hash = text.strip_prefix(PREFIX).ok_or(InvalidFingerprint)?;
        let hash = STANDARD_NO_PAD.decode(hash).map_err(|_| InvalidFingerprint)?;
        Ok(Self(hash.try_into().map_err(|_| InvalidFingerprint)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_parses_from_what_it_displays() {
        let shown = Fingerprint::of(b"key").to_string();
        assert_eq!(shown.parse(), Ok(Fingerprint::of(b"key")));
        assert_eq!(shown.len(), 50);
        for wrong in [&shown[7..], &shown[..49], &format!("{shown}="), "SHA256:", "MD5:00:11"] {
            assert_eq!(wrong.parse::<Fingerprint>(), Err(InvalidFingerprint), "{wrong}");
        }
    }
}
