//! The sessions of a bridge: it limits their number, and lets a redial continue one whose connection broke.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proto::{SessionId, UpgradeRefusal};
use tokio::sync::Notify;

use crate::agent::Grants;
use crate::random::random;

/// Most sessions at once, those that wait for a redial included.
const MAX_LIVE: usize = 256;
/// How long a session can be continued after its connection broke.
const REDIAL_GRACE: Duration = Duration::from_secs(60);

/// The sessions that have not ended.
pub(crate) struct SessionRegistry {
    /// How many sessions may begin in the bridge's life (`--once`, `--max-sessions`).
    limit: Option<u32>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// Sessions that have begun.
    admitted: u32,
    live: HashMap<SessionId, LiveSession>,
}

struct LiveSession {
    /// Number of the session's present connection.
    generation: u64,
    /// Notified when a redial replaces the present connection.
    replaced: Arc<Notify>,
    /// What a person permitted to the session.
    grants: Arc<Grants>,
    /// When the connection broke, unless a redial has replaced it.
    broken_at: Option<Instant>,
}

/// The attachment of one connection to its session. If it is dropped without [`Self::close`], the session can be
/// continued for [`REDIAL_GRACE`].
pub(crate) struct Attachment {
    sessions: Arc<SessionRegistry>,
    id: SessionId,
    generation: u64,
    /// Whether this continues an earlier connection.
    pub(crate) redial: bool,
    /// Notified when a redial replaces this connection.
    pub(crate) replaced: Arc<Notify>,
    /// What a person permitted to the session.
    pub(crate) grants: Arc<Grants>,
    closed: bool,
}

impl SessionRegistry {
    /// A registry that lets at most `limit` sessions begin.
    pub(crate) fn new(limit: Option<u32>) -> Self {
        Self { limit, table: Mutex::default() }
    }

    /// Begins a session, or continues the session `resume`.
    ///
    /// # Errors
    /// [`UpgradeRefusal`] if a limit forbids it, or the session to continue has ended.
    pub(crate) fn admit(self: &Arc<Self>, resume: Option<SessionId>) -> Result<Attachment, UpgradeRefusal> {
        let mut table = self.lock();
        table.remove_abandoned();
        let id = match resume {
            Some(id) => id,
            None => self.begin(&mut table)?,
        };
        let live = table.live.get_mut(&id).ok_or(UpgradeRefusal::SessionEnded)?;
        // The bridge may not have noticed yet that the old connection is broken.
        live.replaced.notify_one();
        live.replaced = Arc::default();
        live.generation += 1;
        live.broken_at = None;
        Ok(Attachment {
            sessions: Arc::clone(self),
            id,
            generation: live.generation,
            redial: resume.is_some(),
            replaced: Arc::clone(&live.replaced),
            grants: Arc::clone(&live.grants),
            closed: false,
        })
    }

    fn begin(&self, table: &mut Table) -> Result<SessionId, UpgradeRefusal> {
        if self.limit.is_some_and(|limit| table.admitted >= limit) {
            return Err(UpgradeRefusal::SessionsUsedUp);
        }
        if table.live.len() >= MAX_LIVE {
            return Err(UpgradeRefusal::Busy);
        }
        let id = SessionId(random().map_err(|_| UpgradeRefusal::Busy)?);
        table.admitted = table.admitted.saturating_add(1);
        table.live.insert(
            id,
            LiveSession { generation: 0, replaced: Arc::default(), grants: Arc::default(), broken_at: None },
        );
        Ok(id)
    }

    /// Whether the limit is reached and every session has ended, so that the bridge is of no further use.
    pub(crate) fn is_exhausted(&self) -> bool {
        let mut table = self.lock();
        table.remove_abandoned();
        self.limit.is_some_and(|limit| table.admitted >= limit) && table.live.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn remove_abandoned(&mut self) {
        self.live.retain(|_, live| live.broken_at.is_none_or(|when| when.elapsed() < REDIAL_GRACE));
    }
}

impl Attachment {
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// Ends the session when this is dropped: no redial can continue it.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut table = self.sessions.lock();
        let Some(live) = table.live.get_mut(&self.id) else { return };
        if live.generation != self.generation {
            return; // a redial has taken over
        }
        if self.closed {
            table.live.remove(&self.id);
        } else {
            live.broken_at = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(limit: Option<u32>) -> Arc<SessionRegistry> {
        Arc::new(SessionRegistry::new(limit))
    }

    #[test]
    fn the_limit_counts_sessions_and_not_redials() {
        let sessions = sessions(Some(1));
        let first = sessions.admit(None).unwrap();
        let id = first.id();
        drop(first);
        assert!(!sessions.is_exhausted());
        let mut again = sessions.admit(Some(id)).unwrap();
        assert!(again.redial);
        assert_eq!(sessions.admit(None).err(), Some(UpgradeRefusal::SessionsUsedUp));
        again.close();
        drop(again);
        assert!(sessions.is_exhausted());
        assert_eq!(sessions.admit(Some(id)).err(), Some(UpgradeRefusal::SessionEnded));
    }

    #[test]
    fn a_redial_replaces_a_connection_that_lingers() {
        let sessions = sessions(None);
        let old = sessions.admit(None).unwrap();
        let new = sessions.admit(Some(old.id())).unwrap();
        drop(old);
        assert!(sessions.lock().live[&new.id()].broken_at.is_none());
    }
}
