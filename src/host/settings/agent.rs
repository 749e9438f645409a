//! The settings of SSH agents, from the command line or a project file.

use std::path::PathBuf;

use bridge_host::{AgentConfig, AgentSource, AgentSpec, NamedFile, usual_agent};
use proto::agent::{AgentId, Repository};
use ssh_policy::{AllowedHostSpec, HostProof, KeySelector};

use crate::host::settings::named_or;
use crate::usage::UsageError;

#[derive(Debug)]
pub(crate) struct RequestedAgent {
    pub(crate) id: AgentId,
    /// `None`: the agent of `SSH_AUTH_SOCK`, which is looked up later.
    pub(crate) source: Option<AgentSource>,
}

/// One field for each option; `None`, empty or `false` if it is not given.
#[derive(Debug, Default)]
pub(crate) struct AgentSettings {
    pub(crate) agents: Vec<RequestedAgent>,
    pub(crate) keys: Option<Vec<KeySelector>>,
    pub(crate) hosts: Option<Vec<AllowedHostSpec>>,
    pub(crate) known_hosts: Option<Vec<NamedFile>>,
    pub(crate) host_proof: Option<HostProof>,
    pub(crate) users: Option<Vec<String>>,
    pub(crate) sshsig_namespaces: Option<Vec<String>>,
    pub(crate) forwarding: bool,
    pub(crate) max_signatures: Option<u64>,
    pub(crate) confirm: bool,
    pub(crate) git_keys: Vec<(Repository, KeySelector)>,
    pub(crate) sockets: Vec<(AgentId, PathBuf)>,
}

/// The agents, and the sockets of `--agent-socket`.
pub(crate) type ResolvedAgents = (AgentConfig, Vec<(AgentId, PathBuf)>);

impl AgentSettings {
    /// As [`super::Settings::or`].
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            agents: named_or(self.agents, file.agents, |a, b| a.id == b.id),
            keys: self.keys.or(file.keys),
            hosts: self.hosts.or(file.hosts),
            known_hosts: self.known_hosts.or(file.known_hosts),
            host_proof: self.host_proof.or(file.host_proof),
            users: self.users.or(file.users),
            sshsig_namespaces: self.sshsig_namespaces.or(file.sshsig_namespaces),
            forwarding: self.forwarding || file.forwarding,
            max_signatures: self.max_signatures.or(file.max_signatures),
            confirm: self.confirm || file.confirm,
            git_keys: named_or(self.git_keys, file.git_keys, |a, b| a.0 == b.0),
            sockets: named_or(self.sockets, file.sockets, |a, b| a.0 == b.0),
        }
    }

    /// # Errors
    /// [`UsageError`]: an option limits agents and none is offered, or there is no agent to offer.
    pub(crate) fn resolve(self) -> Result<ResolvedAgents, UsageError> {
        if self.agents.is_empty() {
            return match self.used_without_agent() {
                None => Ok((AgentConfig::default(), Vec::new())),
                Some(option) => Err(UsageError::option(option, "no SSH agent is offered: add -A or --ssh")),
            };
        }
        let mut config = AgentConfig {
            agents: self.agents.into_iter().map(spec).collect::<Result<_, _>>()?,
            hosts: self.hosts.unwrap_or_default(),
            known_hosts: self.known_hosts.unwrap_or_default(),
            git_keys: self.git_keys,
            max_signatures: self.max_signatures,
            confirm: self.confirm,
            ..AgentConfig::default()
        };
        config.policy.keys = self.keys.unwrap_or_default();
        config.policy.host_proof = self.host_proof.unwrap_or_default();
        config.policy.users = self.users.unwrap_or_default();
        config.policy.sshsig_namespaces = self.sshsig_namespaces.unwrap_or_default();
        config.policy.forwarding = self.forwarding;
        if config.hosts.is_empty() {
            tracing::warn!(
                "without --ssh-allow-host, the build may log in to any host with {}",
                if config.policy.keys.is_empty() { "every key of the agent" } else { "the keys offered" }
            );
        }
        Ok((config, self.sockets))
    }

    /// An option that has no effect without an agent. It is an error, because its user relies on it.
    fn used_without_agent(&self) -> Option<&'static str> {
        let used = [
            (self.keys.is_some(), "--ssh-key"),
            (self.hosts.is_some(), "--ssh-allow-host"),
            (self.known_hosts.is_some(), "--ssh-known-hosts"),
            (self.host_proof.is_some(), "--ssh-host-proof"),
            (self.users.is_some(), "--ssh-allow-user"),
            (self.sshsig_namespaces.is_some(), "--ssh-allow-sshsig"),
            (self.forwarding, "--ssh-allow-forwarding"),
            (self.max_signatures.is_some(), "--ssh-max-signatures"),
            (self.confirm, "--ssh-confirm"),
            (!self.git_keys.is_empty(), "--git-key"),
            (!self.sockets.is_empty(), "--agent-socket"),
        ];
        used.iter().find(|(used, _)| *used).map(|(_, option)| *option)
    }
}

fn spec(agent: RequestedAgent) -> Result<AgentSpec, UsageError> {
    let source = match agent.source {
        Some(source) => source,
        None => {
            let named = std::env::var_os("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty());
            let socket = named.map(PathBuf::from).or_else(usual_agent);
            AgentSource::Socket(NamedFile::typed(socket.ok_or_else(|| {
                UsageError::option(
                    "--ssh",
                    "no agent to offer, as SSH_AUTH_SOCK is not set: start one (ssh-agent), or name a socket or key files \
                     (ID=PATH)",
                )
            })?))
        }
    };
    Ok(AgentSpec { id: agent.id, source })
}
