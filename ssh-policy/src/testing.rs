//! Keys, host certificates and messages for tests; every signature in them is a real one.

use std::sync::OnceLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA512, RsaKeyPair,
};
use proto::agent::{SESSION_BIND, Writer, number};

use crate::key::mpint;
use crate::key::public_key::{Curve, KeyType};

/// A key pair.
pub(crate) enum TestKey {
    Ed25519(Ed25519KeyPair),
    Ecdsa(Curve, EcdsaKeyPair),
    Rsa(&'static RsaKeyPair),
    /// Only the public half: no test signs with a security key.
    Sk(KeyType),
}

impl std::fmt::Debug for TestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind().name())
    }
}

impl TestKey {
    pub(crate) fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    pub(crate) fn p256() -> Self {
        Self::ecdsa(Curve::P256, &ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    pub(crate) fn sk() -> Self {
        Self::Sk(KeyType::SkEd25519)
    }

    /// Always the same key, because generating one takes long.
    pub(crate) fn rsa() -> Self {
        static KEY: OnceLock<RsaKeyPair> = OnceLock::new();
        Self::Rsa(KEY.get_or_init(|| rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap()))
    }

    fn ecdsa(curve: Curve, algorithm: &'static EcdsaSigningAlgorithm) -> Self {
        Self::Ecdsa(curve, EcdsaKeyPair::generate(algorithm).unwrap())
    }

    pub(crate) fn one_of_each_kind() -> Vec<Self> {
        vec![
            Self::ed25519(),
            Self::p256(),
            Self::ecdsa(Curve::P384, &ECDSA_P384_SHA384_FIXED_SIGNING),
            Self::ecdsa(Curve::P521, &ECDSA_P521_SHA512_FIXED_SIGNING),
            Self::rsa(),
            Self::Sk(KeyType::SkEd25519),
            Self::Sk(KeyType::SkEcdsa),
        ]
    }

    pub(crate) fn kind(&self) -> KeyType {
        match self {
            Self::Ed25519(_) => KeyType::Ed25519,
            Self::Ecdsa(curve, _) => KeyType::Ecdsa(*curve),
            Self::Rsa(_) => KeyType::Rsa,
            Self::Sk(kind) => *kind,
        }
    }

    pub(crate) fn signs(&self) -> bool {
        !matches!(self, Self::Sk(_))
    }

    /// What follows the type's name in its public key.
    fn fields(&self) -> Vec<u8> {
        let mut writer = Writer::inner();
        match self {
            Self::Ed25519(pair) => writer.string(pair.public_key().as_ref()),
            Self::Ecdsa(curve, pair) => {
                let name = KeyType::Ecdsa(*curve).name().trim_start_matches("ecdsa-sha2-");
                writer.string(name.as_bytes()).string(pair.public_key().as_ref())
            }
            // DER has the same form of numbers: tag and length of the sequence and of the modulus are 4 bytes each.
            Self::Rsa(pair) => {
                let der = pair.public_key().as_ref();
                writer.string(&der[267..270]).string(&der[8..265])
            }
            Self::Sk(KeyType::SkEd25519) => writer.string(&[7; 32]).string(b"ssh:"),
            Self::Sk(_) => {
                let point = [&[4][..], &[7; 64]].concat();
                writer.string(b"nistp256").string(&point).string(b"ssh:")
            }
        };
        writer.finish()
    }

    /// In SSH's encoding.
    pub(crate) fn public(&self) -> Vec<u8> {
        let mut writer = Writer::inner();
        writer.string(self.kind().name().as_bytes()).bytes(&self.fields());
        writer.finish()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut writer = Writer::inner();
        match self {
            Self::Ed25519(pair) => writer.string(b"ssh-ed25519").string(pair.sign(message).as_ref()),
            Self::Ecdsa(curve, pair) => {
                let signature = pair.sign(&SystemRandom::new(), message).unwrap();
                let mut numbers = Writer::inner();
                for number in signature.as_ref().chunks(curve.width()) {
                    let zeros = number.iter().take_while(|byte| **byte == 0).count();
                    mpint::write(&mut numbers, &number[zeros..]);
                }
                writer.string(self.kind().name().as_bytes()).string(&numbers.finish())
            }
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA512, &SystemRandom::new(), message, &mut signature).unwrap();
                writer.string(b"rsa-sha2-512").string(&signature)
            }
            Self::Sk(kind) => writer.string(kind.name().as_bytes()).string(&[0; 69]),
        };
        writer.finish()
    }

