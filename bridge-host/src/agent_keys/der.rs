//! Keys in OpenSSL's formats: PKCS#8 (RFC 5958), PKCS#1 (RFC 8017) and SEC1 (RFC 5915).

use aws_lc_rs::error::KeyRejected;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair};
use pkcs8::pkcs5;
use pkcs8::{EncryptedPrivateKeyInfo, ObjectIdentifier, PrivateKeyInfo};

use super::error::KeyProblem;
use super::passphrase::Passphrases;
use super::signing_key::{CURVES, SigningKey, rsa_problem};

const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const DSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10040.4.1");

pub(super) fn pkcs8(der: &[u8]) -> Result<SigningKey, KeyProblem> {
    let info = PrivateKeyInfo::try_from(der).map_err(|_| KeyProblem::Malformed)?;
    match info.algorithm.oid {
        RSA => RsaKeyPair::from_pkcs8(der).map(SigningKey::Rsa).map_err(rsa_problem),
        EC => ecdsa_on_any_curve(|algorithm| EcdsaKeyPair::from_pkcs8(algorithm, der)),
        ED25519 => {
            Ed25519KeyPair::from_pkcs8(der).map(SigningKey::Ed25519).map_err(|_| KeyProblem::Malformed)
        }
        DSA => Err(KeyProblem::Dsa),
        _ => Err(KeyProblem::UnsupportedType),
    }
}

pub(super) fn encrypted_pkcs8(
    der: &[u8],
    passphrases: &mut Passphrases<'_>,
) -> Result<SigningKey, KeyProblem> {
    // What this cannot parse nearly always has an unknown cipher or key derivation.
    let encrypted = EncryptedPrivateKeyInfo::try_from(der).map_err(|_| KeyProblem::UnsupportedEncryption)?;
    passphrases.decrypt_with(|passphrase| match encrypted.decrypt(passphrase) {
        // With one wrong passphrase in 256 the padding is valid all the same, and only the key is not.
        Ok(der) => match pkcs8(der.as_bytes()) {
            Err(KeyProblem::Malformed) => Ok(None),
            key => key.map(Some),
        },
        Err(pkcs8::Error::EncryptedPrivateKey(
            pkcs5::Error::NoPbes1CryptSupport
            | pkcs5::Error::UnsupportedAlgorithm { .. }
            | pkcs5::Error::AlgorithmParametersInvalid { .. },
        )) => Err(KeyProblem::UnsupportedEncryption),
        Err(_) => Ok(None),
    })
}

pub(super) fn pkcs1(der: &[u8]) -> Result<SigningKey, KeyProblem> {
    RsaKeyPair::from_der(der).map(SigningKey::Rsa).map_err(rsa_problem)
}

pub(super) fn sec1(der: &[u8]) -> Result<SigningKey, KeyProblem> {
    ecdsa_on_any_curve(|algorithm| EcdsaKeyPair::from_private_key_der(algorithm, der))
}

fn ecdsa_on_any_curve(
    read: impl Fn(&'static EcdsaSigningAlgorithm) -> Result<EcdsaKeyPair, KeyRejected>,
) -> Result<SigningKey, KeyProblem> {
    CURVES
        .iter()
        .find_map(|curve| read(curve.algorithm).ok().map(|pair| SigningKey::Ecdsa(curve, pair)))
        // A damaged key ends here too: it cannot be told from one on an unknown curve.
        .ok_or(KeyProblem::UnsupportedType)
}
