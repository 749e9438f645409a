//! The settings of a bridge.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use proto::Endpoint;
use proto::agent::AgentId;
use proto::tls::KeyExchange;

use crate::audit::AuditTarget;
use crate::error::HostError;
use crate::net::listener::{AllowFrom, Listen};

/// The settings of a bridge, apart from its secrets and agents.
#[derive(Debug, Clone)]
pub struct ServeConfig {
    pub listen: Listen,
    pub allow_from: AllowFrom,
    /// Endpoints for the conf, in front of the addresses of this machine.
    pub endpoints: Vec<Endpoint>,
    /// The key exchanges to accept.
    pub key_exchange: KeyExchange,
    /// The file that keeps CA, client key and port between runs; `None` keeps nothing.
    pub ca_key_store: Option<PathBuf>,
    /// Time after which the bridge ends by itself.
    pub lifetime: Option<Duration>,
    /// How many sessions the bridge admits in its life.
    pub max_sessions: Option<u32>,
    /// How many sessions may have a connection at once; `None` for what memory and descriptors allow.
    pub max_concurrent: Option<u32>,
    /// Bytes for what waits because of clients, at least [`MIN_MEMORY`](crate::MIN_MEMORY).
    pub max_memory: u64,
    /// Whether a client's `kill` ends the bridge.
    pub kill_allowed: bool,
    pub audit: AuditTarget,
    /// Agents that are also offered on this host, each at a socket of this path.
    pub agent_sockets: Vec<(AgentId, PathBuf)>,
}

impl ServeConfig {
    /// Where to listen, if an earlier run kept `kept_port`: at that port, unless the settings name one.
    pub(crate) fn listen_at(&self, kept_port: Option<u16>) -> Listen {
        match kept_port {
            Some(port) if self.listen.ports == (0..=0) => {
                Listen { address: self.listen.address, ports: port..=port }
            }
            _ => self.listen.clone(),
        }
    }

    pub(crate) fn audit_error(&self, source: io::Error) -> HostError {
        let path = match &self.audit {
            AuditTarget::File(path) | AuditTarget::Fifo(path) => path.clone(),
            AuditTarget::None | AuditTarget::Stderr => PathBuf::from("-"),
        };
        HostError::Audit { path, source }
    }
}
