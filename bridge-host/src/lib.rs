//! The host side: it has the secrets, and gives them to whoever proves the conf's client key.
//!
//! The flow, in the order of the files: [`config`] says what was asked for; `authority` mints this run's CA;
//! `listener` binds; `bridge` accepts, bounds and ends. A `connection` waits in the `waiting_room`, is proven by the
//! `handshake`, admitted by `upgrade` and `sessions`, and becomes a `session`, which gives what `store` and `source`
//! have and what the `audit` has written down. `shared` is what all connections have in common. SSH agents are a part of
//! their own: [`agent`], with [`agent_keys`] for keys in files and [`prompt`] for questions to a person.

pub mod agent;
pub mod agent_keys;
pub mod audit;
pub mod bridge;
pub mod config;
pub mod error;
pub mod git_credential;
pub mod listener;
pub mod private_file;
pub mod prompt;
pub mod source;
pub mod store;

mod addresses;
mod authority;
mod ca_key_store;
mod clock;
mod command;
mod connection;
mod handshake;
mod session;
mod sessions;
mod shared;
mod upgrade;
mod waiting_room;

pub use agent::{AgentConfig, AgentError, AgentSource, AgentSpec, Agents, HostProof, is_agent, usual_agent};
pub use audit::AuditTarget;
pub use bridge::{Bridge, Ended};
pub use config::ServeConfig;
pub use error::{CaKeyStoreError, HostError, SourceError};
pub use git_credential::{GitCredentialProblem, GitCredentialSource, GitCredentialSpec};
pub use listener::{AllowFrom, Listen};
pub use shared::Summary;
pub use source::{SecretSpec, Source};
pub use store::SecretStore;
