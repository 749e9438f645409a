//! The secrets of a running bridge: by key, with their read limits.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use proto::limits::MAX_OFFERS;
use proto::{Key, RefusalReason, Secret, SessionId, Untrusted};
use tokio::sync::Mutex as AsyncMutex;
use tracing::warn;

use crate::error::HostError;
use crate::source::SecretSpec;

/// How long a command's failure is remembered. A build that retries at once must not hammer a password manager; a
/// person who unlocks it must not have to start over.
const FAILURE_REMEMBERED: Duration = Duration::from_secs(10);

/// The secrets of one bridge.
pub struct SecretStore {
    entries: BTreeMap<Key, Entry>,
}

struct Entry {
    spec: SecretSpec,
    /// Sessions that read it. A redial that reads again is the same session.
    readers: Mutex<HashSet<SessionId>>,
    value: AsyncMutex<Value>,
}

enum Value {
    Known(Arc<Secret>),
    NotYetRun,
    Failed(Instant, String),
}

/// Why a read is refused: what the client is told.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: RefusalReason,
    pub(crate) detail: Untrusted,
}

impl Refused {
    fn because(reason: RefusalReason) -> Self {
        Self { reason, detail: Untrusted::default() }
    }
}

impl SecretStore {
    /// Reads every source that is not a command, and locks what it read into memory.
    ///
    /// # Errors
    /// [`HostError`] for the first source that does not yield its secret, or a key that is there twice.
    pub fn open(specs: Vec<SecretSpec>) -> Result<Self, HostError> {
        if specs.len() > MAX_OFFERS {
            return Err(HostError::TooManySecrets(MAX_OFFERS));
        }
        let mut store = Self { entries: BTreeMap::new() };
        for mut spec in specs {
            let key = spec.form.key.clone();
            if store.entries.contains_key(&key) {
                return Err(HostError::DuplicateKey(key));
            }
            let value =
                spec.read_at_start().map_err(|problem| HostError::Source { key: key.clone(), problem })?;
            let value = match value {
                None => Value::NotYetRun,
                Some(secret) => Value::Known(locked(secret)),
            };
            let entry = Entry { spec, readers: Mutex::default(), value: AsyncMutex::new(value) };
            store.entries.insert(key, entry);
        }
        Ok(store)
    }

    /// The keys, in order.
    pub fn keys(&self) -> Vec<Key> {
        self.entries.keys().cloned().collect()
    }

    /// Every secret, whatever its read limit, for someone who looks for them. Runs the commands that have not run.
    ///
    /// # Errors
    /// [`HostError::Source`] for the first command that does not yield its secret.
    pub async fn read_all(&self) -> Result<Vec<(Key, Arc<Secret>)>, HostError> {
        let mut all = Vec::with_capacity(self.entries.len());
        for (key, entry) in &self.entries {
            let mut value = entry.value.lock().await;
            let secret = match &*value {
                Value::Known(secret) => Arc::clone(secret),
                Value::NotYetRun | Value::Failed(..) => {
                    let failed = |problem| HostError::Source { key: key.clone(), problem };
                    let secret = locked(entry.spec.run_command().await.map_err(failed)?);
                    *value = Value::Known(Arc::clone(&secret));
                    secret
                }
            };
            all.push((key.clone(), secret));
        }
        Ok(all)
    }

    /// The secret of `key`, for `session`. Runs its command if it has one and nobody asked before; others who ask
    /// meanwhile wait for the same run.
    pub(crate) async fn read(&self, session: SessionId, key: &Key) -> Result<Arc<Secret>, Refused> {
        let entry = self.entries.get(key).ok_or_else(|| Refused::because(RefusalReason::Unknown))?;
        entry.count(session)?;
        let mut value = entry.value.lock().await;
        match &*value {
            Value::Known(secret) => return Ok(Arc::clone(secret)),
            Value::Failed(when, why) if when.elapsed() < FAILURE_REMEMBERED => return Err(failed(why)),
            Value::Failed(..) | Value::NotYetRun => {}
        }
        match entry.spec.run_command().await {
            Ok(secret) => {
                let secret = locked(secret);
                *value = Value::Known(Arc::clone(&secret));
                Ok(secret)
            }
            Err(error) => {
                let why = error.to_string();
                warn!("secret {key}: {why}");
                let refused = failed(&why);
                *value = Value::Failed(Instant::now(), why);
                Err(refused)
            }
        }
    }
}

impl Entry {
    fn count(&self, session: SessionId) -> Result<(), Refused> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !readers.contains(&session);
        match self.spec.max_reads {
            Some(limit) if is_new && readers.len() as u64 >= u64::from(limit) => {
                Err(Refused::because(RefusalReason::ReadLimit))
            }
            // Without a limit nobody asks who read it, and the set must not grow for ever.
            Some(_) => {
                readers.insert(session);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Locks `secret` into memory for as long as the process has that memory. It is never unlocked by hand: that goes by
/// pages, so it would unlock a neighbour's secret too, and once the bytes are freed there may be no page to unlock.
fn locked(secret: Secret) -> Arc<Secret> {
    if !secret.is_empty() {
        match region::lock(secret.expose().as_ptr(), secret.len()) {
            Ok(lock) => std::mem::forget(lock),
            Err(error) => {
                warn!(
                    "a secret of {} bytes could not be locked into memory and may reach swap: {error}",
                    secret.len()
                );
            }
        }
    }
    Arc::new(secret)
}

fn failed(why: &str) -> Refused {
    Refused { reason: RefusalReason::SourceFailed, detail: Untrusted::new(why) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;

    fn spec(key: &str, source: Source) -> SecretSpec {
        SecretSpec { form: key.parse().unwrap(), source, max_reads: None, allow_empty: false, trim: false }
    }

    fn literal(key: &str) -> SecretSpec {
        spec(key, Source::Literal(Secret::new(b"value".to_vec())))
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    #[test]
    fn a_key_cannot_have_two_sources() {
        let result = SecretStore::open(vec![literal("k"), literal("b64:k")]);
        assert!(matches!(result, Err(HostError::DuplicateKey(_))));
    }

    #[test]
    fn max_reads_counts_sessions_and_not_retries() {
        let store = SecretStore::open(vec![SecretSpec { max_reads: Some(1), ..literal("k") }]).unwrap();
        let key = "k".parse().unwrap();
        block_on(async {
            for _ in 0..2 {
                assert!(store.read(SessionId([1; 16]), &key).await.is_ok());
            }
            let refused = store.read(SessionId([2; 16]), &key).await.unwrap_err();
            assert_eq!(refused.reason, RefusalReason::ReadLimit);
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_command_runs_once_for_all_who_ask() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("runs");
        let command = format!("echo run >> '{}'; printf value", log.display());
        let store = SecretStore::open(vec![spec("k", Source::Command(command))]).unwrap();
        assert!(!log.exists());
        let key = "k".parse().unwrap();
        block_on(async {
            let (a, b) =
                tokio::join!(store.read(SessionId([1; 16]), &key), store.read(SessionId([2; 16]), &key));
            assert_eq!((a.unwrap().expose(), b.unwrap().expose()), (&b"value"[..], &b"value"[..]));
        });
        assert_eq!(std::fs::read_to_string(log).unwrap(), "run\n");
    }
}
