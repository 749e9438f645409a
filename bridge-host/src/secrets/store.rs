//! The secrets of a running bridge, by key, with their read limits.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use git_credential::git_credentials_text;
use proto::limits::MAX_OFFERS;
use proto::{Key, RefusalReason, Secret, Untrusted};
use thiserror::Error;
use tokio::sync::Mutex as AsyncMutex;
use tracing::warn;

use crate::secrets::git_credential::{GitCredentialProblem, GitCredentialSource, GitCredentialSpec};
use crate::secrets::source::{SecretSpec, Source, SourceError};

/// How long the failure of a command is remembered. A build that retries at once must not hammer a password manager; a
/// person who unlocks it must not have to start the bridge again.
const FAILURE_MEMORY: Duration = Duration::from_secs(10);

/// Why the secrets of a bridge are not available.
#[derive(Debug, Error)]
pub enum SecretStoreError {
    #[error("secret {key}: {problem}")]
    Source { key: Key, problem: SourceError },
    #[error("secret {0} is given twice")]
    DuplicateKey(Key),
    #[error("more than {0} secrets")]
    TooManySecrets(usize),
}

pub struct SecretStore {
    entries: BTreeMap<Key, Entry>,
}

struct Entry {
    spec: SecretSpec,
    /// Numbers of the sessions that read it, if it has a read limit. A redial that reads again is the same session.
    readers: Mutex<HashSet<u64>>,
    value: AsyncMutex<Value>,
}

enum Value {
    Known(Arc<Secret>),
    NotYetRun,
    Failed(Instant, String),
}

/// A refused read, as the client gets it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: RefusalReason,
    pub(crate) detail: Untrusted,
}

impl Refused {
    fn new(reason: RefusalReason) -> Self {
        Self { reason, detail: Untrusted::default() }
    }
}

impl SecretStore {
    /// Reads every source that is not a command, and locks the secrets into memory.
    ///
    /// # Errors
    /// [`SecretStoreError`] for the first source that fails, and for a duplicate key.
    pub fn open(specs: Vec<SecretSpec>) -> Result<Self, SecretStoreError> {
        if specs.len() > MAX_OFFERS {
            return Err(SecretStoreError::TooManySecrets(MAX_OFFERS));
        }
        let mut store = Self { entries: BTreeMap::new() };
        for mut spec in specs {
            let key = spec.form.key.clone();
            if store.entries.contains_key(&key) {
                return Err(SecretStoreError::DuplicateKey(key));
            }
            let value = spec
                .read_at_start()
                .map_err(|problem| SecretStoreError::Source { key: key.clone(), problem })?;
            let value = match value {
                None => Value::NotYetRun,
                Some(secret) => Value::Known(locked(secret)),
            };
            let entry = Entry { spec, readers: Mutex::default(), value: AsyncMutex::new(value) };
            store.entries.insert(key, entry);
        }
        store.check_git_credentials()?;
        Ok(store)
    }

    /// Reads the git credentials made of secrets that are known already, so that an invalid one is a start error.
    fn check_git_credentials(&self) -> Result<(), SecretStoreError> {
        for (key, entry) in &self.entries {
            for spec in entry.git_credentials() {
                let GitCredentialSource::Secret(source) = &spec.source else { continue };
                let checked = match self.entries.get(source).map(|source| source.value.try_lock()) {
                    Some(Ok(value)) if source != key => match &*value {
                        Value::Known(secret) => spec.read(secret).map(drop),
                        Value::NotYetRun | Value::Failed(..) => Ok(()),
                    },
                    Some(_) | None => Err(GitCredentialProblem::NoSecret(source.clone())),
                };
                checked.map_err(|problem| SecretStoreError::Source {
                    key: key.clone(),
                    problem: source_error(spec, problem),
                })?;
            }
        }
        Ok(())
    }

    /// The keys, in order.
    pub fn keys(&self) -> Vec<Key> {
        self.entries.keys().cloned().collect()
    }

    /// All secrets, whatever their read limits, for a search. Runs the commands that have not run.
    ///
    /// # Errors
    /// [`SecretStoreError::Source`] for the first command that fails.
    pub async fn read_all(&self) -> Result<Vec<(Key, Arc<Secret>)>, SecretStoreError> {
        let mut all = Vec::with_capacity(self.entries.len());
        for (key, entry) in &self.entries {
            let failed = |problem| SecretStoreError::Source { key: key.clone(), problem };
            all.push((key.clone(), self.value(entry).await.map_err(failed)?));
        }
        Ok(all)
    }

    /// The secret of `key`, for the session of this number. Runs the key's command if it has one that has not run yet; reads of the same
    /// key wait for that run.
    ///
    /// # Errors
    /// [`Refused`] for an unknown key, a reached limit, and a source that fails.
    pub(crate) async fn read(&self, session: u64, key: &Key) -> Result<Arc<Secret>, Refused> {
        let entry = self.entries.get(key).ok_or_else(|| Refused::new(RefusalReason::Unknown))?;
        entry.count(session)?;
        // Git credentials reveal the secrets that they are made of, so they count as reads of these.
        for spec in entry.git_credentials() {
            if let GitCredentialSource::Secret(source) = &spec.source
                && let Some(source) = self.entries.get(source)
            {
                source.count(session)?;
            }
        }
        self.value(entry).await.map_err(|error| {
            let why = error.to_string();
            if !matches!(error, SourceError::RecentFailure(_)) {
                warn!("secret {key}: {why}");
            }
            Refused { reason: RefusalReason::SourceFailed, detail: Untrusted::new(why) }
        })
    }

