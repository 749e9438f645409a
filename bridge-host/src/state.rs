//! What all connections of a bridge share: secrets, sessions, the audit, and the counters of the summary.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use proto::{Hello, Key, Purpose, UpgradeRefusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tracing::info;

use crate::agent::Agents;
use crate::audit::{Audit, Record, Shown, upgrade_refusal_word};
use crate::config::ServeConfig;
use crate::net::handshake::RefusedHandshakes;
use crate::secrets::store::SecretStore;
use crate::session::registry::{Attachment, SessionRegistry};

/// Most proven connections at once, whatever they are for.
const MAX_PROVEN: usize = 512;

/// What a bridge did in its life.
#[derive(Debug, Default, Clone)]
pub struct Summary {
    /// TCP connections from addresses that are heard.
    pub connections: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Keys that were given out.
    pub keys: BTreeSet<Key>,
    /// Signatures made.
    pub signatures: u64,
    /// Secrets and signatures asked for and refused, and upgrade requests refused.
    pub refusals: u64,
    /// Connections that did not get through the handshake.
    pub handshakes_refused: u64,
}

/// What a proven connection may be used for.
pub(crate) enum Admitted {
    Session(Attachment),
    Test,
    Kill,
}

/// What every connection of one bridge uses.
pub(crate) struct Shared {
    store: SecretStore,
    agents: Agents,
    audit: Audit,
    sessions: Arc<SessionRegistry>,
    kill_allowed: bool,
    kill: mpsc::Sender<()>,
    proven: Arc<Semaphore>,
    refused_handshakes: RefusedHandshakes,
    summary: Mutex<Summary>,
}

impl Shared {
    /// For one bridge. A client's `kill` is told to `kill`.
    pub(crate) fn new(
        config: &ServeConfig,
        store: SecretStore,
        agents: Agents,
        audit: Audit,
        kill: mpsc::Sender<()>,
    ) -> Self {
        Self {
            store,
            agents,
            audit,
            sessions: Arc::new(SessionRegistry::new(config.max_sessions)),
            kill_allowed: config.kill_allowed,
            kill,
            proven: Arc::new(Semaphore::new(MAX_PROVEN)),
            refused_handshakes: RefusedHandshakes::default(),
            summary: Mutex::default(),
        }
    }

    /// A place for a proven connection, as long as what is returned lives; `None` if there are too many.
    pub(crate) fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.proven).try_acquire_owned().ok()
    }

    /// Judges an upgrade request, and writes down what it admits before the client learns of it.
    pub(crate) fn admit(&self, hello: &Hello, peer: SocketAddr) -> Result<Admitted, UpgradeRefusal> {
        let (admitted, recorded) = match hello.purpose {
            Purpose::Session => {
                let mut attachment = self.sessions.admit(hello.resume)?;
                let (session, redial) = (Shown(attachment.id()), attachment.redial);
                let recorded = self.audit.write(&Record::SessionBegun { session, peer, redial });
                if recorded.is_err() {
                    attachment.close();
                } else if !redial {
                    self.summary().sessions += 1;
                }
                (Admitted::Session(attachment), recorded)
            }
            Purpose::Test => (Admitted::Test, self.audit.write(&Record::Tested { peer })),
            Purpose::Kill if self.kill_allowed => {
                (Admitted::Kill, self.audit.write(&Record::Killed { peer }))
            }
            Purpose::Kill => return Err(UpgradeRefusal::KillForbidden),
        };
        recorded.map_err(|_| UpgradeRefusal::AuditFailed)?;
        Ok(admitted)
    }

    /// Lets a client's `kill` end the bridge.
    pub(crate) fn request_kill(&self) {
        // The channel holds one request, and one is enough.
        let _ = self.kill.try_send(());
    }

    /// Whether nobody can ever use the bridge again.
    pub(crate) fn is_used_up(&self) -> bool {
        self.sessions.are_used_up()
    }

    /// The secrets.
    pub(crate) fn store(&self) -> &SecretStore {
        &self.store
    }

    /// Where decisions are written down.
    pub(crate) fn audit(&self) -> &Audit {
        &self.audit
    }

    /// The agents.
    pub(crate) fn agents(&self) -> &Agents {
        &self.agents
    }

    /// Remembers, for the summary, that `key` was given out.
    pub(crate) fn count_read(&self, key: Key) {
        self.summary().keys.insert(key);
    }

    /// Remembers, for the summary, that something was refused. Returns how many times that has happened.
    pub(crate) fn count_refusal(&self) -> u64 {
        let mut summary = self.summary();
        summary.refusals += 1;
        summary.refusals
    }

    /// Writes down that a proven client's request was refused.
    pub(crate) fn note_refused_upgrade(&self, peer: SocketAddr, refusal: UpgradeRefusal) {
        info!("{peer} is refused: {}", refusal.as_str());
        self.count_refusal();
        self.audit.note(&Record::SessionRefused { peer, reason: upgrade_refusal_word(refusal) });
    }

    /// Counts a connection that proved nothing.
    pub(crate) fn refuse_handshake(&self, cause: &'static str) {
        self.summary().handshakes_refused += 1;
        self.refused_handshakes.count(cause);
    }

    /// Writes down how many there were since the last time.
    pub(crate) fn note_refused_handshakes(&self) {
        if let Some(causes) = self.refused_handshakes.take() {
            let count = causes.values().sum();
            self.audit.note(&Record::HandshakesRefused { count, causes: &causes });
        }
    }

    /// What the bridge did so far.
    pub(crate) fn summary(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
