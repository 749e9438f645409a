//! The agents of a bridge: their keys, and which of them are offered.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use proto::HostMessage;
use proto::agent::{AgentId, GitKey, Identity, KnownHost, Repository};
use proto::limits::{MAX_AGENT_HOSTS, MAX_COMMENT, MAX_IDENTITIES, MAX_IDENTITIES_SIZE, MAX_PUBLIC_KEY};
use ssh_policy::KeySelector;
use tokio::sync::Mutex as AsyncMutex;
use tracing::warn;

use super::config::{AgentConfig, AgentSource, AgentSpec};
use super::error::{AgentError, AgentsError};
use super::known_hosts_files;
use super::rules::Rules;
use super::upstream::{Listed, Upstream};
use super::upstream_pool::UpstreamPool;
use crate::agent_keys::KeyFiles;
use crate::prompt;

/// An agent is listed again because of unknown keys at most once in this time.
const RELIST_INTERVAL: Duration = Duration::from_millis(200);
/// Largest size of all known_hosts lines of an agent, and of all its keys for repositories, in bytes.
const MAX_LINES_SIZE: usize = 256 << 10;

/// Where the keys of an agent are; they were usable when the bridge started.
pub(crate) enum Keys {
    Upstream(UpstreamPool),
    Files(KeyFiles),
}

/// What an agent offers, and the messages that say so to clients. All sessions share them: such a message has up to
/// [`MAX_IDENTITIES_SIZE`] bytes.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) identities: Vec<Identity>,
    /// Whether every host gets the same keys.
    fixed: bool,
    /// The encoded [`HostMessage::Agent`].
    pub(crate) agent_message: Arc<[u8]>,
    /// The encoded [`HostMessage::Identities`].
    pub(crate) identities_message: Arc<[u8]>,
}

/// One agent.
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) keys: Keys,
    pub(crate) rules: Arc<Rules>,
    /// What it offered when it was last listed.
    listing: Mutex<Arc<Listing>>,
    /// Held while it is listed; the number of the last listing that has ended.
    turn: AsyncMutex<u64>,
    /// The number of the last listing that has begun.
    begun: AtomicU64,
    /// When it was last listed because of an unknown key.
    relisted: Mutex<Option<Instant>>,
}

/// The agents of a bridge.
pub struct Agents(Vec<Agent>);

impl Agents {
    /// Checks that each agent can be used, and reads all key files, for which it may ask for passphrases.
    ///
    /// # Errors
    /// [`AgentsError::Agent`] for the first agent that cannot be used, [`AgentsError::Hosts`] if the allowed hosts cannot be
    /// looked up.
    pub fn open(config: AgentConfig) -> Result<Self, AgentsError> {
        let AgentConfig { agents, mut policy, hosts, known_hosts, git_keys, max_signatures, confirm } =
            config;
        if hosts.is_empty() {
            known_hosts_files::check(&known_hosts)?;
        } else {
            policy.hosts = Some(known_hosts_files::look_up(&hosts, &known_hosts)?);
        }
        let rules = Arc::new(Rules::new(policy, confirm, git_keys, max_signatures));
        let open = |spec| Agent::open(spec, Arc::clone(&rules));
        agents.into_iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// No agents.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// In the order of the configuration.
    pub fn ids(&self) -> Vec<AgentId> {
        self.0.iter().map(|agent| agent.id.clone()).collect()
    }

    pub(crate) fn get(&self, id: &AgentId) -> Option<&Agent> {
        self.0.iter().find(|agent| agent.id == *id)
    }
}

impl Agent {
    fn open(spec: AgentSpec, rules: Arc<Rules>) -> Result<Self, AgentsError> {
        let AgentSpec { id, source } = spec;
        let keys = match Keys::open(source) {
            Ok(keys) => keys,
            Err(problem) => return Err(AgentsError::Agent { id, problem }),
        };
        Ok(Self {
            id,
            keys,
            rules,
            listing: Mutex::default(),
            turn: AsyncMutex::default(),
            begun: AtomicU64::default(),
            relisted: Mutex::default(),
        })
    }

    /// Lists its keys, as far as they are offered. An agent that does not answer offers none, with a warning. One listing
    /// answers all requests for one that were made before it began. As long as nothing changes, it is the same listing.
    pub(crate) async fn list(&self) -> Arc<Listing> {
        let begun = self.begun.load(Ordering::Relaxed);
        let mut ended = self.turn.lock().await;
        if *ended > begun {
            return self.last_listing();
        }
        let number = self.begun.fetch_add(1, Ordering::Relaxed) + 1;
        let listed = match &self.keys {
            Keys::Files(files) => Listed { identities: files.identities(), fixed: true },
            Keys::Upstream(upstream) => upstream.list().await.unwrap_or_else(|error| {
                warn!("SSH agent {} at {} does not answer: {error}", self.id, upstream.path().display());
                Listed { identities: Vec::new(), fixed: true }
            }),
        };
        *ended = number;
        self.remember(self.choose(listed.identities), listed.fixed)
    }

