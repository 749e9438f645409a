//! What the bridge sends along with an agent.

use proto::agent::{GitKey, KnownHost};

use super::multiplexer::Listing;

/// What the bridge sends along with an agent.
pub(crate) struct AgentOffer {
    /// Keys of the hosts that the agent may log in to.
    pub(crate) known_hosts: Vec<KnownHost>,
    /// The key of each repository that has one of its own.
    pub(crate) git_keys: Vec<GitKey>,
    /// The agent's keys.
    pub(crate) listing: Listing,
}
