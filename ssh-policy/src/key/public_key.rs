//! Public keys and certificates, parsed to the last byte (RFC 4253, section 6.6; RFC 5656; RFC 8709; OpenSSH's
//! `PROTOCOL.certkeys` and `PROTOCOL.u2f`).
//!
//! Each has one encoding only: what was parsed encodes to the same bytes, so keys can be compared as bytes.

use proto::agent::{Malformed, Reader, Writer};

use super::certificate::Certificate;
use super::fingerprint::Fingerprint;
use super::mpint;

/// A public key, or a certificate of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey<'a> {
    pub(crate) plain: PlainKey<'a>,
    /// Boxed, because few keys have one and it is large.
    pub(crate) certificate: Option<Box<Certificate<'a>>>,
}

/// A public key without a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PlainKey<'a> {
    Ed25519(&'a [u8; 32]),
    /// An uncompressed point.
    Ecdsa(Curve, &'a [u8]),
    /// Both numbers without leading zeros.
    Rsa {
        exponent: &'a [u8],
        modulus: &'a [u8],
    },
    SkEd25519(&'a [u8; 32], Application<'a>),
    SkEcdsa(&'a [u8], Application<'a>),
}

/// The application of a key on a security key, usually `ssh:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Application<'a>(&'a [u8]);

/// The curves that RFC 5656 requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

/// The type of a key, with which its encoding begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyType {
    Ed25519,
    Ecdsa(Curve),
    Rsa,
    SkEd25519,
    SkEcdsa,
}

impl Curve {
    fn name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
            Self::P521 => "nistp521",
        }
    }

    /// Length of a coordinate, and of a number in a signature, in bytes.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }
}

impl KeyType {
    const ALL: [Self; 7] = [
        Self::Ed25519,
        Self::Ecdsa(Curve::P256),
        Self::Ecdsa(Curve::P384),
        Self::Ecdsa(Curve::P521),
        Self::Rsa,
        Self::SkEd25519,
        Self::SkEcdsa,
    ];

    /// The name of plain keys of this type.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519",
            Self::Ecdsa(Curve::P256) => "ecdsa-sha2-nistp256",
            Self::Ecdsa(Curve::P384) => "ecdsa-sha2-nistp384",
            Self::Ecdsa(Curve::P521) => "ecdsa-sha2-nistp521",
            Self::Rsa => "ssh-rsa",
            Self::SkEd25519 => "sk-ssh-ed25519@openssh.com",
            Self::SkEcdsa => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    /// The name of certificates of this type.
    pub(crate) fn certificate_name(self) -> &'static str {
        match self {
            Self::Ed25519 => "ssh-ed25519-cert-v01@openssh.com",
            Self::Ecdsa(Curve::P256) => "ecdsa-sha2-nistp256-cert-v01@openssh.com",
            Self::Ecdsa(Curve::P384) => "ecdsa-sha2-nistp384-cert-v01@openssh.com",
            Self::Ecdsa(Curve::P521) => "ecdsa-sha2-nistp521-cert-v01@openssh.com",
            Self::Rsa => "ssh-rsa-cert-v01@openssh.com",
            Self::SkEd25519 => "sk-ssh-ed25519-cert-v01@openssh.com",
            Self::SkEcdsa => "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        }
    }

    /// The type whose plain keys have this name.
    pub(crate) fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name().as_bytes() == name)
    }
}

impl<'a> PlainKey<'a> {
    /// Parses a plain key.
    pub(crate) fn parse(blob: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(blob);
        let kind = KeyType::named(reader.string()?).ok_or(Malformed)?;
        let key = Self::read(kind, &mut reader)?;
        reader.finish()?;
        Ok(key)
    }

    /// Reads what follows the type's name and, in a certificate, the nonce.
    fn read(kind: KeyType, reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        Ok(match kind {
            KeyType::Ed25519 => Self::Ed25519(ed25519(reader)?),
            KeyType::Ecdsa(curve) => Self::Ecdsa(curve, point(curve, reader)?),
            KeyType::Rsa => Self::Rsa { exponent: mpint::read(reader)?, modulus: mpint::read(reader)? },
            KeyType::SkEd25519 => Self::SkEd25519(ed25519(reader)?, Application(reader.string()?)),
            KeyType::SkEcdsa => Self::SkEcdsa(point(Curve::P256, reader)?, Application(reader.string()?)),
        })
    }

    fn write(&self, writer: &mut Writer) {
        match *self {
            Self::Ed25519(key) => {
                writer.string(key);
            }
            Self::Ecdsa(curve, point) => {
                writer.string(curve.name().as_bytes()).string(point);
            }
            Self::Rsa { exponent, modulus } => {
                mpint::write(writer, exponent);
                mpint::write(writer, modulus);
            }
            Self::SkEd25519(key, Application(application)) => {
                writer.string(key).string(application);
            }
            Self::SkEcdsa(point, Application(application)) => {
                writer.string(Curve::P256.name().as_bytes()).string(point).string(application);
            }
        }
    }

