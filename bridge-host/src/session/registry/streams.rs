//! The streams of sessions. A stream needs no place and does not count as a session; it ends with its session.

use std::sync::Arc;

use proto::limits::MAX_STREAMS;
use proto::{SessionId, UpgradeRefusal};
use tokio::sync::watch;

use super::{Attachment, SessionRegistry};

/// What the registry knows of the streams of one session.
pub(super) struct SessionStreams {
    /// Whether the session asked for HTTP.
    allowed: bool,
    open: usize,
    /// Dropped when the session ends.
    life: watch::Sender<()>,
}

impl Default for SessionStreams {
    fn default() -> Self {
        Self { allowed: false, open: 0, life: watch::Sender::new(()) }
    }
}

/// The place of a stream in its session and the bridge; dropping it frees both.
pub(crate) struct StreamSlot {
    sessions: Arc<SessionRegistry>,
    id: SessionId,
    /// See [`Attachment::number`].
    number: u64,
    session: watch::Receiver<()>,
}

impl SessionRegistry {
    /// Admits a stream of the session `id`.
    ///
    /// # Errors
    /// [`UpgradeRefusal`] if there is no such session, it may have no stream, or has as many as it may have.
    pub(crate) fn admit_stream(self: &Arc<Self>, id: SessionId) -> Result<StreamSlot, UpgradeRefusal> {
        let mut table = self.lock();
        table.remove_abandoned();
        let all = table.streams;
        let live = table.live.get_mut(&id).ok_or(UpgradeRefusal::SessionEnded)?;
        // A bridge without rules has none for any session.
        if !live.streams.allowed || self.streams == 0 {
            return Err(UpgradeRefusal::NoStreams);
        }
        if live.streams.open >= MAX_STREAMS || all >= self.streams {
            return Err(UpgradeRefusal::TooManyStreams);
        }
        live.streams.open += 1;
        let (number, session) = (live.number, live.streams.life.subscribe());
        table.streams += 1;
        Ok(StreamSlot { sessions: Arc::clone(self), id, number, session })
    }
}

impl Attachment {
    /// Lets the session have streams from now on.
    pub(crate) fn allow_streams(&self) {
        if let Some(live) = self.sessions.lock().live.get_mut(&self.id) {
            live.streams.allowed = true;
        }
    }
}

impl StreamSlot {
    /// The session of the stream.
    pub(crate) fn session(&self) -> SessionId {
        self.id
    }

    /// Resolves when the session has ended.
    pub(crate) async fn ended(&mut self) {
        while self.session.changed().await.is_ok() {}
    }
}

impl Drop for StreamSlot {
    fn drop(&mut self) {
        let mut table = self.sessions.lock();
        table.streams -= 1;
        if let Some(live) = table.live.get_mut(&self.id).filter(|live| live.number == self.number) {
            live.streams.open -= 1;
        }
    }
}
