//! To which hosts a connection is bound, and what that says about a login.
//!
//! A client that logs in opens a connection to the agent, binds it to its session, and asks for a signature. A client
//! that forwards its agent opens one for every use from afar, binds it to the session over which it is forwarded, and
//! passes on what comes: most often the bind of the next client, and its login. So the binds are a way: hops, at last
//! a login. OpenSSH's agent takes no bind after that of a login; this one takes another login (some clients keep the
//! connection), never a hop.

use std::time::SystemTime;

use proto::agent::MAX_BINDS;

use super::policy::{AgentPolicy, HostProof};
use super::refusal::Refusal;
use super::session_bind::ProvenBind;
use super::userauth::Login;

/// The binds of one connection.
#[derive(Debug, Default)]
pub(super) struct Binds {
    bound: Vec<Bound>,
    /// Once a bind was refused nothing is signed here any more: OpenSSH goes on without the bind, so the refusal
    /// that a person gets to see must be that of the signature.
    poisoned: Option<Refusal>,
}

#[derive(Debug)]
struct Bound {
    host_key: Vec<u8>,
    session: Vec<u8>,
    is_forwarding: bool,
    /// Safe to show: a name if hosts are restricted, else a fingerprint.
    host: String,
}

impl Binds {
    /// Proves and judges a bind. What it gives is the message for the agent behind the bridge.
    pub(super) fn accept(
        &mut self,
        policy: &AgentPolicy,
        payload: &[u8],
        now: SystemTime,
    ) -> Result<Vec<u8>, Refusal> {
        self.poisoned()?;
        let result = self.judge(policy, payload, now);
        match result {
            Ok((bound, message)) => {
                if let Some(bound) = bound {
                    self.bound.push(bound);
                }
                Ok(message)
            }
            Err(refusal) => {
                self.poisoned = Some(refusal.clone());
                Err(refusal)
            }
        }
    }

    /// The refusal of an earlier bind, if there is one.
    pub(super) fn poisoned(&self) -> Result<(), Refusal> {
        self.poisoned.clone().map_or(Ok(()), Err)
    }

    /// The host of the last bind.
    pub(super) fn host(&self) -> Option<&str> {
        self.bound.last().map(|bound| &bound.host[..])
    }

    /// The bind, unless it says again what the last one said.
    fn judge(
        &self,
        policy: &AgentPolicy,
        payload: &[u8],
        now: SystemTime,
    ) -> Result<(Option<Bound>, Vec<u8>), Refusal> {
        // Before the signature is verified: that is what costs.
        if self.bound.len() >= MAX_BINDS {
            return Err(Refusal::TooManyBinds);
        }
        let bind = ProvenBind::prove(payload)?;
        let host = match &policy.hosts {
            Some(hosts) => hosts.judge(&bind.host_key, now)?.to_string(),
            None => bind.host_key.fingerprint().to_string(),
        };
        if bind.is_forwarding && !policy.forwarding {
            return Err(Refusal::Forwarded(host));
        }
        let bound = Bound {
            host_key: bind.host_key.encode(),
            session: bind.session.0.to_vec(),
            is_forwarding: bind.is_forwarding,
            host,
        };
        let contradicts =
            |earlier: &Bound| earlier.session == bound.session && !earlier.says_the_same_as(&bound);
        if self.bound.iter().any(contradicts) {
            return Err(Refusal::BindContradicts);
        }
        if self.bound.last().is_some_and(|last| last.says_the_same_as(&bound)) {
            return Ok((None, bind.message()));
        }
        if bound.is_forwarding && self.bound.iter().any(|earlier| !earlier.is_forwarding) {
            return Err(Refusal::BindOrder);
        }
        Ok((Some(bound), bind.message()))
    }

    /// The host to which a login goes, as far as it has to be proven or is. As in OpenSSH's agent for keys that are
    /// restricted to hosts, the login must be of the last session bound, to the host bound, and after a hop the host
    /// must be in what is signed: who holds a hop could vouch for any session with its own key.
    pub(super) fn prove_host(
        &self,
        policy: &AgentPolicy,
        login: &Login<'_>,
        now: SystemTime,
    ) -> Result<Option<String>, Refusal> {
        let bound = self.bound.last().filter(|last| !last.is_forwarding);
        if let Some(bound) = bound {
            if login.session.0 != bound.session {
                return Err(Refusal::OtherSession);
            }
            if login.host_key.as_ref().is_some_and(|key| key.encode() != bound.host_key) {
                return Err(Refusal::OtherHost);
            }
        }
        let is_forwarded = self.bound.iter().any(|bound| bound.is_forwarding);
        if is_forwarded && login.host_key.is_none() {
            return Err(Refusal::NoHostboundForwarded);
        }
        let Some(hosts) = &policy.hosts else {
            let named = || login.host_key.as_ref().map(|key| key.fingerprint().to_string());
            return Ok(bound.map(|bound| bound.host.clone()).or_else(named));
        };
        match (policy.host_proof, bound, &login.host_key) {
            (HostProof::Bind | HostProof::BindOrHostbound, Some(bound), _)
            | (HostProof::Both, Some(bound), Some(_)) => Ok(Some(bound.host.clone())),
            (HostProof::BindOrHostbound, None, Some(key)) => Ok(Some(hosts.judge(key, now)?.to_string())),
            (HostProof::Both, Some(_), None) => Err(Refusal::NoHostbound),
            (HostProof::Bind | HostProof::Both, None, _) | (HostProof::BindOrHostbound, None, None) => {
                Err(Refusal::NoBind)
            }
        }
    }
}

impl Bound {
    fn says_the_same_as(&self, other: &Self) -> bool {
        self.session == other.session
            && self.host_key == other.host_key
            && self.is_forwarding == other.is_forwarding
    }
}
