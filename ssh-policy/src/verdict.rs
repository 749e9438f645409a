//! The policy's answer to one request.

use proto::agent::Identity;

use crate::refusal::Refusal;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Answer with the keys that the policy offers.
    List,
    /// The bind is accepted: answer success. The agent behind the bridge is told, and its answer does not matter: it
    /// only needs it for keys that were added for certain hosts.
    Bind {
        /// The message for it.
        upstream: Vec<u8>,
    },
    /// Have it signed.
    Sign(Permitted),
    /// Answer failure; the connection goes on.
    Refuse(Refused),
}

/// A signature that is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permitted {
    /// The message for the agent behind the bridge.
    pub upstream: Vec<u8>,
    /// What is signed, for a signer that is no agent.
    pub data: Vec<u8>,
    /// With which flags.
    pub flags: u32,
    /// With which key.
    pub key: Identity,
    /// Of that key.
    pub fingerprint: String,
    /// As whom the login is; safe to show.
    pub user: Option<String>,
    /// To where; proven. A name if hosts are restricted, else the fingerprint of the host's key.
    pub host: Option<String>,
    /// Of an SSHSIG; safe to show.
    pub namespace: Option<String>,
}

/// A request that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Why.
    pub refusal: Refusal,
    /// The host that the connection was last bound to; proven, as in [`Permitted`].
    pub host: Option<String>,
    /// What the client says, as far as it could be read.
    pub claimed: Claims,
}

/// What a client says, safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// Of the key that would sign.
    pub fingerprint: Option<String>,
    /// The comment of that key, if it is offered; this the agent behind the bridge says.
    pub comment: Option<String>,
    /// As whom the login would be.
    pub user: Option<String>,
    /// Of an SSHSIG.
    pub namespace: Option<String>,
}
