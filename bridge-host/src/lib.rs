//! The host side: it has the secrets, and gives them to whoever proves the conf's client key.
//!
//! The flow, in the order of the files: `config` says what was asked for; `ca` mints this run's CA; `net::listener`
//! binds; `bridge` accepts, bounds and ends. A `net::connection` waits in `net::pending`, is proven by
//! `net::handshake`, admitted by `net::upgrade` and `session::registry`, and becomes a `session`, which gives what
//! `secrets` has and what the `audit` has written down. `state` is what all connections share. SSH agents are a part of
//! their own: [`agent`], with `agent_keys` for keys in files and `prompt` for questions to a person.

pub mod agent;
pub mod private_file;
pub mod prompt;

mod agent_keys;
mod audit;
mod bridge;
mod ca;
mod clock;
mod config;
mod error;
mod net;
mod random;
mod recorder;
mod secrets;
mod session;
mod state;

pub use agent::socket::AgentSocketError;
pub use agent::{
    AgentConfig, AgentError, AgentSource, AgentSpec, Agents, AgentsError, is_agent, usual_agent,
};
pub use agent_keys::{KeyFileError, KeyProblem};
pub use audit::AuditTarget;
pub use bridge::{Bridge, Ended};
pub use ca::authority::{CaError, MintError};
pub use ca::key_store::CaKeyStoreError;
pub use config::ServeConfig;
pub use error::HostError;
pub use net::listener::{AllowFrom, Listen};
pub use random::RandomError;
pub use recorder::Summary;
pub use secrets::git_credential::{GitCredentialProblem, GitCredentialSource, GitCredentialSpec};
pub use secrets::source::{SecretSpec, Source, SourceError};
pub use secrets::store::{SecretStore, SecretStoreError};
