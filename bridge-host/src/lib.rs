//! The host side of secrets-bridge: it has the secrets, and sends them to clients that prove the conf's client key.
//!
//! `bridge` holds it together: it takes the settings from `config`, has `ca` mint the CA of this run, binds
//! `net::listener`, accepts connections, and ends.
//!
//! A connection is `net::pending` until `net::handshake` has proven its client and `net::upgrade` has made it a
//! websocket. `state` admits it to a `session`, of which `session::registry` keeps track. `session::decide` reads
//! the secrets of `secrets`, and `audit` has a record before a byte leaves.
//!
//! SSH agents are a part of their own: `agent`, with `agent_keys` for keys in files and `prompt` for questions to a
//! person. What an agent may sign is decided in the crate `ssh-policy`.
//!
//! So are the HTTP requests that the host makes for builds: `http`. What they may do is decided in `http-policy`.

pub mod child;
pub mod fuzzing;
pub mod private_file;

mod agent;
mod agent_keys;
mod audit;
mod bridge;
mod ca;
mod clock;
mod config;
mod descriptors;
mod error;
mod http;
mod limits;
mod memory;
mod named_file;
mod net;
mod process_tree;
mod program;
mod prompt;
mod queue;
mod random;
mod recorder;
mod secrets;
mod session;
mod state;

/// The part of the tests' harness that says what a test needs, at the path by which its macro finds it.
#[cfg(test)]
mod support {
    pub(crate) use super::require;
}
#[cfg(test)]
#[path = "../../tests/support/require.rs"]
#[allow(dead_code, clippy::panic, unreachable_pub, reason = "it has the needs of all tests, and fails them")]
mod require;

pub use agent::socket::AgentSocketError;
pub use agent::{
    AgentConfig, AgentError, AgentSource, AgentSpec, Agents, AgentsError, KnownHostsError,
    MAX_KNOWN_HOSTS_FILE, is_agent, usual_agent,
};
pub use agent_keys::{KeyFileError, KeyProblem};
pub use audit::AuditTarget;
pub use bridge::{Bridge, BridgeEnd};
pub use ca::authority::{CaError, MintError};
pub use ca::key_store::CaKeyStoreError;
pub use config::ServeConfig;
pub use error::HostError;
pub use http::{HttpCredentialSource, HttpCredentialSpec, HttpCredentials, HttpCredentialsError, RootsError};
pub use limits::{DEFAULT_MEMORY, LimitError, MIN_MEMORY};
pub use named_file::{Contents, NamedFile};
pub use net::listener::{AllowFrom, Listen};
pub use program::find_program;
pub use prompt::PromptError;
pub use random::RandomError;
pub use recorder::{HttpCounts, Summary};
pub use secrets::git_credential::{GitCredentialProblem, GitCredentialSource, GitCredentialSpec};
pub use secrets::retries::NextRun;
pub use secrets::source::{SecretSpec, Source, SourceError};
pub use secrets::store::{Inspect, SecretStore, SecretStoreError};