    /// A line of a known_hosts file.
    pub(crate) fn line(&self, names: &str) -> String {
        use base64::Engine as _;
        let key = base64::engine::general_purpose::STANDARD.encode(self.public());
        format!("{names} {} {key}\n", self.kind().name())
    }
}

/// A certificate to be signed.
pub(crate) struct HostCertificate<'a> {
    pub(crate) key: &'a TestKey,
    pub(crate) kind: u32,
    pub(crate) principals: Vec<&'a str>,
    pub(crate) valid_after: u64,
    pub(crate) valid_before: u64,
    pub(crate) critical_options: Vec<u8>,
}

impl<'a> HostCertificate<'a> {
    /// For `git.example`, without an end.
    pub(crate) fn of(key: &'a TestKey) -> Self {
        Self {
            key,
            kind: 2,
            principals: vec!["git.example"],
            valid_after: 0,
            valid_before: u64::MAX,
            critical_options: vec![],
        }
    }

    pub(crate) fn signed_by(&self, authority: &TestKey) -> Vec<u8> {
        self.signed_by_in_the_name_of(authority, authority)
    }

    pub(crate) fn signed_by_in_the_name_of(&self, signer: &TestKey, authority: &TestKey) -> Vec<u8> {
        let mut principals = Writer::inner();
        for principal in &self.principals {
            principals.string(principal.as_bytes());
        }
        let mut writer = Writer::inner();
        writer
            .string(self.key.kind().certificate_name().as_bytes())
            .string(&[9; 32])
            .bytes(&self.key.fields())
            .bytes(&[0; 8])
            .u32(self.kind)
            .string(b"a host")
            .string(&principals.finish())
            .bytes(&self.valid_after.to_be_bytes())
            .bytes(&self.valid_before.to_be_bytes())
            .string(&self.critical_options)
            .string(b"")
            .string(b"")
            .string(&authority.public());
        let signed = writer.finish();
        let mut writer = Writer::inner();
        writer.bytes(&signed).string(&signer.sign(&signed));
        writer.finish()
    }
}

/// A session-bind message.
pub(crate) fn bind(host_key: &[u8], session: &[u8], signature: &[u8], forwarding: bool) -> Vec<u8> {
    let mut writer = Writer::new(number::EXTENSION);
    writer.string(SESSION_BIND).string(host_key).string(session).string(signature).bool(forwarding);
    writer.finish()
}

/// A session-bind that `host` signed.
pub(crate) fn bound(host: &TestKey, session: &[u8], forwarding: bool) -> Vec<u8> {
    bind(&host.public(), session, &host.sign(session), forwarding)
}

/// The data that a client signs to log in with a plain key.
pub(crate) fn login(session: &[u8], user: &str, key: &TestKey, host_key: Option<&[u8]>) -> Vec<u8> {
    let algorithm = if key.kind() == KeyType::Rsa { "rsa-sha2-512" } else { key.kind().name() };
    login_as(session, user, algorithm, &key.public(), host_key)
}

/// As [`login`], with any algorithm and key.
pub(crate) fn login_as(
    session: &[u8],
    user: &str,
    algorithm: &str,
    key: &[u8],
    host_key: Option<&[u8]>,
) -> Vec<u8> {
    let method: &[u8] = match host_key {
        Some(_) => b"publickey-hostbound-v00@openssh.com",
        None => b"publickey",
    };
    let mut writer = Writer::inner();
    writer
        .string(session)
        .u8(50)
        .string(user.as_bytes())
        .string(b"ssh-connection")
        .string(method)
        .bool(true)
        .string(algorithm.as_bytes())
        .string(key);
    if let Some(host_key) = host_key {
        writer.string(host_key);
    }
    writer.finish()
}

/// A request to sign `data`.
pub(crate) fn sign_request(key: &TestKey, data: &[u8]) -> Vec<u8> {
    sign_request_with(&key.public(), data, if key.kind() == KeyType::Rsa { 4 } else { 0 })
}

/// As [`sign_request`], with any key and flags.
pub(crate) fn sign_request_with(key: &[u8], data: &[u8], flags: u32) -> Vec<u8> {
    let mut writer = Writer::new(number::SIGN_REQUEST);
    writer.string(key).string(data).u32(flags);
    writer.finish()
}
