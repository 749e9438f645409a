//! What the streams of one session share. It ends with the last of them.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use proto::SessionId;

use super::upstream::pool::{Pool, PoolLimit};

/// Most `signed-url` messages of a session.
const MAX_SIGNED_URLS: u32 = 256;

/// What the streams of one session share.
pub(super) struct HttpSession {
    pub(super) pool: Pool,
    /// Rules and reasons of which a `refusal` message was sent: one for each. As many as there are rules and words.
    told: Mutex<BTreeSet<(Option<usize>, &'static str)>>,
    /// How many signed URLs were told.
    signed_urls: AtomicU32,
}

impl HttpSession {
    /// Whether a refusal for this reason is the first under this rule.
    pub(super) fn is_first(&self, rule: Option<usize>, reason: &'static str) -> bool {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert((rule, reason))
    }

    /// Whether one more signed URL may be told.
    pub(super) fn may_tell_signed_url(&self) -> bool {
        let count = |told| (told < MAX_SIGNED_URLS).then_some(told + 1);
        self.signed_urls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count).is_ok()
    }
}

/// The sessions that have streams.
pub(super) struct HttpSessions {
    by_id: Mutex<HashMap<SessionId, Weak<HttpSession>>>,
    limit: PoolLimit,
}

impl HttpSessions {
    pub(super) fn new() -> Self {
        Self { by_id: Mutex::default(), limit: PoolLimit::new() }
    }

    /// What the streams of session `id` share; each stream keeps it for its life.
    pub(super) fn join(&self, id: SessionId) -> Arc<HttpSession> {
        let mut by_id = self.by_id();
        if let Some(session) = by_id.get(&id).and_then(Weak::upgrade) {
            return session;
        }
        by_id.retain(|_, session| session.strong_count() > 0);
        let session = Arc::new(HttpSession {
            pool: Pool::new(self.limit.clone()),
            told: Mutex::default(),
            signed_urls: AtomicU32::new(0),
        });
        by_id.insert(id, Arc::downgrade(&session));
        session
    }

    /// Closes connections that were idle for too long.
    pub(super) fn close_old(&self) {
        for session in self.by_id().values().filter_map(Weak::upgrade) {
            session.pool.close_old();
        }
    }

    fn by_id(&self) -> MutexGuard<'_, HashMap<SessionId, Weak<HttpSession>>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_a_session_share_and_others_do_not() {
        let sessions = HttpSessions::new();
        let [one, other] = [1, 2].map(|byte| SessionId([byte; 16]));
        let first = sessions.join(one);
        assert!(Arc::ptr_eq(&first, &sessions.join(one)));
        assert!(!Arc::ptr_eq(&first, &sessions.join(other)));
        assert!(first.is_first(None, "method") && !first.is_first(None, "method"));
        drop(first);
        // The last stream has ended, and with it what they shared.
        assert!(sessions.join(one).is_first(None, "method"));
        assert!(sessions.by_id().len() <= 2);
    }
}
