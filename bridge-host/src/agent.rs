//! SSH agents: private keys stay on this host, and clients get the signatures that policy permits.
//!
//! A client's `channels`, or a process at the `socket`, sends requests to a `connection`. The crate `ssh-policy`
//! parses each request and decides about it; what it permits is written anew and goes `upstream`, over one of the few
//! connections of `upstream_pool`, to the agent of this host, or to keys that were read from files. `confirmation` asks a
//! person first, where that is wanted, and `answers` remembers the answers; `audit` records what was asked and done.

mod access;
mod agents;
mod answers;
mod audit;
mod config;
mod confirmation;
mod connection;
mod error;
mod known_hosts_files;
mod rules;
mod upstream;
mod upstream_pool;

pub(crate) mod channels;

pub(crate) mod socket;

pub use agents::Agents;
pub use config::{AgentConfig, AgentSource, AgentSpec};
pub use error::{AgentError, AgentsError};
pub use known_hosts_files::{KnownHostsError, MAX_KNOWN_HOSTS_FILE};
pub use upstream::{is_agent, usual_agent};

pub(crate) use access::{AgentAccess, Requester};
pub(crate) use answers::Answers;
pub(crate) use upstream_pool::Turns;
