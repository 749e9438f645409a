//! One client's connection to an agent, and the verdict on each of its requests: a closed table.

use std::time::SystemTime;

use proto::agent::{Identity, Writer, number};
use proto::escape;

use super::binds::Binds;
use super::policy::AgentPolicy;
use super::public_key::PublicKey;
use super::refusal::Refusal;
use super::request::{Request, SignRequest};
use super::sign_algorithm::{SignAlgorithm, WrongFlags};
use super::sshsig::SshSig;
use super::userauth::{Login, NotALogin};
use super::verdict::{Claims, Permitted, Refused, Verdict};

/// What is remembered of one connection: its binds.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    binds: Binds,
}

/// What a client wants signed.
enum Data<'a> {
    Login(Login<'a>),
    SshSig(SshSig<'a>),
}

impl Connection {
    /// A connection on which nothing was said yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The verdict on a request. `offered` are all keys of the agent behind the bridge: the policy chooses among them.
    pub(crate) fn judge(
        &mut self,
        policy: &AgentPolicy,
        offered: &[Identity],
        request: &[u8],
        now: SystemTime,
    ) -> Verdict {
        let mut claimed = Claims::default();
        let verdict = match Request::parse(request) {
            Err(_) => Err(Refusal::Malformed),
            Ok(Request::List) => Ok(Verdict::List),
            Ok(Request::Bind(payload)) => {
                self.binds.accept(policy, payload, now).map(|upstream| Verdict::Bind { upstream })
            }
            Ok(Request::Sign(sign)) => {
                self.judge_sign(policy, offered, sign, now, &mut claimed).map(Verdict::Sign)
            }
            Ok(Request::Change(change)) => Err(Refusal::ChangesAgent(change)),
            Ok(Request::Other(other)) => Err(other.into()),
        };
        verdict.unwrap_or_else(|refusal| {
            Verdict::Refuse(Refused { refusal, host: self.binds.host().map(str::to_owned), claimed })
        })
    }

    fn judge_sign(
        &self,
        policy: &AgentPolicy,
        offered: &[Identity],
        sign: SignRequest<'_>,
        now: SystemTime,
        claimed: &mut Claims,
    ) -> Result<Permitted, Refusal> {
        // First what can be said about the request, so that the audit has it whatever is refused.
        let key = PublicKey::parse(sign.key).ok();
        let identity = offered.iter().find(|identity| identity.key == sign.key && policy.offers(identity));
        let data = Data::parse(sign.data);
        claimed.fingerprint = key.as_ref().map(|key| key.fingerprint().to_string());
        claimed.comment = identity.map(|identity| escape(&String::from_utf8_lossy(&identity.comment)));
        match &data {
            Ok(Data::Login(login)) => claimed.user = Some(escape(login.user)),
            Ok(Data::SshSig(signature)) => claimed.namespace = Some(escape(signature.namespace)),
            Err(_) => {}
        }

        self.binds.poisoned()?;
        let (Some(key), Some(identity)) = (key, identity) else { return Err(Refusal::KeyNotOffered) };
        let algorithm = SignAlgorithm::of(&key, sign.flags)?;
        let (data, host) = match data? {
            Data::Login(login) => {
                if login.key != sign.key {
                    return Err(Refusal::OtherKey);
                }
                if login.algorithm != algorithm.name(&key).as_bytes() {
                    return Err(Refusal::Algorithm);
                }
                let host = self.binds.prove_host(policy, &login, now)?;
                if !policy.allows_user(login.user) {
                    return Err(Refusal::User(login.user.to_owned()));
                }
                (login.encode(), host)
            }
            Data::SshSig(signature) => {
                if !policy.allows_namespace(signature.namespace) {
                    return Err(Refusal::Namespace(signature.namespace.to_owned()));
                }
                (signature.encode(), None)
            }
        };
        let mut upstream = Writer::new(number::SIGN_REQUEST);
        upstream.string(&key.encode()).string(&data).u32(algorithm.flags());
        Ok(Permitted {
            upstream: upstream.finish(),
            data,
            flags: algorithm.flags(),
            key: identity.clone(),
            fingerprint: key.fingerprint().to_string(),
            user: claimed.user.clone(),
            host,
            namespace: claimed.namespace.clone(),
        })
    }
}

impl<'a> Data<'a> {
    fn parse(data: &'a [u8]) -> Result<Self, Refusal> {
        if SshSig::is_meant(data) {
            return SshSig::parse(data).map(Self::SshSig).map_err(|_| Refusal::NotAnSshSig);
        }
        match Login::parse(data) {
            Ok(login) => Ok(Self::Login(login)),
            Err(NotALogin::Malformed) => Err(Refusal::NotALogin),
            Err(NotALogin::UserName) => Err(Refusal::UserName),
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
