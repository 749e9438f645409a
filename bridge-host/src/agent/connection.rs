//! One connection to an agent: asks policy about each request, and carries out the verdict.

use std::io;
use std::time::SystemTime;

use proto::agent::{Identity, Writer, identities_answer, number};
use proto::limits::MAX_BINDS;
use ssh_policy::{ConnectionState, Permitted, Refused, Verdict};
use tracing::warn;

use super::access::AgentAccess;
use super::agents::Keys;
use super::audit::Unsigned;
use super::confirmation::Denial;
use super::upstream_pool::Owner;

/// What a bind takes besides its bytes: two allocations, and the name of the host.
const BIND_OVERHEAD: usize = 512;

/// The reply to one request.
pub(crate) struct AgentReply {
    /// The message of the agent protocol.
    pub(crate) message: Vec<u8>,
    /// The reason, if the request was refused.
    pub(crate) refusal: Option<String>,
    /// Whether the request was a session-bind.
    pub(crate) to_bind: bool,
}

/// One connection of a requester.
pub(crate) struct AgentConnection<'a> {
    access: AgentAccess<'a>,
    state: ConnectionState,
    /// The use of the host's agent; `None` if the keys are in files.
    upstream: Option<Owner<'a>>,
    /// The binds that policy accepted, for each new connection to the host's agent: keys that are restricted to certain
    /// hosts need them.
    binds: Vec<Vec<u8>>,
}

impl<'a> AgentConnection<'a> {
    pub(crate) fn new(access: AgentAccess<'a>) -> Self {
        let upstream = match &access.agent.keys {
            Keys::Upstream(pool) => Some(pool.owner(access.turns)),
            Keys::Files(_) => None,
        };
        Self { access, state: ConnectionState::default(), upstream, binds: Vec::new() }
    }

    /// The reply to one message of the agent protocol, which has no length prefix.
    pub(crate) async fn reply(&mut self, message: &[u8]) -> AgentReply {
        let agent = self.access.agent;
        let policy = &agent.rules.policy;
        let now = SystemTime::now();
        let mut verdict = self.state.decide(policy, &agent.last_listing().identities, message, now);
        if matches!(verdict, Verdict::UnknownKey { .. })
            && let Some(offered) = agent.relist_for_unknown_key().await
            && let Verdict::UnknownKey { sign, .. } = verdict
        {
            verdict = self.state.decide_sign(policy, &offered.identities, sign, now);
        }
        match verdict {
            Verdict::List => self.list().await,
            Verdict::AcceptBind { upstream } => self.accept_bind(upstream),
            Verdict::RefuseBind(refused) => AgentReply { to_bind: true, ..self.refuse(&refused) },
            Verdict::Sign(permitted) => self.sign(permitted).await,
            Verdict::UnknownKey { refused, .. } | Verdict::Refuse(refused) => self.refuse(&refused),
        }
    }

    fn accept_bind(&mut self, bind: Vec<u8>) -> AgentReply {
        // Policy does not count a bind that repeats the last one, so there may be any number of those.
        if self.binds.len() < MAX_BINDS && self.binds.last() != Some(&bind) {
            self.binds.push(bind);
        }
        // The host's agent keeps the binds of a connection. A new connection gets all of them.
        if let Some(upstream) = &self.upstream {
            upstream.forget_binds();
        }
        AgentReply { to_bind: true, ..success(vec![number::SUCCESS]) }
    }

    async fn list(&self) -> AgentReply {
        let agent = self.access.agent;
        match &agent.keys {
            // For the side effect: a sign request is judged by what was listed last, and nothing may have been yet.
            Keys::Files(_) => self.listed(&agent.list().await.identities),
            Keys::Upstream(_) => match self.list_upstream().await {
                Ok(identities) => self.listed(&agent.choose(identities)),
                Err(error) => self.upstream_failed(&error),
            },
        }
    }

    fn listed(&self, identities: &[Identity]) -> AgentReply {
        self.access.record_listing(identities.len());
        success(identities_answer(identities))
    }

    /// Bytes of the binds that this connection keeps: here for the host's agent, and in policy.
    pub(crate) fn size_of_binds(&self) -> usize {
        self.binds.iter().map(|bind| 2 * bind.len() + BIND_OVERHEAD).sum()
    }

    async fn sign(&self, permitted: Permitted) -> AgentReply {
        let Some(reserved) = self.access.agent.rules.reserve_signature() else {
            return self.deny(&permitted, Denial::SignatureLimit);
        };
        if let Err(denial) = self.access.confirm(&permitted).await {
            return self.deny(&permitted, denial);
        }
        if let Err(error) = self.access.record_granted(&permitted) {
            warn!("signature refused: cannot write the audit record: {error}");
            self.access.recorder.count_refusal();
            return failure("the host cannot write its audit record");
        }
        let signed = match &self.access.agent.keys {
            Keys::Files(files) => Ok(files.sign(&permitted.key.key, &permitted.data, permitted.flags)),
            Keys::Upstream(_) => self.sign_upstream(&permitted.upstream).await,
        };
        match signed {
            Ok(Some(signature)) => {
                reserved.use_up();
                self.access.log_signature(&permitted);
                let mut answer = Writer::new(number::SIGN_RESPONSE);
                answer.string(&signature);
                success(answer.finish())
            }
            Ok(None) => {
                self.access.record_unsigned(&permitted, Unsigned::Declined);
                failure("the agent on the host declined to sign")
            }
            Err(error) => {
                self.access.record_unsigned(&permitted, Unsigned::Failed);
                self.upstream_failed(&error)
            }
        }
    }

    async fn sign_upstream(&self, request: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let upstream = self.upstream.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        upstream.sign(&self.binds, request).await
    }

    async fn list_upstream(&self) -> io::Result<Vec<Identity>> {
        let upstream = self.upstream.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        upstream.list(&self.binds).await
    }

    fn upstream_failed(&self, error: &io::Error) -> AgentReply {
        warn!("SSH agent {} does not answer: {error}", self.access.agent.id);
        failure("the agent on the host does not answer")
    }

    fn refuse(&self, refused: &Refused) -> AgentReply {
        self.access.record_refused(refused);
        failure(refused.refusal.to_string())
    }

    fn deny(&self, permitted: &Permitted, denial: Denial) -> AgentReply {
        self.access.record_denied(permitted, denial);
        failure(denial.reason())
    }
}

fn success(message: Vec<u8>) -> AgentReply {
    AgentReply { message, refusal: None, to_bind: false }
}

fn failure(reason: impl Into<String>) -> AgentReply {
    AgentReply { refusal: Some(reason.into()), ..success(vec![number::FAILURE]) }
}
