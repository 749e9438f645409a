//! Why a bridge does not start. What fails later goes to the client, the log and the audit.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::agent::AgentsError;
use crate::agent::socket::AgentSocketError;
use crate::ca::authority::CaError;
use crate::limits::LimitError;
use crate::secrets::store::SecretStoreError;

/// Why a bridge does not start. The caller can remedy each of these.
#[derive(Debug, Error)]
pub enum HostError {
    #[error("cannot listen on {at}")]
    Listen {
        /// Address, and port or range of ports.
        at: String,
        /// The cause for the last port tried.
        source: io::Error,
    },
    #[error(transparent)]
    Secrets(#[from] SecretStoreError),
    #[error(transparent)]
    Ca(#[from] CaError),
    #[error("cannot write the audit file {}", .path.display())]
    Audit { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Limits(#[from] LimitError),
    #[error(transparent)]
    Agents(#[from] AgentsError),
    #[error(transparent)]
    AgentSocket(#[from] AgentSocketError),
}
