//! What all connections of a bridge share, and the decision what a proven connection may be used for.

use std::net::SocketAddr;
use std::sync::Arc;

use proto::http::RuledOrigin;
use proto::{Hello, HostMessage, Purpose, UpgradeRefusal};
use tokio::sync::mpsc;

use crate::agent::Agents;
use crate::audit::{Record, Shown};
use crate::config::ServeConfig;
use crate::http::Gateway;
use crate::limits::BridgeLimits;
use crate::memory::MemoryPool;
use crate::net::slots::Slots;
use crate::recorder::Recorder;
use crate::secrets::store::SecretStore;
use crate::session::registry::{Attachment, Entry, SessionRegistry, StreamSlot, Ticket};

/// What a proven connection may be used for.
pub(crate) enum Admission {
    Session(Attachment),
    /// A session for which there is no place yet.
    InLine(Ticket),
    Test,
    Kill,
    Stream(StreamSlot),
}

/// What all connections of one bridge share.
pub(crate) struct BridgeState {
    pub(crate) store: SecretStore,
    pub(crate) agents: Agents,
    pub(crate) gateway: Gateway,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) memory: Arc<MemoryPool>,
    /// The encoded answer to `test`, which all of them share.
    pub(crate) offers: Arc<[u8]>,
    /// The origins that have rules.
    pub(crate) origins: Vec<RuledOrigin>,
    /// The encoded message with them.
    pub(crate) origins_message: Arc<[u8]>,
    sessions: Arc<SessionRegistry>,
    kill_allowed: bool,
    kill: mpsc::Sender<()>,
    /// Proven connections that have sent no upgrade request.
    pub(crate) upgrades: Slots,
    /// Connections of `test` and `kill`.
    pub(crate) queries: Slots,
}

impl BridgeState {
    /// The state of a new bridge. `kill` gets a message when a client asks to end it.
    pub(crate) fn new(
        config: &ServeConfig,
        limits: &BridgeLimits,
        (store, agents, gateway): (SecretStore, Agents, Gateway),
        recorder: Arc<Recorder>,
        kill: mpsc::Sender<()>,
    ) -> Self {
        let origins = gateway.origins();
        let named = origins.iter().map(|ruled| ruled.origin.clone()).collect();
        let offers = HostMessage::Offers { keys: store.keys(), agents: agents.ids(), origins: named };
        let offers = offers.encode().into();
        let origins_message = HostMessage::Origins { origins: origins.clone() }.encode().into();
        Self {
            store,
            agents,
            gateway,
            recorder,
            memory: MemoryPool::new(limits.memory, limits.sure_shares, limits.streams),
            offers,
            origins,
            origins_message,
            sessions: Arc::new(SessionRegistry::new(config.max_sessions, limits)),
            kill_allowed: config.kill_allowed,
            kill,
            upgrades: Slots::new(limits.upgrades),
            queries: Slots::new(limits.queries),
        }
    }

    /// Decides on an upgrade request, and writes the record of what it admits before the client gets an answer.
    ///
    /// # Errors
    /// [`UpgradeRefusal`] if a limit or the configuration forbids it, or the record cannot be written.
    pub(crate) fn admit(&self, hello: &Hello, peer: SocketAddr) -> Result<Admission, UpgradeRefusal> {
        let audit = self.recorder.audit();
        let (admission, recorded) = match hello.purpose {
            Purpose::Session => {
                return match self.sessions.admit(hello)? {
                    Entry::Admitted(attachment) => self.begin(attachment, peer).map(Admission::Session),
                    Entry::InLine(ticket) => Ok(Admission::InLine(ticket)),
                };
            }
            Purpose::Test => (Admission::Test, audit.write(&Record::Tested { peer })),
            Purpose::Kill if self.kill_allowed => (Admission::Kill, audit.write(&Record::Killed { peer })),
            Purpose::Kill => return Err(UpgradeRefusal::KillForbidden),
            Purpose::Stream => return self.sessions.admit_stream(hello.session).map(Admission::Stream),
        };
        recorded.map_err(|_| UpgradeRefusal::AuditFailed)?;
        Ok(admission)
    }

    /// Records that a connection of a session begins.
    ///
    /// # Errors
    /// [`UpgradeRefusal::AuditFailed`] if the record cannot be written. Then the session has ended.
    pub(crate) fn begin(
        &self,
        mut attachment: Attachment,
        peer: SocketAddr,
    ) -> Result<Attachment, UpgradeRefusal> {
        let (session, redial) = (Shown(attachment.id()), attachment.redial);
        if self.recorder.audit().write(&Record::SessionBegun { session, peer, redial }).is_err() {
            attachment.close();
            return Err(UpgradeRefusal::AuditFailed);
        }
        attachment.begin();
        if !redial {
            self.recorder.count_session();
        }
        Ok(attachment)
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
