//! Why the agent cannot be offered to COMMAND.

use std::io;

use thiserror::Error;

use crate::delivery::access::AccessError;
use crate::ssh::tools::SshToolsError;

/// Why the agent cannot be offered to COMMAND.
#[derive(Debug, Error)]
pub enum AgentError {
    #[error("cannot offer the SSH agent to COMMAND: {0}")]
    Socket(io::Error),
    /// Its socket cannot have the requested owner or mode.
    #[error("cannot offer the SSH agent to COMMAND: {0}")]
    Access(#[from] AccessError),
    #[error(transparent)]
    Tools(#[from] SshToolsError),
}
