//! The SSH agent protocol as far as both sides need it: numbers of messages, limits, and a strict reader of SSH's
//! data types (RFC 4251, section 5). The source is draft-ietf-sshm-ssh-agent and OpenSSH's `PROTOCOL.agent`.
//!
//! Here are bytes and their shape only. What may be signed is decided on the host alone.

mod id;
mod offer;
mod wire;

pub use id::AgentId;
pub use offer::{GitKey, KnownHost, Repository};
pub use wire::{Malformed, Reader, Writer};

/// Longest message of the agent protocol that either side reads, in bytes without its length prefix. OpenSSH's own
/// agent has the same limit.
pub const MAX_MESSAGE: usize = 256 << 10;

/// Most session-binds on one connection, as in OpenSSH's agent.
pub const MAX_BINDS: usize = 16;

/// Name of the extension by which a client says to which server it talks.
pub const SESSION_BIND: &[u8] = b"session-bind@openssh.com";

/// Numbers of messages, the first byte of each.
pub mod number {
    /// `SSH_AGENT_FAILURE`: no, and nothing more.
    pub const FAILURE: u8 = 5;
    /// `SSH_AGENT_SUCCESS`: done.
    pub const SUCCESS: u8 = 6;
    /// `SSH_AGENTC_REQUEST_IDENTITIES`: which keys are there?
    pub const REQUEST_IDENTITIES: u8 = 11;
    /// `SSH_AGENT_IDENTITIES_ANSWER`: these.
    pub const IDENTITIES_ANSWER: u8 = 12;
    /// `SSH_AGENTC_SIGN_REQUEST`.
    pub const SIGN_REQUEST: u8 = 13;
    /// `SSH_AGENT_SIGN_RESPONSE`.
    pub const SIGN_RESPONSE: u8 = 14;
    /// `SSH_AGENTC_EXTENSION`; which one follows as a string.
    pub const EXTENSION: u8 = 27;
}

/// A key that an agent offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The public key or certificate, in SSH's encoding.
    pub key: Vec<u8>,
    /// What its owner calls it. Anything may be in it: escape it before it is shown.
    pub comment: Vec<u8>,
}

/// The answer to `REQUEST_IDENTITIES`.
pub fn identities_answer(identities: &[Identity]) -> Vec<u8> {
    let mut answer = Writer::new(number::IDENTITIES_ANSWER);
    answer.u32(identities.len() as u32); // a bridge message, which holds them, has a limit far below
    for identity in identities {
        answer.string(&identity.key).string(&identity.comment);
    }
    answer.finish()
}

/// Reads an answer to `REQUEST_IDENTITIES`.
///
/// # Errors
/// [`Malformed`] if it is none, to the last byte.
pub fn read_identities(message: &[u8]) -> Result<Vec<Identity>, Malformed> {
    let mut reader = Reader::new(message);
    if reader.u8()? != number::IDENTITIES_ANSWER {
        return Err(Malformed);
    }
    let count = reader.u32()?;
    // The count is a stranger's: memory is taken for what is there.
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
