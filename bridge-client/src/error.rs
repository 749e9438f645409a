//! Everything that can fail in a build, told apart by what someone can do about it.

use proto::TlsError;
use proto::agent::AgentId;
use thiserror::Error;

use crate::conf_source::{ConfSourceError, NoConf};
use crate::connect::error::{ConnectError, DialError, SessionError};
use crate::delivery::error::DeliveryError;
use crate::exec::error::LaunchError;
use crate::fetch::error::{FetchError, RefusedSecrets};
use crate::http::NoHttpRule;
use crate::mounted::FallbackError;
use crate::nesting::ParentError;

/// Everything that can fail before COMMAND starts, and what COMMAND may have left behind.
#[derive(Debug, Error)]
pub enum ClientError {
    /// A place holds something else than a usable conf.
    #[error(transparent)]
    ConfSource(#[from] ConfSourceError),
    /// No place holds a conf.
    #[error(transparent)]
    NoConf(#[from] NoConf),
    /// The conf cannot be used for TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Refused(#[from] RefusedSecrets),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error(transparent)]
    Fallback(#[from] FallbackError),
    #[error(transparent)]
    Parent(#[from] ParentError),
    /// The bridge does not offer the agent that the command line demands.
    #[error("the bridge does not offer the SSH agent {id} ({})", offered_agents(.offered))]
    NoSuchAgent {
        id: AgentId,
        /// The agents that it offers.
        offered: Vec<AgentId>,
    },
    /// The bridge has no rule for HTTP requests that the command line demands.
    #[error(transparent)]
    NoHttpRule(#[from] NoHttpRule),
    #[error(transparent)]
    Launch(#[from] LaunchError),
}

impl From<DialError> for ClientError {
    fn from(error: DialError) -> Self {
        Self::Connect(error.into())
    }
}

impl From<SessionError> for ClientError {
    fn from(error: SessionError) -> Self {
        Self::Connect(error.into())
    }
}

impl From<FetchError> for ClientError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Connect(error) => Self::Connect(error),
            FetchError::Refused(refused) => Self::Refused(refused),
            FetchError::Delivery(error) => Self::Delivery(error),
        }
    }
}

/// Most agents that an error lists. A bridge may offer thousands, with long names.
const MAX_LISTED: usize = 16;

fn offered_agents(agents: &[AgentId]) -> String {
    match agents {
        [] => "it offers none".to_owned(),
        agents => {
            let shown: Vec<&str> = agents.iter().take(MAX_LISTED).map(AgentId::as_str).collect();
            let more = agents.len() - shown.len();
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("it offers {}{more}", shown.join(", "))
        }
    }
}

impl ClientError {
    /// What to do about it, if an honest hint exists.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::ConfSource(error) => error.hint(),
            Self::NoConf(_) => Some(NoConf::hint()),
            Self::Fallback(error) => error.hint(),
            Self::Connect(error) => error.hint(),
            Self::Refused(refused) => refused.hint(),
            Self::NoSuchAgent { .. } => {
                Some("on the host: `secrets-bridge serve -A`, or `--ssh ID=SOCKET`".to_owned())
            }
            Self::NoHttpRule(_) => Some(NoHttpRule::hint()),
            Self::Launch(error) => error.hint(),
            Self::Tls(_) | Self::Delivery(_) | Self::Parent(_) => None,
        }
    }
}
