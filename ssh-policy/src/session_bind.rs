//! `session-bind@openssh.com` (OpenSSH's `PROTOCOL.agent`): with it a client says to which host it is connected, and proves
//! it.
//!
//! A session id is the hash of a key exchange, in which the host's key is hashed too, and the host signs it. So an honest
//! host never signs the id of a session with another host.

use proto::agent::{Malformed, Reader, SESSION_BIND, Writer, number};

use crate::key::public_key::PublicKey;
use crate::key::signature::{self, BadSignature};

/// A session-bind whose signature was verified. Only [`ProvenBind::prove`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProvenBind<'a> {
    pub(crate) host_key: PublicKey<'a>,
    pub(crate) session: SessionId<'a>,
    signature: &'a [u8],
    pub(crate) is_forwarding: bool,
}

/// The hash of a key exchange: SHA-256, SHA-384 or SHA-512. The 20 bytes of SHA-1 are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionId<'a>(pub(crate) &'a [u8]);

impl<'a> SessionId<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let id = reader.string()?;
        if matches!(id.len(), 32 | 48 | 64) { Ok(Self(id)) } else { Err(Malformed) }
    }
}

impl<'a> ProvenBind<'a> {
    /// Parses what follows the extension's name, and verifies the signature.
    pub(crate) fn prove(payload: &'a [u8]) -> Result<Self, BadSignature> {
        let mut reader = Reader::new(payload);
        let host_key = reader.string()?;
        let session = SessionId::read(&mut reader)?;
        let signature = reader.string()?;
        let is_forwarding = reader.bool()?;
        reader.finish()?;
        let host_key = PublicKey::parse(host_key)?;
        signature::verify(&host_key.plain, session.0, signature)?;
        Ok(Self { host_key, session, signature, is_forwarding })
    }

    /// The message for the host's agent, encoded anew.
    pub(crate) fn message(&self) -> Vec<u8> {
        let mut writer = Writer::new(number::EXTENSION);
        writer
            .string(SESSION_BIND)
            .string(&self.host_key.encode())
            .string(self.session.0)
            .string(self.signature)
            .bool(self.is_forwarding);
        writer.finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::request::Request;
    use crate::testing::{HostCertificate, TestKey, bind, bound};

    fn payload(message: &[u8]) -> &[u8] {
        let Ok(Request::Bind(payload)) = Request::parse(message) else { panic!("no bind") };
        payload
    }

    fn prove(message: &[u8]) -> Result<ProvenBind<'_>, BadSignature> {
        ProvenBind::prove(payload(message))
    }

    #[test]
    fn every_type_of_host_key_proves_its_own_sessions() {
        for host in TestKey::one_of_each_kind().into_iter().filter(TestKey::signs) {
            let certificate = HostCertificate::of(&host).signed_by(&TestKey::ed25519());
            for session in [&[1; 32][..], &[1; 48], &[1; 64]] {
                for message in
                    [bound(&host, session, false), bind(&certificate, session, &host.sign(session), true)]
                {
                    assert_eq!(prove(&message).unwrap().message(), message);
                }
            }
        }
    }

    #[test]
    fn the_signature_must_be_over_the_session_by_the_host() {
        let (host, other) = (TestKey::ed25519(), TestKey::ed25519());
        let replayed = bind(&host.public(), &[2; 32], &host.sign(&[1; 32]), false);
        assert_eq!(prove(&replayed), Err(BadSignature::Forged));
        let forged = bind(&host.public(), &[1; 32], &other.sign(&[1; 32]), false);
        assert_eq!(prove(&forged), Err(BadSignature::Forged));
    }

    #[test]
    fn a_session_id_has_the_length_of_a_hash() {
        let host = TestKey::ed25519();
        for length in [0, 20, 31, 33, 63, 65, 128] {
            let message = bound(&host, &vec![1; length], false);
            assert_eq!(prove(&message), Err(BadSignature::Malformed), "{length}");
        }
    }

    #[test]
    fn a_bind_is_parsed_to_its_last_byte() {
        let message = bound(&TestKey::ed25519(), &[1; 32], false);
        let payload = payload(&message);
        for end in 0..payload.len() {
            assert_eq!(ProvenBind::prove(&payload[..end]), Err(BadSignature::Malformed));
        }
        let longer = [payload, &[0]].concat();
        assert_eq!(ProvenBind::prove(&longer), Err(BadSignature::Malformed));
        let mut odd = payload.to_vec();
        *odd.last_mut().unwrap() = 2;
        assert_eq!(ProvenBind::prove(&odd), Err(BadSignature::Malformed));
    }

    #[test]
    fn security_keys_are_not_host_keys() {
        let message = bound(&TestKey::sk(), &[1; 32], false);
        assert_eq!(prove(&message), Err(BadSignature::Unsupported));
    }

    proptest! {
        #[test]
        fn no_input_panics(payload: Vec<u8>) {
            let _ = ProvenBind::prove(&payload);
        }

        #[test]
        fn a_changed_byte_is_detected_except_the_flag(at: prop::sample::Index, byte: u8) {
            let message = bound(&TestKey::ed25519(), &[1; 32], false);
            let mut changed = payload(&message).to_vec();
            let at = at.index(changed.len());
            let same = changed[at] == byte;
            let flag = at == changed.len() - 1;
            changed[at] = byte;
            let proven = ProvenBind::prove(&changed).is_ok();
            prop_assert_eq!(proven, same || (flag && byte == 1));
        }
    }
}
