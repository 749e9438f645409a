//! What all connections of a bridge share, and the decision what a proven connection may be used for.

use std::net::SocketAddr;
use std::sync::Arc;

use proto::{Hello, HostMessage, Purpose, UpgradeRefusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::agent::Agents;
use crate::audit::{Record, Shown};
use crate::config::ServeConfig;
use crate::memory::{DEFAULT_MEMORY, MemoryPool};
use crate::recorder::Recorder;
use crate::secrets::store::SecretStore;
use crate::session::registry::{Attachment, SessionRegistry};

/// Most proven connections at once, whatever they are for.
const MAX_PROVEN: usize = 512;

/// What a proven connection may be used for.
pub(crate) enum Admission {
    Session(Attachment),
    Test,
    Kill,
}

/// What all connections of one bridge share.
pub(crate) struct BridgeState {
    pub(crate) store: SecretStore,
    pub(crate) agents: Agents,
    pub(crate) recorder: Recorder,
    pub(crate) memory: Arc<MemoryPool>,
    /// The encoded answer to `test`, which all of them share.
    pub(crate) offers: Arc<[u8]>,
    sessions: Arc<SessionRegistry>,
    kill_allowed: bool,
    kill: mpsc::Sender<()>,
    proven: Arc<Semaphore>,
}

impl BridgeState {
    /// The state of a new bridge. `kill` gets a message when a client asks to end it.
    pub(crate) fn new(
        config: &ServeConfig,
        store: SecretStore,
        agents: Agents,
        recorder: Recorder,
        kill: mpsc::Sender<()>,
    ) -> Self {
        let offers = HostMessage::Offers { keys: store.keys(), agents: agents.ids() }.encode().into();
        Self {
            store,
            agents,
            recorder,
            memory: MemoryPool::new(DEFAULT_MEMORY, MAX_PROVEN),
            offers,
            sessions: Arc::new(SessionRegistry::new(config.max_sessions)),
            kill_allowed: config.kill_allowed,
            kill,
            proven: Arc::new(Semaphore::new(MAX_PROVEN)),
        }
    }

    /// A permit for one proven connection, to be held as long as the connection lives; `None` if there are
    /// [`MAX_PROVEN`] already.
    pub(crate) fn proven_permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.proven).try_acquire_owned().ok()
    }

    /// Decides on an upgrade request, and writes the record of what it admits before the client gets an answer.
    ///
    /// # Errors
    /// [`UpgradeRefusal`] if a limit or the configuration forbids it, or the record cannot be written.
    pub(crate) fn admit(&self, hello: &Hello, peer: SocketAddr) -> Result<Admission, UpgradeRefusal> {
        let audit = self.recorder.audit();
        let (admission, recorded) = match hello.purpose {
            Purpose::Session => {
                let mut attachment = self.sessions.admit(hello)?;
                let (session, redial) = (Shown(attachment.id()), attachment.redial);
                let recorded = audit.write(&Record::SessionBegun { session, peer, redial });
                if recorded.is_err() {
                    attachment.close();
                } else if !redial {
                    self.recorder.count_session();
                }
                (Admission::Session(attachment), recorded)
            }
            Purpose::Test => (Admission::Test, audit.write(&Record::Tested { peer })),
            Purpose::Kill if self.kill_allowed => (Admission::Kill, audit.write(&Record::Killed { peer })),
            Purpose::Kill => return Err(UpgradeRefusal::KillForbidden),
        };
        recorded.map_err(|_| UpgradeRefusal::AuditFailed)?;
        Ok(admission)
    }

    /// Ends the bridge because a client asked for it.
    pub(crate) fn request_kill(&self) {
        // The channel holds one request, and one is enough.
        let _ = self.kill.try_send(());
    }

    /// Whether the bridge admits no further session and none is left.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.sessions.is_exhausted()
    }
}