    pub(crate) fn kind(&self) -> KeyType {
        match self {
            Self::Ed25519(_) => KeyType::Ed25519,
            Self::Ecdsa(curve, _) => KeyType::Ecdsa(*curve),
            Self::Rsa { .. } => KeyType::Rsa,
            Self::SkEd25519(..) => KeyType::SkEd25519,
            Self::SkEcdsa(..) => KeyType::SkEcdsa,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::inner();
        writer.string(self.kind().name().as_bytes());
        self.write(&mut writer);
        writer.finish()
    }
}

impl<'a> PublicKey<'a> {
    /// Parses a plain key or a certificate.
    pub(crate) fn parse(blob: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(blob);
        let name = reader.string()?;
        if KeyType::named(name).is_some() {
            return Ok(Self { plain: PlainKey::parse(blob)?, certificate: None });
        }
        let kind = KeyType::ALL
            .into_iter()
            .find(|kind| kind.certificate_name().as_bytes() == name)
            .ok_or(Malformed)?;
        let nonce = reader.string()?;
        let plain = PlainKey::read(kind, &mut reader)?;
        let certificate = Certificate::read(nonce, reader)?;
        Ok(Self { plain, certificate: Some(Box::new(certificate)) })
    }

    /// The bytes from which it was parsed.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let Some(certificate) = &self.certificate else {
            return self.plain.encode();
        };
        let mut writer = Writer::inner();
        writer.bytes(&self.certified(certificate)).string(certificate.signature);
        writer.finish()
    }

    /// What the authority of `certificate` signs: everything before the signature.
    pub(crate) fn certified(&self, certificate: &Certificate<'_>) -> Vec<u8> {
        let mut writer = Writer::inner();
        writer.string(self.plain.kind().certificate_name().as_bytes()).string(certificate.nonce);
        self.plain.write(&mut writer);
        certificate.write(&mut writer);
        writer.finish()
    }

    /// Of the key, even if this is a certificate, as in `ssh-add -l`.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.plain.encode())
    }
}

fn ed25519<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8; 32], Malformed> {
    reader.string()?.try_into().map_err(|_| Malformed)
}

fn point<'a>(curve: Curve, reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    if reader.string()? != curve.name().as_bytes() {
        return Err(Malformed);
    }
    let point = reader.string()?;
    // Uncompressed, as RFC 5656 demands for keys. Whether it is on the curve is checked with each signature.
    let uncompressed = point.first() == Some(&4) && point.len() == 1 + 2 * curve.width();
    if uncompressed { Ok(point) } else { Err(Malformed) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::{HostCertificate, TestKey};

    #[test]
    fn keys_and_certificates_encode_to_what_they_were_parsed_from() {
        let authority = TestKey::ed25519();
        for key in TestKey::one_of_each_kind() {
            let certificate = HostCertificate::of(&key).signed_by(&authority);
            for blob in [key.public(), certificate] {
                let read = PublicKey::parse(&blob).unwrap();
                assert_eq!(read.encode(), blob);
                assert_eq!(read.fingerprint(), Fingerprint::of(&key.public()));
                for end in 0..blob.len() {
                    assert_eq!(PublicKey::parse(&blob[..end]), Err(Malformed));
                }
                assert_eq!(PublicKey::parse(&[blob, vec![0]].concat()), Err(Malformed));
            }
        }
    }

    #[test]
    fn a_fingerprint_is_that_of_ssh_keygen() {
        use base64::Engine as _;
        let blob = base64::engine::general_purpose::STANDARD
            .decode("AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl")
            .unwrap();
        // github.com's, as GitHub publishes it.
        let shown = PublicKey::parse(&blob).unwrap().fingerprint().to_string();
        assert_eq!(shown, "SHA256:+DiY3wvvV6TuJJhbpZisF/zLDA0zPMSvHdkr4UvCOqU");
    }

    proptest! {
        #[test]
        fn what_parses_encodes_to_itself(kind in 0_usize..14, rest: Vec<u8>) {
            let mut writer = Writer::inner();
            let name = KeyType::ALL[kind / 2];
            writer.string(if kind % 2 == 0 { name.name() } else { name.certificate_name() }.as_bytes());
            writer.bytes(&rest);
            let blob = writer.finish();
            if let Ok(key) = PublicKey::parse(&blob) {
                prop_assert_eq!(key.encode(), blob);
            }
        }

        #[test]
        fn a_changed_byte_changes_the_key_or_is_an_error(at: prop::sample::Index, byte: u8) {
            let mut blob = HostCertificate::of(&TestKey::sk()).signed_by(&TestKey::sk());
            let at = at.index(blob.len());
            blob[at] = byte;
            if let Ok(key) = PublicKey::parse(&blob) {
                prop_assert_eq!(key.encode(), blob);
            }
        }
    }
}
