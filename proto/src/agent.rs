//! The SSH agent protocol as far as both sides need it: message numbers, a strict reader of SSH's data types
//! (RFC 4251, section 5), and what comes with an agent. The source is draft-ietf-sshm-ssh-agent and OpenSSH's
//! `PROTOCOL.agent`.
//!
//! What may be signed is decided on the host alone, by the crate `ssh-policy`.

mod hints;
mod id;
mod ssh_types;

pub use hints::{GitKey, KnownHost, Repository};
pub use id::AgentId;
pub use ssh_types::{Malformed, Reader, Writer};

/// Name of the extension with which a client proves to which server it talks (OpenSSH's `PROTOCOL.agent`, 1).
pub const SESSION_BIND: &[u8] = b"session-bind@openssh.com";

/// Message numbers: the first byte of each message. `SSH_AGENTC_` and `SSH_AGENT_` are left out of the names.
pub mod number {
    /// Of the first version of SSH, as are the others with `RSA` in their names.
    pub const REQUEST_RSA_IDENTITIES: u8 = 1;
    pub const RSA_CHALLENGE: u8 = 3;
    pub const FAILURE: u8 = 5;
    pub const SUCCESS: u8 = 6;
    pub const ADD_RSA_IDENTITY: u8 = 7;
    pub const REMOVE_RSA_IDENTITY: u8 = 8;
    pub const REMOVE_ALL_RSA_IDENTITIES: u8 = 9;
    pub const REQUEST_IDENTITIES: u8 = 11;
    pub const IDENTITIES_ANSWER: u8 = 12;
    pub const SIGN_REQUEST: u8 = 13;
    pub const SIGN_RESPONSE: u8 = 14;
    pub const ADD_IDENTITY: u8 = 17;
    pub const REMOVE_IDENTITY: u8 = 18;
    pub const REMOVE_ALL_IDENTITIES: u8 = 19;
    pub const ADD_SMARTCARD_KEY: u8 = 20;
    pub const REMOVE_SMARTCARD_KEY: u8 = 21;
    pub const LOCK: u8 = 22;
    pub const UNLOCK: u8 = 23;
    pub const ADD_RSA_ID_CONSTRAINED: u8 = 24;
    pub const ADD_ID_CONSTRAINED: u8 = 25;
    pub const ADD_SMARTCARD_KEY_CONSTRAINED: u8 = 26;
    /// The name of the extension follows as a string.
    pub const EXTENSION: u8 = 27;
}

/// A key that an agent offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The public key or certificate, in SSH's encoding.
    pub key: Vec<u8>,
    /// Chosen by the key's owner. May hold any bytes: escape it before it is shown.
    pub comment: Vec<u8>,
}

/// Encodes an answer to [`number::REQUEST_IDENTITIES`].
pub fn identities_answer(identities: &[Identity]) -> Vec<u8> {
    let mut answer = Writer::new(number::IDENTITIES_ANSWER);
    answer.u32(identities.len() as u32); // a bridge message, which holds them, has a limit far below
    for identity in identities {
        answer.string(&identity.key).string(&identity.comment);
    }
    answer.finish()
}

/// Reads an answer to [`number::REQUEST_IDENTITIES`].
///
/// # Errors
/// [`Malformed`] unless `message` is such an answer, to the last byte.
pub fn read_identities(message: &[u8]) -> Result<Vec<Identity>, Malformed> {
    let mut reader = Reader::new(message);
    if reader.u8()? != number::IDENTITIES_ANSWER {
        return Err(Malformed);
    }
    let count = reader.u32()?;
    // The count is the peer's claim, so nothing is reserved for it.
    let mut identities = Vec::new();
    for _ in 0..count {
        identities.push(Identity { key: reader.string()?.to_vec(), comment: reader.string()?.to_vec() });
    }
    reader.finish()?;
    Ok(identities)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_survive_a_round_trip_and_no_prefix_of_them_does() {
        let identities = vec![
            Identity { key: b"one".to_vec(), comment: b"deploy".to_vec() },
            Identity { key: b"two".to_vec(), comment: Vec::new() },
        ];
        let answer = identities_answer(&identities);
        assert_eq!(read_identities(&answer), Ok(identities));
        for end in 0..answer.len() {
            assert_eq!(read_identities(&answer[..end]), Err(Malformed));
        }
        assert_eq!(read_identities(&[answer, vec![0]].concat()), Err(Malformed));
    }
}
