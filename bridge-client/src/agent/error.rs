//! Why the agent cannot be offered to COMMAND.

use std::io;

use thiserror::Error;

use crate::ssh::tools::SshToolsError;

/// Why the agent cannot be offered to COMMAND.
#[derive(Debug, Error)]
pub enum AgentError {
    #[error("cannot offer the SSH agent to COMMAND: {0}")]
    Socket(io::Error),
    #[error(transparent)]
    Tools(#[from] SshToolsError),
}
