//! Why a request is refused: a text for people, and a stable word for audit records.

use proto::agent::MAX_BINDS;
use proto::escape;
use thiserror::Error;

use crate::allowed_hosts::NotAllowed;
use crate::key::algorithm::WrongFlags;
use crate::key::signature::BadSignature;
use crate::request::{Change, Other};
use crate::sign_request::InvalidData;
use crate::userauth::InvalidLogin;

/// Why a request is refused. Its text is safe to show.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No message of the agent protocol.
    #[error("not a request to an SSH agent")]
    Malformed,
    /// A request that would change the agent.
    #[error("the request would change the agent ({0})")]
    ChangesAgent(Change),
    /// A request that is not passed on. In it is which one, safe to show.
    #[error("a request that is not passed on ({0})")]
    NotPassedOn(String),
    /// A key that is not there, or not chosen.
    #[error("the key is not offered")]
    KeyNotOffered,
    /// Neither a login nor, to the last byte, an SSHSIG.
    #[error("not a login request for SSH")]
    NotALogin,
    /// Begins as an SSHSIG and is none.
    #[error("not a valid SSHSIG request")]
    NotAnSshSig,
    /// A namespace that is not allowed.
    #[error("SSHSIG namespace {} is not allowed (--ssh-allow-sshsig)", escape(.0))]
    Namespace(String),
    /// The login would be with another key than the one that signs.
    #[error("the key in the login request is not the key that would sign")]
    OtherKey,
    /// RSA without flags for SHA-2.
    #[error("RSA with SHA-1 is not allowed: the client must ask for rsa-sha2-256 or rsa-sha2-512")]
    Sha1,
    /// Flags, or an algorithm's name, of other keys.
    #[error("the signature algorithm does not fit the key")]
    Algorithm,
    /// A user who cannot be named.
    #[error("the user name in the login request is not valid")]
    UserName,
    /// A user who is not allowed.
    #[error("user {} is not allowed", escape(.0))]
    User(String),
    /// Which host it is must be proven, and nothing proves it.
    #[error(
        "this client does not say which host it talks to (no session-bind): use OpenSSH 8.9 or later; for cargo set \
         net.git-fetch-with-cli = true"
    )]
    NoBind,
    /// The host must be in what is signed, and is not.
    #[error(
        "the login request does not name the host (not publickey-hostbound): client and host must be OpenSSH 8.9 or \
         later, or --ssh-host-proof bind must do"
    )]
    NoHostbound,
    /// The same, after the agent was forwarded, where nothing else will do.
    #[error(
        "the login request does not name the host (not publickey-hostbound), as it must through a forwarded agent"
    )]
    NoHostboundForwarded,
    /// A session other than the one that was bound.
    #[error("the session id is not the bound one")]
    OtherSession,
    /// A host in what is signed, other than the one that was bound.
    #[error("the host key in the login request is not the bound one")]
    OtherHost,
    /// A host that is not allowed.
    #[error(transparent)]
    Host(#[from] NotAllowed),
    /// A session-bind that is none.
    #[error("the session-bind is malformed, or its session id is not a SHA-2 hash")]
    BindMalformed,
    /// A session-bind that the host did not sign.
    #[error("the session-bind is not signed by the host that it names")]
    BindForged,
    /// A session-bind by a host whose signatures are not checked.
    #[error(
        "the host's key is of a kind that cannot be checked: Ed25519, ECDSA, or RSA of 2048 to 8192 bits can"
    )]
    BindUnsupported,
    /// A session-bind that is signed with SHA-1.
    #[error("the host signs with RSA and SHA-1: its SSH server is too old")]
    BindSha1,
    /// One session, two hosts or two purposes.
    #[error("the session id was bound before, in another way")]
    BindContradicts,
    /// First bound for a login, then for forwarding.
    #[error("a connection that was bound for a login cannot be forwarded")]
    BindOrder,
    /// More binds than a connection may have.
    #[error("more than {MAX_BINDS} session-binds on one connection")]
    TooManyBinds,
    /// A signature for a file, wanted by a host that the agent was forwarded to.
    #[error("only login requests are signed through a forwarded agent")]
    ForwardedSshSig,
    /// The agent was forwarded, to this host.
    #[error("the agent was forwarded to {}, which is not allowed", escape(.0))]
    Forwarded(String),
}

impl Refusal {
    /// A stable word; the text may change.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::ChangesAgent(_) => "changes-agent",
            Self::NotPassedOn(_) => "not-passed-on",
            Self::KeyNotOffered => "key-not-offered",
            Self::NotALogin => "not-a-login",
            Self::NotAnSshSig => "not-an-sshsig",
            Self::Namespace(_) => "namespace-not-allowed",
            Self::OtherKey => "other-key",
            Self::Sha1 => "sha1",
            Self::Algorithm => "algorithm",
            Self::UserName => "user-name",
            Self::User(_) => "user-not-allowed",
            Self::NoBind => "no-bind",
            Self::NoHostbound | Self::NoHostboundForwarded => "no-hostbound",
            Self::OtherSession => "other-session",
            Self::OtherHost => "other-host",
            Self::Host(NotAllowed::Host(_) | NotAllowed::Key(_)) => "host-not-allowed",
            Self::Host(NotAllowed::Revoked(_)) => "host-revoked",
            Self::Host(NotAllowed::Certificate(..)) => "host-certificate",
            Self::BindMalformed => "bind-malformed",
            Self::BindForged => "bind-forged",
            Self::BindUnsupported => "bind-unsupported",
            Self::BindSha1 => "bind-sha1",
            Self::BindContradicts => "bind-contradicts",
            Self::BindOrder => "bind-order",
            Self::TooManyBinds => "too-many-binds",
            Self::ForwardedSshSig | Self::Forwarded(_) => "forwarded",
        }
    }
}

impl From<WrongFlags> for Refusal {
    fn from(wrong: WrongFlags) -> Self {
        match wrong {
            WrongFlags::Sha1 => Self::Sha1,
            WrongFlags::Misfit => Self::Algorithm,
        }
    }
}

impl From<InvalidData> for Refusal {
    fn from(invalid: InvalidData) -> Self {
        match invalid {
            InvalidData::SshSig => Self::NotAnSshSig,
            InvalidData::Login(InvalidLogin::Malformed) => Self::NotALogin,
            InvalidData::Login(InvalidLogin::UserName) => Self::UserName,
        }
    }
}

impl From<Other<'_>> for Refusal {
    fn from(other: Other<'_>) -> Self {
        Self::NotPassedOn(other.to_string())
    }
}

/// Of a session-bind.
impl From<BadSignature> for Refusal {
    fn from(bad: BadSignature) -> Self {
        match bad {
            BadSignature::Malformed => Self::BindMalformed,
            BadSignature::Unsupported => Self::BindUnsupported,
            BadSignature::Sha1 => Self::BindSha1,
            BadSignature::Forged => Self::BindForged,
        }
    }
}
