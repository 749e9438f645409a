//! A private key of any supported type, and its public half in SSH's encoding (RFC 4253, 5656, 8332, 8709).
//!
//! aws-lc holds the private key and wipes it. The bytes from which it is made are wiped by the caller.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512,
    RsaEncoding,
};
use pkcs8::der::asn1::UintRef;
use pkcs8::der::{Decode as _, Reader as _, SliceReader};
use proto::agent::Writer;
use zeroize::Zeroizing;

use super::error::KeyProblem;
use super::modulo::modulo;

/// `SSH_AGENT_RSA_SHA2_256`.
const RSA_SHA2_256: u32 = 2;
/// `SSH_AGENT_RSA_SHA2_512`.
const RSA_SHA2_512: u32 = 4;

/// A curve of ECDSA keys.
pub(super) struct Curve {
    pub(super) name: &'static str,
    pub(super) key_type: &'static str,
    pub(super) algorithm: &'static EcdsaSigningAlgorithm,
    /// Length of a private key, and of each half of a signature, in bytes.
    scalar: usize,
}

pub(super) static CURVES: [Curve; 3] = [
    Curve {
        name: "nistp256",
        key_type: "ecdsa-sha2-nistp256",
        algorithm: &ECDSA_P256_SHA256_FIXED_SIGNING,
        scalar: 32,
    },
    Curve {
        name: "nistp384",
        key_type: "ecdsa-sha2-nistp384",
        algorithm: &ECDSA_P384_SHA384_FIXED_SIGNING,
        scalar: 48,
    },
    Curve {
        name: "nistp521",
        key_type: "ecdsa-sha2-nistp521",
        algorithm: &ECDSA_P521_SHA512_FIXED_SIGNING,
        scalar: 66,
    },
];

pub(super) enum SigningKey {
    Ed25519(Ed25519KeyPair),
    Ecdsa(&'static Curve, EcdsaKeyPair),
    Rsa(RsaKeyPair),
}

/// The numbers of an RSA key as OpenSSH keeps them, big-endian, without leading zeros.
pub(super) struct RsaNumbers<'a> {
    pub(super) n: &'a [u8],
    pub(super) e: &'a [u8],
    pub(super) d: &'a [u8],
    pub(super) q_inverse: &'a [u8],
    pub(super) p: &'a [u8],
    pub(super) q: &'a [u8],
}

impl SigningKey {
    /// From the seed and its public key.
    pub(super) fn ed25519(seed: &[u8], public: &[u8]) -> Result<Self, KeyProblem> {
        Ed25519KeyPair::from_seed_and_public_key(seed, public)
            .map(Self::Ed25519)
            .map_err(|_| KeyProblem::Malformed)
    }

    /// From a number and its point on `curve`.
    pub(super) fn ecdsa(curve: &'static Curve, number: &[u8], point: &[u8]) -> Result<Self, KeyProblem> {
        // aws-lc needs the leading zeros that SSH leaves out: one key in 256 has some, with nistp521 every other.
        let mut scalar = Zeroizing::new(vec![0; curve.scalar]);
        let start = curve.scalar.checked_sub(number.len()).ok_or(KeyProblem::Malformed)?;
        scalar.get_mut(start..).ok_or(KeyProblem::Malformed)?.copy_from_slice(number);
        EcdsaKeyPair::from_private_key_and_public_key(curve.algorithm, &scalar, point)
            .map(|pair| Self::Ecdsa(curve, pair))
            .map_err(|_| KeyProblem::Malformed)
    }

