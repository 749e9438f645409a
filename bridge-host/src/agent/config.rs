//! Which agents a bridge offers, and what they may be used for.

use proto::agent::{AgentId, Repository};
use ssh_policy::{AgentPolicy, AllowedHostSpec, KeySelector};

use crate::named_file::NamedFile;

/// Where the keys of an agent are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentSource {
    /// With the agent that listens at this socket or named pipe.
    Socket(NamedFile),
    /// In these files. They are read when the bridge starts; the keys then are in this process's memory only.
    KeyFiles(Vec<NamedFile>),
}

/// An agent to offer.
#[derive(Debug, Clone)]
pub struct AgentSpec {
    /// The name by which clients ask for it.
    pub id: AgentId,
    /// Its keys.
    pub source: AgentSource,
}

/// All agents of a bridge, and what they may be used for.
#[derive(Debug, Default)]
pub struct AgentConfig {
    /// The agents, each with an id of its own.
    pub agents: Vec<AgentSpec>,
    /// What may be signed. Its `hosts` are set from the next two fields.
    pub policy: AgentPolicy,
    /// Hosts to which a login may be signed; if empty, any.
    pub hosts: Vec<AllowedHostSpec>,
    /// Files with the keys of `hosts`; if empty, those that OpenSSH reads.
    pub known_hosts: Vec<NamedFile>,
    /// The key that git is to use for each repository.
    pub git_keys: Vec<(Repository, KeySelector)>,
    /// Most signatures in the bridge's life, of all agents together.
    pub max_signatures: Option<u64>,
    /// Whether a person is asked before a key is used.
    pub confirm: bool,
}
