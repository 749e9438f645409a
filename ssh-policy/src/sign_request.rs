//! A sign request, parsed once: the key that is to sign, and what it is to sign.

use proto::agent::{Malformed, Reader};

use crate::key::public_key::PublicKey;
use crate::sshsig::SshSig;
use crate::userauth::{InvalidLogin, Login};

/// `SSH_AGENTC_SIGN_REQUEST`. Only its frame is known to be valid: what could not be parsed in it is an error value,
/// since a refusal says as much about the request as could be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignRequest<'a> {
    /// The key as the request has it.
    pub(crate) blob: &'a [u8],
    /// The same, parsed. A key that cannot be parsed is never offered.
    pub(crate) key: Result<PublicKey<'a>, Malformed>,
    pub(crate) data: Result<SignData<'a>, InvalidData>,
    pub(crate) flags: u32,
}

/// What is to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SignData<'a> {
    Login(Login<'a>),
    SshSig(SshSig<'a>),
}

/// Data that is never signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InvalidData {
    /// It begins like an SSHSIG, but is not a valid one.
    SshSig,
    Login(InvalidLogin),
}

impl<'a> SignRequest<'a> {
    /// Reads what follows the message number, to the end.
    pub(crate) fn read(mut reader: Reader<'a>) -> Result<Self, Malformed> {
        let (blob, data, flags) = (reader.string()?, reader.string()?, reader.u32()?);
        reader.finish()?;
        Ok(Self { blob, key: PublicKey::parse(blob), data: SignData::parse(data), flags })
    }

    /// The user of a login.
    pub(crate) fn user(&self) -> Option<&'a str> {
        match &self.data {
            Ok(SignData::Login(login)) => Some(login.user),
            Ok(SignData::SshSig(_)) | Err(_) => None,
        }
    }

    /// The namespace of an SSHSIG.
    pub(crate) fn namespace(&self) -> Option<&'a str> {
        match &self.data {
            Ok(SignData::SshSig(signature)) => Some(signature.namespace),
            Ok(SignData::Login(_)) | Err(_) => None,
        }
    }
}

impl<'a> SignData<'a> {
    fn parse(data: &'a [u8]) -> Result<Self, InvalidData> {
        if SshSig::has_magic(data) {
            return SshSig::parse(data).map(Self::SshSig).map_err(|_| InvalidData::SshSig);
        }
        Login::parse(data).map(Self::Login).map_err(InvalidData::Login)
    }

    /// The bytes it was parsed from, encoded anew.
    pub(crate) fn encode(&self) -> Vec<u8> {
        match self {
            Self::Login(login) => login.encode(),
            Self::SshSig(signature) => signature.encode(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{TestKey, login, sign_request_with};

    fn read(message: &[u8]) -> Result<SignRequest<'_>, Malformed> {
        SignRequest::read(Reader::new(&message[1..]))
    }

    #[test]
    fn a_request_is_read_to_its_last_byte() {
        let key = TestKey::ed25519();
        let (blob, data) = (key.public(), login(&[1; 32], "git", &key, None));
        let message = sign_request_with(&blob, &data, 4);
        let request = read(&message).unwrap();
        assert_eq!((request.blob, request.flags, request.user()), (&blob[..], 4, Some("git")));
        assert_eq!(request.key.unwrap().encode(), blob);
        assert_eq!(request.data.unwrap().encode(), data);
        for end in 1..message.len() {
            assert_eq!(read(&message[..end]), Err(Malformed));
        }
        assert_eq!(read(&[message, vec![0]].concat()), Err(Malformed));
    }

    #[test]
    fn invalid_key_and_data_are_kept_apart() {
        let message = sign_request_with(b"key", b"SSHSIG", 0);
        let request = read(&message).unwrap();
        assert_eq!((request.key, request.data), (Err(Malformed), Err(InvalidData::SshSig)));
        let message = sign_request_with(b"key", b"challenge", 0);
        let invalid = InvalidData::Login(InvalidLogin::Malformed);
        assert_eq!(read(&message).unwrap().data, Err(invalid));
    }
}