    /// The value of `entry`; [`SourceError::RecentFailure`] within [`FAILURE_MEMORY`] of a failure.
    async fn value(&self, entry: &Entry) -> Result<Arc<Secret>, SourceError> {
        let mut value = entry.value.lock().await;
        match &*value {
            Value::Known(secret) => return Ok(Arc::clone(secret)),
            Value::Failed(when, why) if when.elapsed() < FAILURE_MEMORY => {
                return Err(SourceError::RecentFailure(why.clone()));
            }
            Value::Failed(..) | Value::NotYetRun => {}
        }
        let obtained = match &entry.spec.source {
            Source::GitCredentials(specs) => self.compose(specs).await,
            Source::Literal(_) | Source::File(_) | Source::Env(_) | Source::Stdin | Source::Command(_) => {
                entry.spec.run_command().await
            }
        };
        match obtained {
            Ok(secret) => {
                let secret = locked(secret);
                *value = Value::Known(Arc::clone(&secret));
                Ok(secret)
            }
            Err(error) => {
                *value = Value::Failed(Instant::now(), error.to_string());
                Err(error)
            }
        }
    }

    /// The git credentials of `specs`, all or none.
    async fn compose(&self, specs: &[GitCredentialSpec]) -> Result<Secret, SourceError> {
        let mut credentials = Vec::with_capacity(specs.len());
        for spec in specs {
            let credential = match &spec.source {
                GitCredentialSource::Git => spec.fill().await,
                GitCredentialSource::Secret(key) => match self.entries.get(key) {
                    None => Err(GitCredentialProblem::NoSecret(key.clone())),
                    // Boxed, because it is recursive. Only one level deep: `check_git_credentials` refuses a credential
                    // that is made of itself.
                    Some(entry) => match Box::pin(self.value(entry)).await {
                        Ok(secret) => spec.read(&secret),
                        Err(error) => Err(GitCredentialProblem::source(key, &error.to_string())),
                    },
                },
            };
            credentials.push(credential.map_err(|problem| source_error(spec, problem))?);
        }
        Ok(git_credentials_text(&credentials))
    }
}

fn source_error(spec: &GitCredentialSpec, problem: GitCredentialProblem) -> SourceError {
    SourceError::GitCredential { scope: Box::new(spec.scope.clone()), problem: Box::new(problem) }
}

impl Entry {
    fn git_credentials(&self) -> &[GitCredentialSpec] {
        match &self.spec.source {
            Source::GitCredentials(specs) => specs,
            Source::Literal(_) | Source::File(_) | Source::Env(_) | Source::Stdin | Source::Command(_) => &[],
        }
    }

    /// Counts `session` as a reader.
    fn count(&self, session: u64) -> Result<(), Refused> {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !readers.contains(&session);
        match self.spec.max_reads {
            Some(limit) if is_new && readers.len() as u64 >= u64::from(limit) => {
                Err(Refused::new(RefusalReason::ReadLimit))
            }
            // Without a limit the readers do not matter, and the set must not grow without bound.
            Some(_) => {
                readers.insert(session);
                Ok(())
            }
            None => Ok(()),
        }
    }
}

/// Locks `secret` into memory for as long as the process has that memory. It is never unlocked explicitly: unlocking goes
/// by pages, so it would unlock a neighbour's secret too, and once the bytes are freed there may be no page to unlock.
fn locked(secret: Secret) -> Arc<Secret> {
    if !secret.is_empty() {
        match region::lock(secret.expose().as_ptr(), secret.len()) {
            Ok(lock) => std::mem::forget(lock),
            Err(error) => {
                warn!(
                    "cannot lock a secret of {} bytes into memory, so it may reach swap: {error}",
                    secret.len()
                );
            }
        }
    }
    Arc::new(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert!(matches!(result, Err(SecretStoreError::DuplicateKey(_))));
    }

    #[test]
    fn max_reads_counts_sessions_and_not_retries() {
        let store = SecretStore::open(vec![SecretSpec { max_reads: Some(1), ..literal("k") }]).unwrap();
        let key = "k".parse().unwrap();
        block_on(async {
            for _ in 0..2 {
                assert!(store.read(1, &key).await.is_ok());
            }
            let refused = store.read(2, &key).await.unwrap_err();
            assert_eq!(refused.reason, RefusalReason::ReadLimit);
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_command_runs_once_for_all_sessions() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("runs");
        let command = format!("echo run >> '{}'; printf value", log.display());
        let store = SecretStore::open(vec![spec("k", Source::Command(command))]).unwrap();
        assert!(!log.exists());
        let key = "k".parse().unwrap();
        block_on(async {
            let (a, b) = tokio::join!(store.read(1, &key), store.read(2, &key));
            assert_eq!((a.unwrap().expose(), b.unwrap().expose()), (&b"value"[..], &b"value"[..]));
        });
        assert_eq!(std::fs::read_to_string(log).unwrap(), "run\n");
    }
}
