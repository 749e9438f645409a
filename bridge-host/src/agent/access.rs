//! Who uses which agent.

use std::fmt;
use std::net::SocketAddr;

use proto::SessionId;

use super::agents::Agent;
use super::answers::Answers;
use super::upstream_pool::Turns;
use crate::recorder::Recorder;

/// Who sends requests to an agent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Requester {
    /// A client, in a session.
    Client { session: SessionId, peer: SocketAddr },
    /// A process of this host, at the socket of `--agent-socket`.
    LocalProcess,
}

/// The access of one requester to one agent.
#[derive(Clone, Copy)]
pub(crate) struct AgentAccess<'a> {
    pub(crate) recorder: &'a Recorder,
    pub(crate) agent: &'a Agent,
    pub(crate) requester: Requester,
    /// What a person has answered to this requester already.
    pub(crate) answers: &'a Answers,
    /// The requester's share of the connections to the host's agent.
    pub(crate) turns: &'a Turns,
}

impl fmt::Display for Requester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client { peer, session } => write!(f, "{}, session {}", peer.ip(), short(*session)),
            Self::LocalProcess => f.write_str("a process at --agent-socket"),
        }
    }
}

/// The beginning of the session's id, as far as people compare it.
fn short(session: SessionId) -> String {
    session.0.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
