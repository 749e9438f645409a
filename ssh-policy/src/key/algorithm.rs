//! The algorithm of a signature. The flags of the sign request and the name in its data must agree about it.

use super::public_key::{KeyType, PublicKey};

/// `SSH_AGENT_RSA_SHA2_256` (draft-ietf-sshm-ssh-agent).
const RSA_SHA2_256: u32 = 2;
/// `SSH_AGENT_RSA_SHA2_512`.
const RSA_SHA2_512: u32 = 4;

/// The algorithm with which a key signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignAlgorithm {
    /// The only one that the key has.
    Own,
    RsaSha256,
    RsaSha512,
}

/// Why the flags of a sign request are not for its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WrongFlags {
    /// RSA without flags would be RSA with SHA-1.
    Sha1,
    Mismatch,
}

impl SignAlgorithm {
    /// The algorithm of `key` for a sign request with these `flags`.
    pub(crate) fn of(key: &PublicKey<'_>, flags: u32) -> Result<Self, WrongFlags> {
        match (key.plain.kind(), flags) {
            (KeyType::Rsa, RSA_SHA2_256) => Ok(Self::RsaSha256),
            (KeyType::Rsa, RSA_SHA2_512) => Ok(Self::RsaSha512),
            (KeyType::Rsa, 0) => Err(WrongFlags::Sha1),
            (KeyType::Rsa, _) => Err(WrongFlags::Mismatch),
            (KeyType::Ed25519 | KeyType::Ecdsa(_) | KeyType::SkEd25519 | KeyType::SkEcdsa, 0) => {
                Ok(Self::Own)
            }
            (KeyType::Ed25519 | KeyType::Ecdsa(_) | KeyType::SkEd25519 | KeyType::SkEcdsa, _) => {
                Err(WrongFlags::Mismatch)
            }
        }
    }

    /// Its name in a login request of `key`.
    pub(crate) fn name(self, key: &PublicKey<'_>) -> &'static str {
        let kind = key.plain.kind();
        match (self, &key.certificate) {
            (Self::Own, None) => kind.name(),
            (Self::Own, Some(_)) => kind.certificate_name(),
            (Self::RsaSha256, None) => "rsa-sha2-256",
            (Self::RsaSha256, Some(_)) => "rsa-sha2-256-cert-v01@openssh.com",
            (Self::RsaSha512, None) => "rsa-sha2-512",
            (Self::RsaSha512, Some(_)) => "rsa-sha2-512-cert-v01@openssh.com",
        }
    }

    /// The flags that select it.
    pub(crate) fn flags(self) -> u32 {
        match self {
            Self::Own => 0,
            Self::RsaSha256 => RSA_SHA2_256,
            Self::RsaSha512 => RSA_SHA2_512,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{HostCertificate, TestKey};

    #[test]
    fn rsa_needs_flags_and_other_keys_have_none() {
        for key in TestKey::one_of_each_kind() {
            let blob = key.public();
            let parsed = PublicKey::parse(&blob).unwrap();
            for flags in [0, 1, 2, 4, 6, 8, u32::MAX] {
                let expected = match (key.kind(), flags) {
                    (KeyType::Rsa, 0) => Err(WrongFlags::Sha1),
                    (KeyType::Rsa, 2) => Ok("rsa-sha2-256"),
                    (KeyType::Rsa, 4) => Ok("rsa-sha2-512"),
                    (kind, 0) => Ok(kind.name()),
                    _ => Err(WrongFlags::Mismatch),
                };
                let algorithm = SignAlgorithm::of(&parsed, flags);
                assert_eq!(algorithm.map(|algorithm| algorithm.name(&parsed)), expected);
                assert!(algorithm.is_err() || algorithm.unwrap().flags() == flags);
            }
        }
    }

    #[test]
    fn certificates_have_their_own_algorithm_names() {
        let (rsa, ed25519) = (TestKey::rsa(), TestKey::ed25519());
        let blob = HostCertificate::of(&rsa).signed_by(&ed25519);
        let key = PublicKey::parse(&blob).unwrap();
        let name = SignAlgorithm::of(&key, 4).unwrap().name(&key);
        assert_eq!(name, "rsa-sha2-512-cert-v01@openssh.com");
        let blob = HostCertificate::of(&ed25519).signed_by(&rsa);
        let key = PublicKey::parse(&blob).unwrap();
        assert_eq!(SignAlgorithm::of(&key, 0).unwrap().name(&key), "ssh-ed25519-cert-v01@openssh.com");
    }
}
