//! The sessions of a bridge: it limits their number, and lets a redial continue one whose connection broke.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proto::{Hello, SessionId, UpgradeRefusal};
use tokio::sync::Notify;

use crate::agent::Answers;

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
    admitted: u64,
    live: HashMap<SessionId, LiveSession>,
}

struct LiveSession {
    /// See [`Attachment::number`].
    number: u64,
    /// Number of the session's present connection.
    generation: u64,
    /// Notified when a redial replaces the present connection.
    replaced: Arc<Notify>,
    /// What a person permitted to the session.
    answers: Arc<Answers>,
    /// When the connection broke, unless a redial has replaced it.
    broken_at: Option<Instant>,
}

/// The attachment of one connection to its session. If it is dropped without [`Self::close`], the session can be
/// continued for [`REDIAL_GRACE`].
pub(crate) struct Attachment {
    sessions: Arc<SessionRegistry>,
    id: SessionId,
    /// The session among all of this bridge. Reads are counted by it: a client may choose an id again whose session has
    /// ended, and that is another session.
    pub(crate) number: u64,
    generation: u64,
    /// Whether this continues an earlier connection.
    pub(crate) redial: bool,
    /// Notified when a redial replaces this connection.
    pub(crate) replaced: Arc<Notify>,
    /// What a person permitted to the session.
    pub(crate) answers: Arc<Answers>,
    closed: bool,
}

impl SessionRegistry {
    /// A registry that lets at most `limit` sessions begin.
    pub(crate) fn new(limit: Option<u32>) -> Self {
        Self { limit, table: Mutex::default() }
    }

    /// Continues the session of `hello` if it has not ended, even if the client does not know that it has begun (the answer
    /// to its first hello was lost). Otherwise begins it.
    ///
    /// # Errors
    /// [`UpgradeRefusal`] if a limit forbids it, or the session to resume has ended.
    pub(crate) fn admit(self: &Arc<Self>, hello: &Hello) -> Result<Attachment, UpgradeRefusal> {
        let mut table = self.lock();
        table.remove_abandoned();
        let id = hello.session;
        let redial = table.live.contains_key(&id);
        if !redial && !hello.resume {
            self.begin(&mut table, id)?;
        }
        let live = table.live.get_mut(&id).ok_or(UpgradeRefusal::SessionEnded)?;
        // The bridge may not have noticed yet that the old connection is broken.
        live.replaced.notify_one();
        live.replaced = Arc::default();
        live.generation += 1;
        live.broken_at = None;
        Ok(Attachment {
            sessions: Arc::clone(self),
            id,
            number: live.number,
            generation: live.generation,
            redial,
            replaced: Arc::clone(&live.replaced),
            answers: Arc::clone(&live.answers),
            closed: false,
        })
    }

    fn begin(&self, table: &mut Table, id: SessionId) -> Result<(), UpgradeRefusal> {
        if self.limit.is_some_and(|limit| table.admitted >= u64::from(limit)) {
            return Err(UpgradeRefusal::SessionsUsedUp);
        }
        if table.live.len() >= MAX_LIVE {
            return Err(UpgradeRefusal::Busy);
        }
        table.admitted = table.admitted.saturating_add(1);
        table.live.insert(
            id,
            LiveSession {
                number: table.admitted,
                generation: 0,
                replaced: Arc::default(),
                answers: Arc::default(),
                broken_at: None,
            },
        );
        Ok(())
    }

    /// Whether the limit is reached and every session has ended, so that the bridge is of no further use.
    pub(crate) fn is_exhausted(&self) -> bool {
        let mut table = self.lock();
        table.remove_abandoned();
        self.limit.is_some_and(|limit| table.admitted >= u64::from(limit)) && table.live.is_empty()
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
    use proto::Purpose;

    use super::*;

    fn sessions(limit: Option<u32>) -> Arc<SessionRegistry> {
        Arc::new(SessionRegistry::new(limit))
    }

    fn hello(id: u8, resume: bool) -> Hello {
        Hello { session: SessionId([id; 16]), resume, ..Hello::without_session(Purpose::Session) }
    }

    #[test]
    fn the_limit_counts_sessions_and_not_redials() {
        let sessions = sessions(Some(1));
        drop(sessions.admit(&hello(1, false)).unwrap());
        assert!(!sessions.is_exhausted());
        let mut again = sessions.admit(&hello(1, true)).unwrap();
        assert!(again.redial);
        assert_eq!(sessions.admit(&hello(2, false)).err(), Some(UpgradeRefusal::SessionsUsedUp));
        again.close();
        drop(again);
        assert!(sessions.is_exhausted());
        assert_eq!(sessions.admit(&hello(1, true)).err(), Some(UpgradeRefusal::SessionEnded));
        assert_eq!(sessions.admit(&hello(1, false)).err(), Some(UpgradeRefusal::SessionsUsedUp));
    }

    #[test]
    fn a_repeated_first_hello_continues_its_session() {
        let sessions = sessions(Some(1));
        let first = sessions.admit(&hello(1, false)).unwrap();
        let while_live = sessions.admit(&hello(1, false)).unwrap();
        drop(first);
        drop(while_live);
        let in_grace = sessions.admit(&hello(1, false)).unwrap();
        assert!(in_grace.redial);
        assert_eq!(in_grace.number, 1);
    }

    #[test]
    fn an_id_that_is_used_again_names_another_session() {
        let sessions = sessions(None);
        let mut first = sessions.admit(&hello(1, false)).unwrap();
        first.close();
        let number = first.number;
        drop(first);
        let second = sessions.admit(&hello(1, false)).unwrap();
        assert!(!second.redial);
        assert_ne!(second.number, number);
    }

    #[test]
    fn a_redial_replaces_a_connection_that_lingers() {
        let sessions = sessions(None);
        let old = sessions.admit(&hello(1, false)).unwrap();
        let new = sessions.admit(&hello(1, true)).unwrap();
        drop(old);
        assert!(sessions.lock().live[&new.id()].broken_at.is_none());
    }
}
