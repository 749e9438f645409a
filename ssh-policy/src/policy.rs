//! What a user allows an agent to do for builds.

use std::fmt;
use std::str::FromStr;

use proto::agent::Identity;
use proto::escape;
use thiserror::Error;

use crate::allowed_hosts::AllowedHosts;
use crate::key::fingerprint::{Fingerprint, InvalidFingerprint};
use crate::key::public_key::PublicKey;

/// What may be signed. The default allows logins to any host, as any user, with any key.
#[derive(Debug, Clone, Default)]
pub struct AgentPolicy {
    /// The keys that are offered; if empty, all.
    pub keys: Vec<KeySelector>,
    /// The hosts to which a login may be signed; if `None`, any, and then no host has to be proven.
    pub hosts: Option<AllowedHosts>,
    /// What proves a host. Only used with `hosts`.
    pub host_proof: HostProof,
    /// The users as whom a login may be signed, compared byte by byte; if empty, any.
    pub users: Vec<String>,
    /// The SSHSIG namespaces that may be signed, such as `git`.
    pub sshsig_namespaces: Vec<String>,
    /// Whether an allowed host to which the agent was forwarded may use it for logins to allowed hosts.
    pub forwarding: bool,
}

/// What proves to which host a login goes.
///
/// A session-bind proves that a holder of the host's key vouches for the session: only an allowed host, or a thief of its
/// key, can have a login to another host signed. The bind of an honest host cannot be used for another session.
///
/// A hostbound login proves something else. Nothing vouches that the session is with that host, and the session id is not
/// compared with anything. But the server compares the host key in the signed data with its own, as the method demands,
/// so the signature is worthless at any other host, and at a server that does not support the method. This protects
/// against allowed hosts and thieves of their keys too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostProof {
    /// A session-bind. OpenSSH sends it since 8.9.
    #[default]
    Bind,
    /// A session-bind or, where the client sends none, a hostbound login.
    BindOrHostbound,
    /// Both: not even an allowed host can have logins to other hosts signed. GitHub does not offer hostbound logins.
    Both,
}

/// Chooses keys of an agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySelector {
    /// Of the key, or of the key in a certificate.
    Fingerprint(Fingerprint),
    /// The whole comment, compared byte by byte.
    Comment(String),
}

/// A text that is not a [`KeySelector`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum KeySelectorError {
    /// The text begins like a fingerprint.
    #[error(transparent)]
    Fingerprint(#[from] InvalidFingerprint),
    #[error("empty: give the fingerprint or the comment of a key")]
    Empty,
}

impl FromStr for KeySelector {
    type Err = KeySelectorError;

    fn from_str(text: &str) -> Result<Self, KeySelectorError> {
        if text.is_empty() {
            Err(KeySelectorError::Empty)
        } else if text.starts_with("SHA256:") {
            Ok(Self::Fingerprint(text.parse()?))
        } else {
            Ok(Self::Comment(text.to_owned()))
        }
    }
}

impl fmt::Display for KeySelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fingerprint(fingerprint) => fingerprint.fmt(f),
            Self::Comment(comment) => f.write_str(&escape(comment)),
        }
    }
}

impl KeySelector {
    /// Whether it chooses `identity`. A key that cannot be parsed is never chosen.
    pub fn chooses(&self, identity: &Identity) -> bool {
        PublicKey::parse(&identity.key).is_ok_and(|key| self.selects(key.fingerprint(), &identity.comment))
    }

    fn selects(&self, fingerprint: Fingerprint, comment: &[u8]) -> bool {
        match self {
            Self::Fingerprint(wanted) => *wanted == fingerprint,
            Self::Comment(wanted) => wanted.as_bytes() == comment,
        }
    }
}

impl AgentPolicy {
    /// Whether a key of the host's agent is offered. A key of an unknown type never is: it could not be decided what a
    /// signature of it means.
    pub fn offers(&self, identity: &Identity) -> bool {
        let Ok(key) = PublicKey::parse(&identity.key) else { return false };
        let fingerprint = key.fingerprint();
        self.keys.is_empty()
            || self.keys.iter().any(|selector| selector.selects(fingerprint, &identity.comment))
    }

    /// Whether a login as `user` is allowed. Servers may cut `git:x` down to `git`, so only equal names are.
    pub(crate) fn allows_user(&self, user: &str) -> bool {
        self.users.is_empty() || self.users.iter().any(|allowed| allowed == user)
    }

    pub(crate) fn allows_namespace(&self, namespace: &str) -> bool {
        self.sshsig_namespaces.iter().any(|allowed| allowed == namespace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{HostCertificate, TestKey};

    fn selecting(selectors: &[&str]) -> AgentPolicy {
        let keys = selectors.iter().map(|selector| selector.parse().unwrap()).collect();
        AgentPolicy { keys, ..AgentPolicy::default() }
    }

    #[test]
    fn keys_are_chosen_by_fingerprint_or_comment() {
        let key = TestKey::ed25519();
        let fingerprint = Fingerprint::of(&key.public()).to_string();
        let plain = Identity { key: key.public(), comment: b"deploy".to_vec() };
        let certificate =
            HostCertificate { kind: 1, ..HostCertificate::of(&key) }.signed_by(&TestKey::p256());
        let certificate = Identity { key: certificate, comment: b"deploy-cert".to_vec() };
        let other = Identity { key: TestKey::p256().public(), comment: b"deploy2".to_vec() };
        for (selectors, offered) in [
            (&[][..], [true, true, true]),
            (&["deploy"], [true, false, false]),
            (&["deploy", "deploy2"], [true, false, true]),
            (&[&fingerprint[..]], [true, true, false]),
            (&["Deploy", "deploy*"], [false, false, false]),
        ] {
            let policy = selecting(selectors);
            let chosen = |key: &Identity| policy.keys.iter().any(|selector| selector.chooses(key));
            if !selectors.is_empty() {
                assert_eq!([&plain, &certificate, &other].map(chosen), offered, "{selectors:?}");
            }
            assert_eq!(policy.keys.iter().map(KeySelector::to_string).collect::<Vec<_>>(), selectors);
            assert_eq!(
                [&plain, &certificate, &other].map(|key| policy.offers(key)),
                offered,
                "{selectors:?}"
            );
        }
    }

    #[test]
    fn a_key_that_cannot_be_parsed_is_never_offered() {
        let strange = Identity { key: b"\0\0\0\x07ssh-dss".to_vec(), comment: b"deploy".to_vec() };
        assert!(!selecting(&[]).offers(&strange));
        assert!(!selecting(&["deploy"]).offers(&strange));
    }

    #[test]
    fn an_invalid_selector_is_an_error() {
        assert_eq!("".parse::<KeySelector>(), Err(KeySelectorError::Empty));
        assert_eq!("SHA256:abc".parse::<KeySelector>(), Err(InvalidFingerprint.into()));
    }
}
