//! The messages of agent clients, byte by byte, and the verification of signatures.

use aws_lc_rs::signature::{
    self, Ed25519KeyPair, KeyPair as _, RsaPublicKeyComponents, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proto::agent::{Reader, SESSION_BIND, Writer, identities_answer, number};

use super::Key;

/// Session ids with the length that a SHA-256 key exchange gives them.
pub const ONE: [u8; 32] = [1; 32];
pub const TWO: [u8; 32] = [2; 32];

/// The fingerprint of a key in the form of `ssh-keygen -l`.
pub fn fingerprint(blob: &[u8]) -> String {
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, blob);
    format!("SHA256:{}", STANDARD.encode(hash).trim_end_matches('='))
}

/// The key of a host, which signs session ids.
pub struct HostKey(Ed25519KeyPair);

impl HostKey {
    pub fn new() -> Self {
        Self(Ed25519KeyPair::generate().unwrap())
    }

    pub fn public(&self) -> Vec<u8> {
        let mut writer = Writer::inner();
        writer.string(b"ssh-ed25519").string(self.0.public_key().as_ref());
        writer.finish()
    }

    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut writer = Writer::inner();
        writer.string(b"ssh-ed25519").string(self.0.sign(message).as_ref());
        writer.finish()
    }

    /// The line of a known_hosts file.
    pub fn line(&self, names: &str) -> String {
        format!("{names} ssh-ed25519 {}\n", STANDARD.encode(self.public()))
    }

    /// The session-bind of a session with this host.
    pub fn bind(&self, session: &[u8]) -> Vec<u8> {
        bind(&self.public(), session, &self.sign(session), false)
    }

    /// The session-bind of a client that forwards its agent to this host.
    pub fn forwarding_bind(&self, session: &[u8]) -> Vec<u8> {
        bind(&self.public(), session, &self.sign(session), true)
    }
}

/// A session-bind.
pub fn bind(host_key: &[u8], session: &[u8], signature: &[u8], forwarding: bool) -> Vec<u8> {
    let mut writer = Writer::new(number::EXTENSION);
    writer.string(SESSION_BIND).string(host_key).string(session).string(signature).bool(forwarding);
    writer.finish()
}

/// What a client signs to log in.
#[derive(Clone, Copy)]
pub struct Login<'a> {
    pub session: &'a [u8],
    pub user: &'a str,
    pub service: &'a str,
    pub algorithm: &'a str,
    pub key: &'a [u8],
    /// The host key in a hostbound request; a plain `publickey` request has none.
    pub host_key: Option<&'a [u8]>,
}

impl<'a> Login<'a> {
    /// A login as the user `git` with an Ed25519 key.
    pub fn new(session: &'a [u8], key: &'a Key) -> Self {
        let (user, service, algorithm) = ("git", "ssh-connection", "ssh-ed25519");
        Self { session, user, service, algorithm, key: &key.blob, host_key: None }
    }

    pub fn data(&self) -> Vec<u8> {
        let method =
            if self.host_key.is_some() { "publickey-hostbound-v00@openssh.com" } else { "publickey" };
        let mut writer = Writer::inner();
        writer.string(self.session).u8(50);
        writer.string(self.user.as_bytes()).string(self.service.as_bytes()).string(method.as_bytes());
        writer.bool(true).string(self.algorithm.as_bytes()).string(self.key);
        if let Some(host_key) = self.host_key {
            writer.string(host_key);
        }
        writer.finish()
    }
}

/// The data that `ssh-keygen -Y sign` and git let the agent sign for a file or a commit.
pub fn sshsig(namespace: &str) -> Vec<u8> {
    let mut writer = Writer::inner();
    writer.bytes(b"SSHSIG").string(namespace.as_bytes()).string(b"").string(b"sha512").string(&[7; 64]);
    writer.finish()
}

pub fn sign_request(key: &[u8], data: &[u8], flags: u32) -> Vec<u8> {
    let mut writer = Writer::new(number::SIGN_REQUEST);
    writer.string(key).string(data).u32(flags);
    writer.finish()
}

/// The message with its length in front.
pub fn framed(message: &[u8]) -> Vec<u8> {
    [&u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
}

/// The answer that lists these keys.
pub fn listing(keys: &[&Key]) -> Vec<u8> {
    identities_answer(&keys.iter().map(|key| key.identity()).collect::<Vec<_>>())
}

/// The answer to a refused request.
pub const NO: &[u8] = &[number::FAILURE];
/// The answer to an accepted request that returns no data.
pub const YES: &[u8] = &[number::SUCCESS];
/// The request for the list of keys.
pub const LIST: &[u8] = &[number::REQUEST_IDENTITIES];

/// `signature` is valid for `data` under `key`, by `algorithm`.
#[track_caller]
pub fn assert_valid(key: &[u8], algorithm: &str, data: &[u8], signature: &[u8]) {
    let mut reader = Reader::new(signature);
    assert_eq!(String::from_utf8_lossy(reader.string().unwrap()), algorithm);
    let signature = reader.string().unwrap();
    reader.finish().unwrap();
    let mut key = Reader::new(key);
    let kind = key.string().unwrap();
    let verified = match algorithm {
        "ssh-ed25519" => verify(&signature::ED25519, key.string().unwrap(), data, signature),
        "rsa-sha2-256" | "rsa-sha2-512" => {
            assert_eq!(kind, b"ssh-rsa");
            let [e, n] = [key.string().unwrap(), key.string().unwrap()].map(|part| part.trim_zeros());
            let how = match algorithm {
                "rsa-sha2-256" => &signature::RSA_PKCS1_2048_8192_SHA256,
                _ => &signature::RSA_PKCS1_2048_8192_SHA512,
            };
            RsaPublicKeyComponents { n, e }.verify(how, data, signature)
        }
        _ => {
            key.string().unwrap();
            let (how, width): (&'static dyn VerificationAlgorithm, _) = match algorithm {
                "ecdsa-sha2-nistp256" => (&signature::ECDSA_P256_SHA256_FIXED, 32),
                "ecdsa-sha2-nistp384" => (&signature::ECDSA_P384_SHA384_FIXED, 48),
                "ecdsa-sha2-nistp521" => (&signature::ECDSA_P521_SHA512_FIXED, 66),
                other => panic!("{other}"),
            };
            let mut numbers = Reader::new(signature);
            let mut fixed = Vec::new();
            for _ in 0..2 {
                let number = numbers.string().unwrap().trim_zeros();
                fixed.resize(fixed.len() + width - number.len(), 0);
                fixed.extend_from_slice(number);
            }
            verify(how, key.string().unwrap(), data, &fixed)
        }
    };
    assert!(verified.is_ok(), "the {algorithm} signature is not valid");
}

fn verify(
    how: &'static dyn VerificationAlgorithm,
    key: &[u8],
    data: &[u8],
    signature: &[u8],
) -> Result<(), aws_lc_rs::error::Unspecified> {
    UnparsedPublicKey::new(how, key).verify(data, signature)
}

trait TrimZeros {
    fn trim_zeros(&self) -> &Self;
}

impl TrimZeros for [u8] {
    fn trim_zeros(&self) -> &Self {
        &self[self.iter().take_while(|byte| **byte == 0).count()..]
    }
}
