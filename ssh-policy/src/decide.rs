//! The verdict on each request of a connection: a closed table.

use std::time::SystemTime;

use proto::agent::{Identity, Writer, number};
use proto::escape;

use crate::binds::Binds;
use crate::key::algorithm::SignAlgorithm;
use crate::key::public_key::PublicKey;
use crate::policy::AgentPolicy;
use crate::refusal::Refusal;
use crate::request::Request;
use crate::sign_request::{SignData, SignRequest};
use crate::sshsig::SshSig;
use crate::userauth::Login;
use crate::verdict::{Claims, Permitted, Refused, Verdict};

/// What the verdicts on one connection depend on beside the policy: its session-binds.
#[derive(Debug, Default)]
pub struct ConnectionState {
    binds: Binds,
}

impl ConnectionState {
    /// Decides about one message, given without its length prefix. `offered` are the keys of the host's agent, among
    /// which the policy chooses. A session-bind changes the state, whether it is accepted or refused.
    pub fn decide<'a>(
        &mut self,
        policy: &AgentPolicy,
        offered: &[Identity],
        message: &'a [u8],
        now: SystemTime,
    ) -> Verdict<'a> {
        let Ok(request) = Request::parse(message) else { return self.refuse(Refusal::Malformed) };
        match request {
            Request::List => Verdict::List,
            Request::Bind(payload) => match self.binds.accept(policy, payload, now) {
                Ok(upstream) => Verdict::AcceptBind { upstream },
                Err(refusal) => Verdict::RefuseBind(self.refused(refusal, Claims::default())),
            },
            Request::Sign(sign) => self.decide_sign(policy, offered, sign, now),
            Request::Change(change) => self.refuse(Refusal::ChangesAgent(change)),
            Request::Other(other) => self.refuse(other.into()),
        }
    }

    /// Decides about one sign request. It changes nothing, so a request for an unknown key may be decided again when
    /// the host's agent has been listed anew.
    pub fn decide_sign<'a>(
        &self,
        policy: &AgentPolicy,
        offered: &[Identity],
        sign: SignRequest<'a>,
        now: SystemTime,
    ) -> Verdict<'a> {
        let identity = offered.iter().find(|identity| identity.key == sign.blob && policy.offers(identity));
        // The audit has the claims whatever the reason of a refusal is.
        let claimed = Claims {
            fingerprint: sign.key.as_ref().ok().map(|key| key.fingerprint().to_string()),
            comment: identity.map(|identity| escape(&String::from_utf8_lossy(&identity.comment))),
            user: sign.user().map(escape),
            namespace: sign.namespace().map(escape),
        };
        if let Err(refusal) = self.binds.poisoned() {
            return Verdict::Refuse(self.refused(refusal, claimed));
        }
        match (&sign.key, identity) {
            (Ok(key), Some(identity)) => match self.permit(policy, key, identity, &sign, now) {
                Ok(permitted) => Verdict::Sign(permitted),
                Err(refusal) => Verdict::Refuse(self.refused(refusal, claimed)),
            },
            (Ok(_), None) => {
                Verdict::UnknownKey { refused: self.refused(Refusal::KeyNotOffered, claimed), sign }
            }
            (Err(_), _) => Verdict::Refuse(self.refused(Refusal::KeyNotOffered, claimed)),
        }
    }

    fn permit(
        &self,
        policy: &AgentPolicy,
        key: &PublicKey<'_>,
        identity: &Identity,
        sign: &SignRequest<'_>,
        now: SystemTime,
    ) -> Result<Permitted, Refusal> {
        let algorithm = SignAlgorithm::of(key, sign.flags)?;
        let data = sign.data.as_ref().map_err(|invalid| Refusal::from(*invalid))?;
        let host = match data {
            SignData::Login(login) => self.check_login(policy, key, algorithm, login, now)?,
            SignData::SshSig(signature) => {
                self.check_sshsig(policy, signature)?;
                None
            }
        };
        let (data, flags) = (data.encode(), algorithm.flags());
        let mut upstream = Writer::new(number::SIGN_REQUEST);
        upstream.string(&key.encode()).string(&data).u32(flags);
        Ok(Permitted {
            upstream: upstream.finish(),
            data,
            flags,
            key: identity.clone(),
            fingerprint: key.fingerprint().to_string(),
            user: sign.user().map(escape),
            host,
            namespace: sign.namespace().map(escape),
        })
    }

    /// The host to which the login goes, as in [`Permitted::host`].
    fn check_login(
        &self,
        policy: &AgentPolicy,
        key: &PublicKey<'_>,
        algorithm: SignAlgorithm,
        login: &Login<'_>,
        now: SystemTime,
    ) -> Result<Option<String>, Refusal> {
        let login_key = key_of_login(login, key).ok_or(Refusal::OtherKey)?;
        if login.algorithm != algorithm.name(&login_key).as_bytes() {
            return Err(Refusal::Algorithm);
        }
        let host = self.binds.prove_host(policy, login, now)?;
        if !policy.allows_user(login.user) {
            return Err(Refusal::User(login.user.to_owned()));
        }
        Ok(host)
    }

    fn check_sshsig(&self, policy: &AgentPolicy, signature: &SshSig<'_>) -> Result<(), Refusal> {
        if self.binds.is_forwarded() {
            return Err(Refusal::ForwardedSshSig);
        }
        if !policy.allows_namespace(signature.namespace) {
            return Err(Refusal::Namespace(signature.namespace.to_owned()));
        }
        Ok(())
    }

    fn refuse(&self, refusal: Refusal) -> Verdict<'static> {
        Verdict::Refuse(self.refused(refusal, Claims::default()))
    }

    fn refused(&self, refusal: Refusal, claimed: Claims) -> Refused {
        Refused { refusal, host: self.binds.host().map(str::to_owned), claimed }
    }
}

/// The key in `login`, if it is `key` or a certificate of `key`: where the agent has a key and the certificate is in a
/// file, ssh logs in with the certificate and asks the agent to sign with the key.
fn key_of_login<'a>(login: &Login<'a>, key: &PublicKey<'_>) -> Option<PublicKey<'a>> {
    let login_key = PublicKey::parse(login.key).ok()?;
    (login_key == *key || key.certificate.is_none() && login_key.plain == key.plain).then_some(login_key)
}

#[cfg(test)]
mod tests;
