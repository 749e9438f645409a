//! SSH agents: keys that stay here, and signatures that policy permits.
//!
//! An agent's keys are `upstream`, behind a socket of this host's, or in key files. Whoever asks (a session's
//! `channels`, or a process at the `local_socket`) has an `answering` connection: `request` reads what is asked,
//! `policy` decides, with `session_bind`, `userauth`, `sshsig`, `known_hosts` and `allowed_hosts`, and only what was
//! read and written again goes on. Where a person is to be asked, `grants` remembers what was permitted.
//!
//! Everything of SSH is read here rather than by a crate for SSH keys: a bind's host key may be a certificate, nothing
//! may follow an end, and every value has to encode to the bytes it came from.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proto::agent::{AgentId, GitKey, Identity, KnownHost, Repository};
use proto::limits::{MAX_AGENT_HOSTS, MAX_COMMENT, MAX_IDENTITIES, MAX_IDENTITIES_SIZE, MAX_PUBLIC_KEY};
use ssh_policy::{AgentPolicy, AllowedHostSpec, KeySelector};
use tracing::warn;

use crate::agent_keys::KeyFiles;
use crate::prompt::{self, Confirmer};

pub(crate) mod channels;
pub(crate) mod connection;
pub(crate) mod local_socket;

mod audit;
mod grants;
mod known_hosts_files;
// For agents of Windows only; it is text and bytes, and tested everywhere.
#[cfg(any(windows, test))]
mod socket_file;
mod upstream;

pub use known_hosts_files::KnownHostsError;
pub use upstream::{is_agent, usual_agent};

pub(crate) use grants::Grants;

use upstream::{Listed, Upstream};

/// An agent is looked at for the sake of unknown keys only so often.
const FRESH: Duration = Duration::from_millis(200);
/// All known_hosts lines of an agent together, and all its keys for repositories, in bytes.
const MAX_LINES_SIZE: usize = 256 << 10;

/// Where an agent's keys are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentSource {
    /// With the agent that listens there.
    Socket(PathBuf),
    /// In these files; they are read at the start, and their keys live in memory only.
    KeyFiles(Vec<PathBuf>),
}

/// An agent that the bridge is to offer.
#[derive(Debug, Clone)]
pub struct AgentSpec {
    /// Its id.
    pub id: AgentId,
    /// Its keys.
    pub source: AgentSource,
}

/// All agents, and what they may be used for.
#[derive(Debug, Default)]
pub struct AgentConfig {
    /// The agents.
    pub agents: Vec<AgentSpec>,
    /// What may be signed; its `hosts` are filled from the next two.
    pub policy: AgentPolicy,
    /// Hosts that may be logged in to; all, if there are none here.
    pub hosts: Vec<AllowedHostSpec>,
    /// Files with their keys; the usual ones, if there are none here.
    pub known_hosts: Vec<PathBuf>,
    /// Which key is for which repository.
    pub git_keys: Vec<(Repository, KeySelector)>,
    /// How many signatures there may be in the bridge's life.
    pub max_signatures: Option<u64>,
    /// Whether a person has to permit each use.
    pub confirm: bool,
}

/// What all agents of a bridge have in common.
pub(crate) struct Rules {
    pub(crate) policy: AgentPolicy,
    pub(crate) confirmer: Option<Confirmer>,
    git_keys: Vec<(Repository, KeySelector)>,
    signatures_left: AtomicU64,
}

/// Where an agent's keys are, and they are usable.
pub(crate) enum Keys {
    Behind(Upstream),
    Here(KeyFiles),
}

/// An agent.
pub(crate) struct Agent {
    pub(crate) id: AgentId,
    pub(crate) keys: Keys,
    pub(crate) rules: Arc<Rules>,
    /// What it offered when it was last looked at.
    offered: Mutex<Arc<[Identity]>>,
    /// When it was last looked at for the sake of an unknown key.
    looked_again: Mutex<Option<Instant>>,
}

/// The agents of a bridge.
pub struct Agents(Vec<Agent>);

/// A signature that counts, unless it does not come about.
pub(crate) struct Reserved<'a> {
    left: &'a AtomicU64,
    used: bool,
}