    fn remember(&self, identities: Vec<Identity>, fixed: bool) -> Arc<Listing> {
        let mut last = self.listing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = last.identities_message.is_empty();
        if is_first || last.identities != identities || last.fixed != fixed {
            let git_keys = self.git_keys(&identities);
            *last = Arc::new(Listing {
                agent_message: HostMessage::Agent { known_hosts: self.known_hosts(), git_keys }
                    .encode()
                    .into(),
                identities_message: HostMessage::Identities { fixed, identities: identities.clone() }
                    .encode()
                    .into(),
                identities,
                fixed,
            });
        }
        Arc::clone(&last)
    }

    /// The `identities` that policy offers, as far as they fit into a message.
    pub(crate) fn choose(&self, identities: Vec<Identity>) -> Vec<Identity> {
        let mut room = MAX_IDENTITIES_SIZE;
        let mut chosen = identities;
        chosen.retain_mut(|identity| {
            identity.comment.truncate(MAX_COMMENT);
            let size = identity.key.len() + identity.comment.len();
            let fits =
                identity.key.len() <= MAX_PUBLIC_KEY && size <= room && self.rules.policy.offers(identity);
            if fits {
                room -= size;
            }
            fits
        });
        chosen.truncate(MAX_IDENTITIES);
        chosen
    }

    /// What it offered when it was last listed.
    pub(crate) fn last_listing(&self) -> Arc<Listing> {
        Arc::clone(&self.listing.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Lists the agent again because a client asks for an unknown key, which may be new. `None` if that was done within
    /// [`RELIST_INTERVAL`]: a client that asks for unknown keys must not keep the agent busy.
    pub(crate) async fn relist_for_unknown_key(&self) -> Option<Arc<Listing>> {
        {
            let mut relisted = self.relisted.lock().unwrap_or_else(PoisonError::into_inner);
            if relisted.is_some_and(|relisted| relisted.elapsed() < RELIST_INTERVAL) {
                return None;
            }
            *relisted = Some(Instant::now());
        }
        Some(self.list().await)
    }

    /// known_hosts lines with the keys of the allowed hosts.
    fn known_hosts(&self) -> Vec<KnownHost> {
        let lines = self.rules.policy.hosts.iter().flat_map(|hosts| hosts.known_hosts_lines());
        let lines = lines.filter_map(|line| line.parse().ok()).take(MAX_AGENT_HOSTS);
        up_to(MAX_LINES_SIZE, lines, |line: &KnownHost| line.as_str().len())
    }

    /// The key of `identities` that git is to use for each repository.
    fn git_keys(&self, identities: &[Identity]) -> Vec<GitKey> {
        let git_key = |(repository, selector): &(Repository, KeySelector)| {
            let Some(identity) = identities.iter().find(|identity| selector.chooses(identity)) else {
                warn!("SSH agent {} has no key for {repository}: {selector}", self.id);
                return None;
            };
            Some(GitKey { repository: repository.clone(), key: identity.key.clone() })
        };
        let git_keys = self.rules.git_keys.iter().filter_map(git_key).take(MAX_AGENT_HOSTS);
        up_to(MAX_LINES_SIZE, git_keys, |git_key: &GitKey| git_key.key.len())
    }
}

impl Keys {
    fn open(source: AgentSource) -> Result<Self, AgentError> {
        match source {
            AgentSource::Socket(socket) => {
                let path = socket.path().to_owned();
                let upstream = Upstream(socket);
                upstream.look().map_err(|source| AgentError::Socket { path, source })?;
                Ok(Self::Upstream(UpstreamPool::new(upstream)))
            }
            AgentSource::KeyFiles(paths) => Ok(Self::Files(KeyFiles::load(&paths, &mut prompt::passphrase)?)),
        }
    }
}

/// The first of `items`, as long as their sizes together do not exceed `limit`: messages are limited.
fn up_to<T>(limit: usize, items: impl Iterator<Item = T>, size: impl Fn(&T) -> usize) -> Vec<T> {
    let mut room = limit;
    items
        .take_while(|item| {
            let fits = size(item) <= room;
            room = room.saturating_sub(size(item));
            fits
        })
        .collect()
}
