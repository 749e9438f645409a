//! Verifies signatures of hosts and of certificate authorities (RFC 4253, RFC 5656, RFC 8332, RFC 8709).

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey, VerificationAlgorithm,
};
use proto::agent::{Malformed, Reader};
use thiserror::Error;

use super::mpint;
use super::public_key::{Curve, PlainKey};

/// Why a signature is not valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum BadSignature {
    #[error("malformed")]
    Malformed,
    /// Of a security key or an RSA key of another length, or with the algorithm of another key type.
    #[error("unsupported")]
    Unsupported,
    #[error("RSA with SHA-1")]
    Sha1,
    #[error("not made by the key")]
    Forged,
}

impl From<Malformed> for BadSignature {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

/// Verifies that `blob` is the signature of `key` over `message`.
pub(crate) fn verify(key: &PlainKey<'_>, message: &[u8], blob: &[u8]) -> Result<(), BadSignature> {
    let mut reader = Reader::new(blob);
    let (algorithm, raw) = (reader.string()?, reader.string()?);
    reader.finish()?;
    let fits = || match algorithm == key.kind().name().as_bytes() {
        true => Ok(()),
        false => Err(BadSignature::Unsupported),
    };
    match *key {
        PlainKey::Ed25519(point) => {
            fits()?;
            verify_with(&ED25519, point, message, raw)
        }
        PlainKey::Ecdsa(curve, point) => {
            fits()?;
            let algorithm = match curve {
                Curve::P256 => &ECDSA_P256_SHA256_FIXED,
                Curve::P384 => &ECDSA_P384_SHA384_FIXED,
                Curve::P521 => &ECDSA_P521_SHA512_FIXED,
            };
            verify_with(algorithm, point, message, &fixed_width(raw, curve.width())?)
        }
        PlainKey::Rsa { exponent, modulus } => {
            let parameters = rsa_parameters(algorithm)?;
            // aws-lc has the same limits, but no error of its own for them.
            if modulus.len() < 2048 / 8 || modulus.len() > 8192 / 8 {
                return Err(BadSignature::Unsupported);
            }
            let key = RsaPublicKeyComponents { n: modulus, e: exponent };
            key.verify(parameters, message, raw).map_err(|_| BadSignature::Forged)
        }
        PlainKey::SkEd25519(..) | PlainKey::SkEcdsa(..) => Err(BadSignature::Unsupported),
    }
}

/// Whether signatures of this key can be verified here.
pub(crate) fn is_verifiable(key: &PlainKey<'_>) -> bool {
    match key {
        PlainKey::Ed25519(_) | PlainKey::Ecdsa(..) | PlainKey::Rsa { .. } => true,
        PlainKey::SkEd25519(..) | PlainKey::SkEcdsa(..) => false,
    }
}

fn rsa_parameters(algorithm: &[u8]) -> Result<&'static RsaParameters, BadSignature> {
    match algorithm {
        b"rsa-sha2-256" => Ok(&RSA_PKCS1_2048_8192_SHA256),
        b"rsa-sha2-512" => Ok(&RSA_PKCS1_2048_8192_SHA512),
        b"ssh-rsa" => Err(BadSignature::Sha1),
        _ => Err(BadSignature::Unsupported),
    }
}

fn verify_with(
    algorithm: &'static dyn VerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
) -> Result<(), BadSignature> {
    UnparsedPublicKey::new(algorithm, key).verify(message, signature).map_err(|_| BadSignature::Forged)
}

/// The two numbers of an ECDSA signature, each padded to `width` bytes.
fn fixed_width(raw: &[u8], width: usize) -> Result<Vec<u8>, BadSignature> {
    let mut reader = Reader::new(raw);
    let mut fixed = Vec::with_capacity(2 * width);
    for _ in 0..2 {
        let number = mpint::read(&mut reader)?;
        let padding = width.checked_sub(number.len()).ok_or(BadSignature::Malformed)?;
        fixed.resize(fixed.len() + padding, 0);
        fixed.extend_from_slice(number);
    }
    reader.finish()?;
    Ok(fixed)
}

#[cfg(test)]
mod tests {
    use proto::agent::Writer;

    use super::*;
    use crate::testing::TestKey;

    fn check(key: &TestKey, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        verify(&PlainKey::parse(&key.public()).unwrap(), message, signature)
    }

    fn renamed(signature: &[u8], algorithm: &[u8]) -> Vec<u8> {
        let mut reader = Reader::new(signature);
        let _ = reader.string();
        let mut writer = Writer::inner();
        writer.string(algorithm).bytes(reader.rest());
        writer.finish()
    }

    #[test]
    fn a_key_verifies_its_own_signatures_only() {
        for key in TestKey::one_of_each_kind().into_iter().filter(TestKey::signs) {
            let signature = key.sign(b"message");
            assert_eq!(check(&key, b"message", &signature), Ok(()), "{key:?}");
            assert_eq!(check(&key, b"massage", &signature), Err(BadSignature::Forged));
            let longer = [&signature[..], &[0]].concat();
            assert_eq!(check(&key, b"message", &longer), Err(BadSignature::Malformed));
            for end in 0..signature.len() {
                assert_eq!(check(&key, b"message", &signature[..end]), Err(BadSignature::Malformed));
            }
            let others = TestKey::one_of_each_kind();
            for other in others.iter().filter(|other| other.public() != key.public()) {
                assert!(check(other, b"message", &signature).is_err());
            }
        }
    }

    #[test]
    fn numbers_shorter_than_the_field_are_padded() {
        // One signature in 128 has such a number; a thousand have none with a chance of 1 in e^8.
        let key = TestKey::p256();
        for number in 0..1000_u32 {
            let message = number.to_be_bytes();
            assert_eq!(check(&key, &message, &key.sign(&message)), Ok(()));
        }
    }

    #[test]
    fn the_algorithm_must_match_the_key() {
        let (rsa, ed25519) = (TestKey::rsa(), TestKey::ed25519());
        let signature = rsa.sign(b"message");
        assert_eq!(check(&rsa, b"message", &renamed(&signature, b"ssh-rsa")), Err(BadSignature::Sha1));
        assert_eq!(check(&rsa, b"message", &renamed(&signature, b"rsa-sha2-256")), Err(BadSignature::Forged));
        let strange = renamed(&ed25519.sign(b"message"), b"rsa-sha2-512");
        assert_eq!(check(&ed25519, b"message", &strange), Err(BadSignature::Unsupported));
    }
}
