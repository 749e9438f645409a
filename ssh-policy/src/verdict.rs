//! The verdict on one request.

use proto::agent::Identity;
use proto::escape;

use crate::refusal::Refusal;
use crate::sign_request::SignRequest;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Answer with the keys that the policy offers.
    List,
    /// Accept a session-bind: answer success, and pass `upstream` to the host's agent. That agent's answer does not
    /// matter: it needs the bind only for keys that were added for certain hosts.
    AcceptBind {
        /// The message for the host's agent.
        upstream: Vec<u8>,
    },
    /// Refuse a session-bind. From then on, its connection gets no signature.
    RefuseBind(Refused),
    /// Let the key sign.
    Sign(Permitted),
    /// A signature with a key that is not offered. If the host's agent has other keys by now, decide again; otherwise
    /// refuse.
    UnknownKey {
        /// For [`ConnectionState::decide_sign`](crate::ConnectionState::decide_sign).
        sign: SignRequest<'a>,
        /// The refusal, if it is not decided again.
        refused: Refused,
    },
    /// Answer failure. The connection goes on.
    Refuse(Refused),
}

/// A signature that the policy permits. Its texts are safe to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permitted {
    /// The sign request for the host's agent, written anew from what was parsed.
    pub upstream: Vec<u8>,
    /// The data to sign, for a signer that is not an agent.
    pub data: Vec<u8>,
    /// The flags of the sign request, for a signer that is not an agent.
    pub flags: u32,
    /// The key that signs, as the host's agent lists it.
    pub key: Identity,
    /// The fingerprint of `key`.
    pub fingerprint: String,
    /// The user of a login. It stands in the data that is signed.
    pub user: Option<String>,
    /// The host of a login, proven: its name if the policy restricts hosts, else the fingerprint of its key.
    pub host: Option<String>,
    /// The namespace of an SSHSIG. It stands in the data that is signed.
    pub namespace: Option<String>,
}

/// A request that the policy refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reason.
    pub refusal: Refusal,
    /// The host to which the connection was last bound, proven, as in [`Permitted`].
    pub host: Option<String>,
    /// What the request says.
    pub claimed: Claims,
}

/// What a sign request says, as far as it could be parsed. Nothing of it is proven; its texts are safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// The fingerprint of the key that would sign.
    pub fingerprint: Option<String>,
    /// The comment of that key, if it is offered. It comes from the host's agent.
    pub comment: Option<String>,
    /// The user of the login.
    pub user: Option<String>,
    /// The namespace of the SSHSIG.
    pub namespace: Option<String>,
}

impl Permitted {
    /// The comment of the key, safe to show.
    pub fn comment(&self) -> String {
        escape(&String::from_utf8_lossy(&self.key.comment))
    }
}
