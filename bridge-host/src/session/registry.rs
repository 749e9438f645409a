//! The sessions of a bridge: how many there may be, and which ones a redial may continue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proto::{SessionId, UpgradeRefusal};
use tokio::sync::Notify;

use crate::agent::Grants;
use crate::random::random;

/// Most sessions at once, those waiting for a redial included.
const MAX_AT_ONCE: usize = 256;
/// How long a session whose connection broke can be continued.
const REDIAL_GRACE: Duration = Duration::from_secs(60);

/// All sessions that have not ended.
pub(crate) struct SessionRegistry {
    /// Of `--once` and `--max-sessions`.
    limit: Option<u32>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    admitted: u32,
    live: HashMap<SessionId, Live>,
}

struct Live {
    /// Counts the connections of this session.
    generation: u64,
    /// Tells the present connection that a redial takes its place.
    replaced: Arc<Notify>,
    /// What a person permitted to it.
    grants: Arc<Grants>,
    /// When its connection broke.
    broken: Option<Instant>,
}

/// The hold that one connection has on its session.
pub(crate) struct Attachment {
    sessions: Arc<SessionRegistry>,
    id: SessionId,
    generation: u64,
    /// Whether this continues an earlier connection.
    pub(crate) redial: bool,
    /// Notified when a redial takes this connection's place.
    pub(crate) replaced: Arc<Notify>,
    /// What a person permitted to the session.
    pub(crate) grants: Arc<Grants>,
    closed: bool,
}

impl SessionRegistry {
    /// None yet; at most `limit` ever.
    pub(crate) fn new(limit: Option<u32>) -> Self {
        Self { limit, table: Mutex::default() }
    }

    /// Begins a session, or continues the session `resume`.
    ///
    /// # Errors
    /// [`UpgradeRefusal`] if a limit forbids it or there is nothing to continue.
    pub(crate) fn admit(self: &Arc<Self>, resume: Option<SessionId>) -> Result<Attachment, UpgradeRefusal> {
        let mut table = self.lock();
        table.forget_abandoned();
        let id = match resume {
            Some(id) => id,
            None => self.begin(&mut table)?,
        };
        let live = table.live.get_mut(&id).ok_or(UpgradeRefusal::SessionEnded)?;
        // The old connection may not have noticed yet that it is broken.
        live.replaced.notify_one();
        live.replaced = Arc::default();
        live.generation += 1;
        live.broken = None;
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
        if table.live.len() >= MAX_AT_ONCE {
            return Err(UpgradeRefusal::Busy);
        }
        let id = SessionId(random().map_err(|_| UpgradeRefusal::Busy)?);
        table.admitted = table.admitted.saturating_add(1);
        table.live.insert(
            id,
            Live { generation: 0, replaced: Arc::default(), grants: Arc::default(), broken: None },
        );
        Ok(id)
    }

    /// Whether the limit is reached and every session has ended: nobody can ever use the bridge again.
    pub(crate) fn is_exhausted(&self) -> bool {
        let mut table = self.lock();
        table.forget_abandoned();
        self.limit.is_some_and(|limit| table.admitted >= limit) && table.live.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn forget_abandoned(&mut self) {
        self.live.retain(|_, live| live.broken.is_none_or(|when| when.elapsed() < REDIAL_GRACE));
    }
}

impl Attachment {
    /// The session's name.
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// The client closed the session properly: it will not come back.
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
            live.broken = Some(Instant::now());
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
    fn a_redial_takes_the_place_of_a_connection_that_lingers() {
        let sessions = sessions(None);
        let old = sessions.admit(None).unwrap();
        let new = sessions.admit(Some(old.id())).unwrap();
        drop(old);
        assert!(sessions.lock().live[&new.id()].broken.is_none());
    }
}
