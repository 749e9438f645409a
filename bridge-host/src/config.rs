//! What `serve` and `run` were asked for.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use proto::Endpoint;
use proto::agent::AgentId;
use proto::tls::KeyExchange;

use crate::audit::AuditTarget;
use crate::error::HostError;
use crate::net::listener::{AllowFrom, Listen};

/// Everything about a bridge but its secrets.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    /// Where to listen.
    pub listen: Listen,
    /// Whom to hear.
    pub allow_from: AllowFrom,
    /// Endpoints for the conf, before the ones that are found.
    pub endpoints: Vec<Endpoint>,
    /// Which key exchanges to accept.
    pub key_exchange: KeyExchange,
    /// Where CA, client key and port are kept between runs; `None` keeps nothing.
    pub ca_key_store: Option<PathBuf>,
    /// When the bridge ends by itself.
    pub lifetime: Option<Duration>,
    /// How many sessions it ever admits.
    pub max_sessions: Option<u32>,
    /// Whether a client's `kill` ends it.
    pub kill_allowed: bool,
    /// Where audit records go.
    pub audit: AuditTarget,
    /// Agents that are offered as sockets on this host too, and where.
    pub agent_sockets: Vec<(AgentId, PathBuf)>,
}

impl ServeConfig {
    /// Where to listen, given the port that an earlier run kept: it counts unless another one is asked for.
    pub(crate) fn listen_at(&self, kept_port: Option<u16>) -> Listen {
        match kept_port {
            Some(port) if self.listen.ports == (0..=0) => {
                Listen { address: self.listen.address, ports: port..=port }
            }
            _ => self.listen.clone(),
        }
    }

    /// An error about the audit's file.
    pub(crate) fn audit_error(&self, source: io::Error) -> HostError {
        let path = match &self.audit {
            AuditTarget::File(path) => path.clone(),
            AuditTarget::None | AuditTarget::Stderr => PathBuf::from("-"),
        };
        HostError::Audit { path, source }
    }
}
