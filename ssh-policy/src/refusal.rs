//! Why a request is refused: a text for people, and a stable word for the audit.

use proto::escape;
use proto::limits::MAX_BINDS;
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
    #[error("invalid SSH agent request")]
    Malformed,
    #[error("the request would change the agent ({0})")]
    ChangesAgent(Change),
    /// The request, safe to show.
    #[error("unsupported request ({0})")]
    NotPassedOn(String),
    /// The host's agent does not have the key, or the policy does not choose it.
    #[error("the key is not offered")]
    KeyNotOffered,
    /// The data is neither a login nor an SSHSIG.
    #[error("not an SSH login request")]
    NotALogin,
    /// The data begins like an SSHSIG.
    #[error("invalid SSHSIG data")]
    NotAnSshSig,
    #[error("SSHSIG namespace {} is not allowed (--ssh-allow-sshsig)", escape(.0))]
    Namespace(String),
    #[error("the key in the login request is not the key that would sign")]
    OtherKey,
    /// RSA without flags for SHA-2.
    #[error("RSA with SHA-1 is not allowed: the client must ask for rsa-sha2-256 or rsa-sha2-512")]
    Sha1,
    /// The flags of the request, or the algorithm in the login, are those of another key type.
    #[error("the signature algorithm does not match the key")]
    Algorithm,
    #[error("invalid user name in the login request")]
    UserName,
    #[error("user {} is not allowed", escape(.0))]
    User(String),
    /// The policy demands a proof of the host, and there is none.
    #[error(
        "this client does not say which host it talks to (no session-bind): use OpenSSH 8.9 or later; for cargo set \
         net.git-fetch-with-cli = true"
    )]
    NoBind,
    /// The policy demands the host in the data that is signed.
    #[error(
        "the login request does not name the host (not publickey-hostbound): client and host must be OpenSSH 8.9 or \
         later; or use --ssh-host-proof bind"
    )]
    NoHostbound,
    /// Through a forwarded agent, only the host in the data that is signed is a proof.
    #[error(
        "the login request does not name the host (not publickey-hostbound), as it must through a forwarded agent"
    )]
    NoHostboundForwarded,
    /// The login is for another session than the one that was bound last.
    #[error("the session id is not the bound one")]
    OtherSession,
    /// The login names another host than the one that was bound.
    #[error("the host key in the login request is not the bound one")]
    OtherHost,
    #[error(transparent)]
    Host(#[from] NotAllowed),
    #[error("invalid session-bind, or its session id is not a SHA-2 hash")]
    BindMalformed,
    #[error("the session-bind is not signed by the host that it names")]
    BindForged,
    /// Of a host whose signatures are not verified here.
    #[error("unsupported host key (supported: Ed25519, ECDSA, and RSA of 2048 to 8192 bits)")]
    BindUnsupported,
    #[error("the host signs with RSA and SHA-1: its SSH server is too old")]
    BindSha1,
    #[error("the session id is already bound to another host or purpose")]
    BindContradicts,
    #[error("a connection bound for a login cannot be bound for forwarding")]
    BindOrder,
    #[error("more than {MAX_BINDS} session-binds on one connection")]
    TooManyBinds,
    /// An SSHSIG, requested by a host to which the agent was forwarded.
    #[error("only login requests are signed through a forwarded agent")]
    ForwardedSshSig,
    /// A bind for forwarding; the policy does not allow that.
    #[error("the agent was forwarded to {}, which is not allowed", escape(.0))]
    Forwarded(String),
}

/// Defines [`Refusal::word`], and [`Refusal::WORDS`] with all that it can return.
macro_rules! words {
    ($($refusal:pat => $word:literal,)+) => {
        impl Refusal {
            /// Every word, for the test of docs/AUDIT.md.
            #[cfg(test)]
            const WORDS: &[&str] = &[$($word),+];

            /// The audit's word for the reason, which stays the same when the text changes.
            pub fn word(&self) -> &'static str {
                match self {
                    $($refusal => $word,)+
                }
            }
        }
    };
}

words! {
    Refusal::Malformed => "malformed",
    Refusal::ChangesAgent(_) => "changes-agent",
    Refusal::NotPassedOn(_) => "not-passed-on",
    Refusal::KeyNotOffered => "key-not-offered",
    Refusal::NotALogin => "not-a-login",
    Refusal::NotAnSshSig => "not-an-sshsig",
    Refusal::Namespace(_) => "namespace-not-allowed",
    Refusal::OtherKey => "other-key",
    Refusal::Sha1 => "sha1",
    Refusal::Algorithm => "algorithm",
    Refusal::UserName => "user-name",
    Refusal::User(_) => "user-not-allowed",
    Refusal::NoBind => "no-bind",
    Refusal::NoHostbound | Refusal::NoHostboundForwarded => "no-hostbound",
    Refusal::OtherSession => "other-session",
    Refusal::OtherHost => "other-host",
    Refusal::Host(NotAllowed::Host(_) | NotAllowed::Key(_)) => "host-not-allowed",
    Refusal::Host(NotAllowed::Revoked(_)) => "host-revoked",
    Refusal::Host(NotAllowed::Certificate(..)) => "host-certificate",
    Refusal::BindMalformed => "bind-malformed",
    Refusal::BindForged => "bind-forged",
    Refusal::BindUnsupported => "bind-unsupported",
    Refusal::BindSha1 => "bind-sha1",
    Refusal::BindContradicts => "bind-contradicts",
    Refusal::BindOrder => "bind-order",
    Refusal::TooManyBinds => "too-many-binds",
    Refusal::ForwardedSshSig | Refusal::Forwarded(_) => "forwarded",
}

impl Refusal {
    /// The text for an audit record, which has what the request claims in fields of its own and does not repeat it.
    pub fn detail(&self) -> String {
        if let Self::Namespace(_) = self {
            "the SSHSIG namespace is not allowed (--ssh-allow-sshsig)".to_owned()
        } else if let Self::User(_) = self {
            "the user is not allowed".to_owned()
        } else {
            self.to_string()
        }
    }
}

impl From<WrongFlags> for Refusal {
    fn from(wrong: WrongFlags) -> Self {
        match wrong {
            WrongFlags::Sha1 => Self::Sha1,
            WrongFlags::Mismatch => Self::Algorithm,
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

/// Why a session-bind is refused whose signature is not valid.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_page_has_every_reason_of_agent_refused() {
        let page = include_str!("../../docs/AUDIT.md");
        let (_, table) = page.split_once("`reason` of `agent-refused`:").unwrap();
        assert!(Refusal::WORDS.len() > 20);
        for word in Refusal::WORDS {
            assert!(table.contains(&format!("`{word}`")), "docs/AUDIT.md does not have {word}");
        }
    }
}