    /// From its numbers; aws-lc checks that they belong together.
    pub(super) fn rsa(numbers: &RsaNumbers<'_>) -> Result<Self, KeyProblem> {
        let exponent = |prime: &[u8]| {
            let mut order = Zeroizing::new(prime.to_vec());
            // One less than an odd number. An even one is not prime, and aws-lc refuses it.
            if let Some(last) = order.last_mut() {
                *last &= !1;
            }
            modulo(numbers.d, &order)
        };
        let (dp, dq) = (exponent(numbers.p), exponent(numbers.q));
        RsaKeyPair::from_components(&KeyPairComponents {
            public_key: PublicKeyComponents { n: numbers.n, e: numbers.e },
            d: numbers.d,
            p: numbers.p,
            q: numbers.q,
            dP: &*dp,
            dQ: &*dq,
            qInv: numbers.q_inverse,
        })
        .map(Self::Rsa)
        .map_err(rsa_problem)
    }

    /// The public key, in SSH's encoding.
    pub(super) fn blob(&self) -> Result<Vec<u8>, KeyProblem> {
        let mut blob = Writer::inner();
        match self {
            Self::Ed25519(pair) => blob.string(b"ssh-ed25519").string(pair.public_key().as_ref()),
            Self::Ecdsa(curve, pair) => blob
                .string(curve.key_type.as_bytes())
                .string(curve.name.as_bytes())
                .string(pair.public_key().as_ref()),
            Self::Rsa(pair) => {
                let (e, n) = rsa_public(pair.public_key().as_ref()).ok_or(KeyProblem::Malformed)?;
                write_number(blob.string(b"ssh-rsa"), &e);
                write_number(&mut blob, &n)
            }
        };
        Ok(blob.finish())
    }

    /// The signature of `data`, in SSH's encoding; `None` if signing fails, or for RSA without a flag that asks for SHA-2:
    /// that would be a SHA-1 signature, which servers have not accepted for years.
    pub(super) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let mut answer = Writer::inner();
        match self {
            Self::Ed25519(pair) => {
                answer.string(b"ssh-ed25519").string(pair.try_sign(data).ok()?.as_ref());
            }
            Self::Ecdsa(curve, pair) => {
                let signature = pair.sign(&SystemRandom::new(), data).ok()?;
                let (r, s) = signature.as_ref().split_at_checked(curve.scalar)?;
                let mut numbers = Writer::inner();
                write_number(&mut numbers, r);
                write_number(&mut numbers, s);
                answer.string(curve.key_type.as_bytes()).string(&numbers.finish());
            }
            Self::Rsa(pair) => {
                // With both flags OpenSSH takes the first too.
                let (name, encoding): (_, &'static dyn RsaEncoding) = if flags & RSA_SHA2_256 != 0 {
                    ("rsa-sha2-256", &RSA_PKCS1_SHA256)
                } else if flags & RSA_SHA2_512 != 0 {
                    ("rsa-sha2-512", &RSA_PKCS1_SHA512)
                } else {
                    return None;
                };
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), data, &mut signature).ok()?;
                answer.string(name.as_bytes()).string(&signature);
            }
        }
        Some(answer.finish())
    }
}

/// Why aws-lc rejected an RSA key.
pub(super) fn rsa_problem(rejected: aws_lc_rs::error::KeyRejected) -> KeyProblem {
    match rejected.description_() {
        "TooSmall" | "TooLarge" => KeyProblem::RsaSize,
        _ => KeyProblem::Malformed,
    }
}

/// Exponent and modulus of an `RSAPublicKey` (RFC 8017).
fn rsa_public(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut reader = SliceReader::new(der).ok()?;
    reader
        .sequence(|sequence| {
            let n = UintRef::decode(sequence)?.as_bytes().to_vec();
            let e = UintRef::decode(sequence)?.as_bytes().to_vec();
            Ok((e, n))
        })
        .ok()
}

/// A positive number as an `mpint`: without leading zeros, except for one where it would read as negative.
fn write_number<'a>(writer: &'a mut Writer, number: &[u8]) -> &'a mut Writer {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    let number = number.get(zeros..).unwrap_or_default();
    if number.first().is_some_and(|first| first & 0x80 != 0) {
        writer.string(&[&[0], number].concat())
    } else {
        writer.string(number)
    }
}
