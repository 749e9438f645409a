//! Signatures over files and commits (OpenSSH's `PROTOCOL.sshsig`), each in a namespace. The data can never be taken for a
//! login: its first bytes would be the length of a session id of more than a gigabyte.

use proto::agent::{Malformed, Reader, Writer};

const MAGIC: &[u8; 6] = b"SSHSIG";

/// The data that is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SshSig<'a> {
    pub(crate) namespace: &'a str,
    hash: Hash,
    digest: &'a [u8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha512,
}

impl Hash {
    fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn width(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha512 => 64,
        }
    }
}

impl<'a> SshSig<'a> {
    /// Whether `data` begins like an SSHSIG. Such data is signed only if all of it is a valid SSHSIG.
    pub(crate) fn has_magic(data: &[u8]) -> bool {
        data.starts_with(MAGIC)
    }

    /// Parses the data of a sign request.
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(data.strip_prefix(MAGIC).ok_or(Malformed)?);
        let namespace = str::from_utf8(reader.string()?).map_err(|_| Malformed)?;
        let reserved = reader.string()?;
        let hash = reader.string()?;
        let hash = [Hash::Sha256, Hash::Sha512].into_iter().find(|known| known.name().as_bytes() == hash);
        let hash = hash.ok_or(Malformed)?;
        let digest = reader.string()?;
        reader.finish()?;
        // The reserved field must be empty: what a later version puts there could not be judged.
        if namespace.is_empty() || !reserved.is_empty() || digest.len() != hash.width() {
            return Err(Malformed);
        }
        Ok(Self { namespace, hash, digest })
    }

    /// The bytes from which it was parsed.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut writer = Writer::inner();
        writer
            .bytes(MAGIC)
            .string(self.namespace.as_bytes())
            .string(b"")
            .string(self.hash.name().as_bytes())
            .string(self.digest);
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn data(namespace: &str, reserved: &str, hash: &str, digest: &[u8]) -> Vec<u8> {
        let mut writer = Writer::inner();
        writer.bytes(MAGIC).string(namespace.as_bytes()).string(reserved.as_bytes());
        writer.string(hash.as_bytes()).string(digest);
        writer.finish()
    }

    #[test]
    fn an_sshsig_is_parsed_to_its_last_byte() {
        for good in [data("git", "", "sha256", &[1; 32]), data("file", "", "sha512", &[1; 64])] {
            assert_eq!(SshSig::parse(&good).unwrap().encode(), good);
            for end in 0..good.len() {
                assert_eq!(SshSig::parse(&good[..end]), Err(Malformed));
            }
            assert_eq!(SshSig::parse(&[good, vec![0]].concat()), Err(Malformed));
        }
        for wrong in [
            data("", "", "sha256", &[1; 32]),
            data("git", "x", "sha256", &[1; 32]),
            data("git", "", "sha1", &[1; 20]),
            data("git", "", "sha256", &[1; 64]),
            data("git", "", "sha512", &[1; 32]),
        ] {
            assert_eq!(SshSig::parse(&wrong), Err(Malformed));
        }
    }

    proptest! {
        #[test]
        fn what_parses_encodes_to_itself(at: prop::sample::Index, byte: u8) {
            let mut data = data("git", "", "sha512", &[1; 64]);
            let at = at.index(data.len());
            data[at] = byte;
            if let Ok(sig) = SshSig::parse(&data) {
                prop_assert_eq!(sig.encode(), data);
            }
        }

        #[test]
        fn no_input_panics(data: Vec<u8>) {
            let _ = SshSig::parse(&data);
            let _ = SshSig::parse(&[&MAGIC[..], &data].concat());
        }
    }
}
