//! Why COMMAND cannot be launched, or has to be reported as failed.

use std::io;

use thiserror::Error;

use crate::agent::AgentError;
use crate::delivery::error::DeliveryError;
use crate::git::credential_helper::GitSetupError;
use crate::http::HttpError;
use crate::leak_check::Leaked;

/// Why COMMAND cannot be launched, or has to be reported as failed.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// Signals cannot be handled, or no directory made, for what has to live as long as COMMAND.
    #[error("cannot prepare for COMMAND: {0}")]
    Prepare(io::Error),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
    #[error(transparent)]
    Agent(#[from] AgentError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Git(#[from] GitSetupError),
    /// The system cannot start COMMAND: `NotFound` if there is no such program.
    #[error("cannot start COMMAND: {0}")]
    Start(io::Error),
    /// COMMAND succeeded, and a part of its output is lost.
    #[error("cannot write COMMAND's output: {0}")]
    Output(io::Error),
    /// COMMAND succeeded, and wrote secrets to files.
    #[error(transparent)]
    Leaked(#[from] Leaked),
    /// COMMAND succeeded, and what it wrote could not be searched.
    #[error("the leak check failed: {0}")]
    LeakCheck(io::Error),
}

impl LaunchError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Leaked(_) => Some(Leaked::hint().to_owned()),
            Self::Prepare(_)
            | Self::Delivery(_)
            | Self::Agent(_)
            | Self::Http(_)
            | Self::Git(_)
            | Self::Start(_)
            | Self::Output(_)
            | Self::LeakCheck(_) => None,
        }
    }
}