impl Agents {
    /// Looks at every agent, and reads all key files; asks for passphrases.
    ///
    /// # Errors
    /// [`AgentsError`] if one of them cannot be used, or an allowed host is not known.
    pub fn open(config: AgentConfig) -> Result<Self, AgentsError> {
        let AgentConfig { agents, mut policy, hosts, known_hosts, git_keys, max_signatures, confirm } =
            config;
        if !hosts.is_empty() {
            policy.hosts = Some(known_hosts_files::look_up(&hosts, &known_hosts)?);
        }
        let rules = Arc::new(Rules {
            policy,
            confirmer: confirm.then(Confirmer::new),
            git_keys,
            signatures_left: AtomicU64::new(max_signatures.unwrap_or(u64::MAX)),
        });
        let open = |spec: AgentSpec| {
            let failed = |problem| AgentsError::Agent { id: spec.id.clone(), problem };
            let keys = match spec.source {
                AgentSource::Socket(path) => {
                    let upstream = Upstream(path.clone());
                    upstream.look().map_err(|source| failed(AgentError::Socket { path, source }))?;
                    Keys::Behind(upstream)
                }
                AgentSource::KeyFiles(paths) => {
                    let files = KeyFiles::load(&paths, &mut prompt::passphrase);
                    Keys::Here(files.map_err(|error| failed(error.into()))?)
                }
            };
            let rules = Arc::clone(&rules);
            Ok(Agent {
                id: spec.id,
                keys,
                rules,
                offered: Mutex::new(Arc::new([])),
                looked_again: Mutex::default(),
            })
        };
        agents.into_iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// None.
    pub fn none() -> Self {
        Self(Vec::new())
    }

    /// The ids of all.
    pub fn ids(&self) -> Vec<AgentId> {
        self.0.iter().map(|agent| agent.id.clone()).collect()
    }

    /// The agent `id`.
    pub(crate) fn get(&self, id: &AgentId) -> Option<&Agent> {
        self.0.iter().find(|agent| agent.id == *id)
    }
}

/// Why the agents cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum AgentsError {
    #[error("SSH agent {id}: {problem}")]
    Agent { id: AgentId, problem: AgentError },
    #[error(transparent)]
    Hosts(#[from] KnownHostsError),
}

/// Why an agent cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// There is nothing at its socket's path.
    #[error("cannot use {}: {source}", .path.display())]
    Socket {
        /// The path.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A key file that is of no use.
    #[error(transparent)]
    KeyFile(#[from] crate::agent_keys::KeyFileError),
}

impl Rules {
    /// Counts one signature; `None` if there are none left.
    pub(crate) fn reserve_signature(&self) -> Option<Reserved<'_>> {
        let left = &self.signatures_left;
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).ok()?;
        Some(Reserved { left, used: false })
    }
}

impl Reserved<'_> {
    /// It came about.
    pub(crate) fn use_up(mut self) {
        self.used = true;
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if !self.used {
            self.left.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Agent {
    /// Looks at its keys. An agent that does not answer has none, and the host's messages say so.
    pub(crate) async fn list(&self) -> Listed {
        let listed = match &self.keys {
            Keys::Here(files) => Listed { identities: files.identities(), fixed: true },
            Keys::Behind(upstream) => upstream.list().await.unwrap_or_else(|error| {
                warn!("the agent {} at {} does not answer: {error}", self.id, upstream.path().display());
                Listed { identities: Vec::new(), fixed: true }
            }),
        };
        let identities = self.choose(listed.identities);
        *self.lock() = identities.as_slice().into();
        Listed { identities, fixed: listed.fixed }
    }

    /// Those of `identities` that are offered, as far as they fit into a message.
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

    /// What it offered when it was last looked at.
    pub(crate) fn offered(&self) -> Arc<[Identity]> {
        Arc::clone(&self.lock())
    }

    /// What it offers now, for a key that was not there; `None` if that was asked so recently that it is no use.
    /// Whoever asks for unknown keys must not keep the agent busy.
    pub(crate) async fn look_again(&self) -> Option<Vec<Identity>> {
        {
            let mut looked = self.looked_again.lock().unwrap_or_else(PoisonError::into_inner);
            if looked.is_some_and(|looked| looked.elapsed() < FRESH) {
                return None;
            }
            *looked = Some(Instant::now());
        }
        Some(self.list().await.identities)
    }

    /// The keys of the hosts that it may log in to.
    pub(crate) fn known_hosts(&self) -> Vec<KnownHost> {
        let lines = self.rules.policy.hosts.iter().flat_map(|hosts| hosts.known_hosts_lines());
        let lines = lines.filter_map(|line| line.parse().ok()).take(MAX_AGENT_HOSTS);
        up_to(MAX_LINES_SIZE, lines, |line: &KnownHost| line.as_str().len())
    }

    /// Which of `identities` is for which repository.
    pub(crate) fn git_keys(&self, identities: &[Identity]) -> Vec<GitKey> {
        let git_key = |(repository, selector): &(Repository, KeySelector)| {
            let Some(identity) = identities.iter().find(|identity| selector.chooses(identity)) else {
                warn!("the agent {} has no key {selector} for {repository}", self.id);
                return None;
            };
            Some(GitKey { repository: repository.clone(), key: identity.key.clone() })
        };
        let git_keys = self.rules.git_keys.iter().filter_map(git_key).take(MAX_AGENT_HOSTS);
        up_to(MAX_LINES_SIZE, git_keys, |git_key: &GitKey| git_key.key.len())
    }

    fn lock(&self) -> MutexGuard<'_, Arc<[Identity]>> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first of `items`, as long as all of them together are not over `limit`: a message has a limit.
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
