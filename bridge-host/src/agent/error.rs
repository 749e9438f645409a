//! Why agents cannot be offered.

use std::io;
use std::path::PathBuf;

use proto::agent::AgentId;
use thiserror::Error;

use super::known_hosts_files::KnownHostsError;
use crate::agent_keys::KeyFileError;

/// Why the agents cannot be offered.
#[derive(Debug, Error)]
pub enum AgentsError {
    #[error("SSH agent {id}: {problem}")]
    Agent { id: AgentId, problem: AgentError },
    #[error(transparent)]
    Hosts(#[from] KnownHostsError),
}

/// Why one agent cannot be offered.
#[derive(Debug, Error)]
pub enum AgentError {
    /// Nothing that may be an agent listens at the path.
    #[error("cannot use {}: {source}", .path.display())]
    Socket {
        /// The socket or named pipe.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
    /// A key file cannot be used.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
}
