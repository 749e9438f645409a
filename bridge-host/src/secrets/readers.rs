//! Which sessions have read a secret with a read limit.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The numbers of the sessions that read one secret, at most `limit` of them. A redial that reads again is the same session.
#[derive(Debug)]
pub(super) struct Readers {
    limit: Option<u32>,
    sessions: Mutex<HashMap<u64, Reader>>,
}

#[derive(Debug, Default)]
struct Reader {
    /// Reads that are neither used up nor given back.
    pending: u32,
    /// Whether the session was given the secret.
    given: bool,
}

/// The limit is reached.
#[derive(Debug)]
pub(super) struct LimitReached;

/// One read of a session. It is given back when this is dropped before [`Self::use_up`]: a read that fails, or whose
/// client goes away, does not count.
#[derive(Debug)]
pub(super) struct ReservedRead<'a> {
    readers: &'a Readers,
    session: u64,
    used: bool,
}

impl Readers {
    pub(super) fn new(limit: Option<u32>) -> Self {
        Self { limit, sessions: Mutex::default() }
    }

    /// Whether `session` could read now.
    ///
    /// # Errors
    /// [`LimitReached`].
    pub(super) fn check(&self, session: u64) -> Result<(), LimitReached> {
        self.check_in(&self.lock(), session)
    }

    /// Reserves a read for `session`. Checks and counts in one step, so that sessions that read at once do not exceed the
    /// limit together.
    ///
    /// # Errors
    /// [`LimitReached`].
    pub(super) fn reserve(&self, session: u64) -> Result<ReservedRead<'_>, LimitReached> {
        // Without a limit the readers do not matter, and the map must not grow without bound.
        if self.limit.is_some() {
            let mut sessions = self.lock();
            self.check_in(&sessions, session)?;
            sessions.entry(session).or_default().pending += 1;
        }
        Ok(ReservedRead { readers: self, session, used: false })
    }

    fn check_in(&self, sessions: &HashMap<u64, Reader>, session: u64) -> Result<(), LimitReached> {
        match self.limit {
            Some(limit) if sessions.len() as u64 >= u64::from(limit) && !sessions.contains_key(&session) => {
                Err(LimitReached)
            }
            Some(_) | None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Reader>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReservedRead<'_> {
    /// The session is given the secret.
    pub(super) fn use_up(mut self) {
        self.used = true;
    }
}

impl Drop for ReservedRead<'_> {
    fn drop(&mut self) {
        let mut sessions = self.readers.lock();
        let Some(reader) = sessions.get_mut(&self.session) else { return };
        reader.pending = reader.pending.saturating_sub(1);
        reader.given |= self.used;
        if reader.pending == 0 && !reader.given {
            sessions.remove(&self.session);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = 1;
    const B: u64 = 2;

    #[test]
    fn a_read_counts_once_it_is_used_up() {
        let readers = Readers::new(Some(1));
        let reserved = readers.reserve(A).unwrap();
        assert!(readers.reserve(B).is_err());
        drop(reserved);
        readers.reserve(B).unwrap().use_up();
        assert!(readers.reserve(A).is_err() && readers.check(A).is_err());
        // The same session again, and a read of it that fails.
        drop(readers.reserve(B).unwrap());
        assert!(readers.check(A).is_err() && readers.check(B).is_ok());
    }

    #[test]
    fn of_two_reads_of_a_session_one_that_is_used_up_counts() {
        let readers = Readers::new(Some(1));
        let (first, second) = (readers.reserve(A).unwrap(), readers.reserve(A).unwrap());
        second.use_up();
        drop(first);
        assert!(readers.check(B).is_err());
    }
}
