//! The secrets of a running bridge, by key, with their read limits.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use git_credential::git_credentials_text;
use proto::limits::MAX_OFFERS;
use proto::{Key, RefusalReason, Secret, Untrusted};
use thiserror::Error;
use tokio::sync::{Mutex as AsyncMutex, Semaphore};
use tracing::warn;

use crate::secrets::git_credential::{GitCredentialProblem, GitCredentialSource, GitCredentialSpec};
use crate::secrets::readers::{LimitReached, Readers, ReservedRead};
use crate::secrets::retries::Failures;
use crate::secrets::source::{SecretSpec, Source, SourceError};

/// Most commands and gits that run at once; further ones wait. Each has a time limit, so the wait has an end.
const MAX_RUNS_AT_ONCE: usize = 8;

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

/// The secrets of a running bridge.
pub struct SecretStore(Arc<Entries>);

/// Called with each value when its source was read.
pub type Inspect = fn(&Key, &Secret);

/// Shared with the tasks that run sources: a source runs to its end even if the client that asked first goes away, so
/// that its failure is remembered, and a client that redials finds its value.
struct Entries {
    entries: BTreeMap<Key, Entry>,
    runs: Semaphore,
    inspect: Inspect,
}

struct Entry {
    spec: SecretSpec,
    readers: Readers,
    value: Arc<AsyncMutex<Value>>,
}

enum Value {
    Known(Arc<Secret>),
    NotYetRun,
    Failed(Failures),
}

/// A secret that a session may be given.
pub(crate) struct Read<'a> {
    secret: Arc<Secret>,
    /// Of the secret and, for git credentials, of those that they are made of.
    reserved: Vec<ReservedRead<'a>>,
}

type BoxedValue<'a> = Pin<Box<dyn Future<Output = Result<Arc<Secret>, SourceError>> + Send + 'a>>;

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

impl From<LimitReached> for Refused {
    fn from(LimitReached: LimitReached) -> Self {
        Self::new(RefusalReason::ReadLimit)
    }
}

impl Read<'_> {
    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// The session is given the secret, which counts for the read limits. A read that is dropped does not.
    pub(crate) fn give(self) -> Arc<Secret> {
        self.reserved.into_iter().for_each(ReservedRead::use_up);
        self.secret
    }
}

impl SecretStore {
    /// Reads every source that is not a command, and locks the secrets into memory.
    ///
    /// # Errors
    /// [`SecretStoreError`] for the first source that fails, and for a duplicate key.
    pub fn open(specs: Vec<SecretSpec>) -> Result<Self, SecretStoreError> {
        Self::open_and_inspect(specs, |_, _| {})
    }

    /// As [`Self::open`], and calls `inspect` with each value once: now, or when its command has run.
    ///
    /// # Errors
    /// [`SecretStoreError`] for the first source that fails, and for a duplicate key.
    pub fn open_and_inspect(specs: Vec<SecretSpec>, inspect: Inspect) -> Result<Self, SecretStoreError> {
        if specs.len() > MAX_OFFERS {
            return Err(SecretStoreError::TooManySecrets(MAX_OFFERS));
        }
        let mut entries = BTreeMap::new();
        for mut spec in specs {
            let key = spec.form.key.clone();
            if entries.contains_key(&key) {
                return Err(SecretStoreError::DuplicateKey(key));
            }
            let value = spec
                .read_at_start()
                .map_err(|problem| SecretStoreError::Source { key: key.clone(), problem })?;
            let value = match value {
                None => Value::NotYetRun,
                Some(secret) => {
                    inspect(&key, &secret);
                    Value::Known(locked(secret))
                }
            };
            let readers = Readers::new(spec.max_reads);
            entries.insert(key, Entry { spec, readers, value: Arc::new(AsyncMutex::new(value)) });
        }
        let entries = Entries { entries, runs: Semaphore::new(MAX_RUNS_AT_ONCE), inspect };
        entries.check_git_credentials()?;
        Ok(Self(Arc::new(entries)))
    }

    /// A store without secrets.
    pub(crate) fn empty() -> Self {
        Self(Arc::new(Entries {
            entries: BTreeMap::new(),
            runs: Semaphore::new(MAX_RUNS_AT_ONCE),
            inspect: |_, _| {},
        }))
    }

    /// The same secrets, for another part of the bridge.
    pub(crate) fn share(&self) -> Self {
        Self(Arc::clone(&self.0))
    }

    pub(crate) fn has(&self, key: &Key) -> bool {
        self.0.entries.contains_key(key)
    }

    /// The value of `key` for the bridge itself, which no read limit counts. Runs the key's command if it has one that has
    /// not run yet.
    ///
    /// # Errors
    /// [`SourceError`].
    pub(crate) async fn value(&self, key: &Key) -> Result<Arc<Secret>, SourceError> {
        self.0.value(key).await
    }

    /// The value of `key`, if it was read already.
    pub(crate) fn known(&self, key: &Key) -> Option<Arc<Secret>> {
        match &*self.0.entries.get(key)?.value.try_lock().ok()? {
            Value::Known(secret) => Some(Arc::clone(secret)),
            Value::NotYetRun | Value::Failed(_) => None,
        }
    }

    /// The keys, in order.
    pub fn keys(&self) -> Vec<Key> {
        self.0.entries.keys().cloned().collect()
    }

    /// All secrets, whatever their read limits, for a search. Runs the commands that have not run.
    ///
    /// # Errors
    /// [`SecretStoreError::Source`] for the first command that fails.
    pub async fn read_all(&self) -> Result<Vec<(Key, Arc<Secret>)>, SecretStoreError> {
        let mut all = Vec::with_capacity(self.0.entries.len());
        for key in self.0.entries.keys() {
            let failed = |problem| SecretStoreError::Source { key: key.clone(), problem };
            all.push((key.clone(), self.0.value(key).await.map_err(failed)?));
        }
        Ok(all)
    }

    /// The secret of `key`, for the session of this number. Runs the key's command if it has one that has not run yet; reads of the same
    /// key wait for that run.
    ///
    /// # Errors
    /// [`Refused`] for an unknown key, a reached limit, and a source that fails.
    pub(crate) async fn read(&self, session: u64, key: &Key) -> Result<Read<'_>, Refused> {
        let entry = self.0.entries.get(key).ok_or_else(|| Refused::new(RefusalReason::Unknown))?;
        // Git credentials reveal the secrets that they are made of, so they count as reads of these.
        let sources = entry.git_credentials().iter().filter_map(|spec| match &spec.source {
            GitCredentialSource::Secret(source) => self.0.entries.get(source),
            GitCredentialSource::Git => None,
        });
        let counting: Vec<&Entry> = std::iter::once(entry).chain(sources).collect();
        // Before the source: a session beyond the limit must not make a command run.
        for entry in &counting {
            entry.readers.check(session)?;
        }
        let secret = self.0.value(key).await.map_err(|error| {
            if !matches!(error, SourceError::NotRunAgain { .. }) {
                warn!("secret {key}: {error}");
            }
            Refused { reason: RefusalReason::SourceFailed, detail: Untrusted::new(error.for_client()) }
        })?;
        // After it: only what can be given is counted. Those before are given back if a later one is used up by now.
        let reserved =
            counting.iter().map(|entry| entry.readers.reserve(session)).collect::<Result<_, _>>()?;
        Ok(Read { secret, reserved })
    }
}

impl Entries {
    /// Reads the git credentials made of secrets that are known already, so that an invalid one is a start error.
    fn check_git_credentials(&self) -> Result<(), SecretStoreError> {
        for (key, entry) in &self.entries {
            for spec in entry.git_credentials() {
                let GitCredentialSource::Secret(source) = &spec.source else { continue };
                let checked = match self.entries.get(source).map(|source| source.value.try_lock()) {
                    Some(Ok(value)) if source != key => match &*value {
                        Value::Known(secret) => spec.read(secret).map(drop),
                        Value::NotYetRun | Value::Failed(_) => Ok(()),
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

    /// The value of `key`. Runs its source if there is none yet, and the last failure is long enough ago.
    async fn value(self: &Arc<Self>, key: &Key) -> Result<Arc<Secret>, SourceError> {
        let entry = self.entries.get(key).ok_or(SourceError::Empty)?;
        let mut value = Arc::clone(&entry.value).lock_owned().await;
        match &*value {
            Value::Known(secret) => return Ok(Arc::clone(secret)),
            Value::Failed(failures) => {
                if let Some(next) = failures.next_run(Instant::now()) {
                    return Err(SourceError::NotRunAgain { why: failures.why.clone(), next });
                }
            }
            Value::NotYetRun => {}
        }
        let (entries, key) = (Arc::clone(self), key.clone());
        // A task of its own, which has the lock: if this future is dropped, the source runs on. Otherwise clients that ask
        // and hang up would start a command again and again, and no failure would be remembered.
        let run = tokio::spawn(async move {
            let obtained = entries.run(&key).await;
            match obtained {
                Ok(secret) => {
                    let secret = locked(secret);
                    *value = Value::Known(Arc::clone(&secret));
                    Ok(secret)
                }
                Err(error) => {
                    let (why, now) = (error.to_string(), Instant::now());
                    let earlier = match &*value {
                        Value::Failed(earlier) => Some(earlier),
                        Value::Known(_) | Value::NotYetRun => None,
                    };
                    let failures = Failures::after(earlier, why.clone(), now);
                    let error = match failures.next_run(now) {
                        Some(next) => SourceError::Failed { problem: Box::new(error), next },
                        None => error,
                    };
                    *value = Value::Failed(failures);
                    Err(error)
                }
            }
        });
        run.await.unwrap_or(Err(SourceError::Abandoned))
    }

    /// As [`Self::value`], with a type that a recursive call can name.
    fn value_boxed<'a>(self: &'a Arc<Self>, key: &'a Key) -> BoxedValue<'a> {
        Box::pin(self.value(key))
    }

    /// Runs the source of `key`.
    async fn run(self: &Arc<Self>, key: &Key) -> Result<Secret, SourceError> {
        let entry = self.entries.get(key).ok_or(SourceError::Empty)?;
        match &entry.spec.source {
            Source::GitCredentials(specs) => self.compose(specs).await,
            Source::Literal(_) | Source::File(_) | Source::Env(_) | Source::Stdin | Source::Command(_) => {
                let _permit = self.runs.acquire().await;
                let secret = entry.spec.run_command().await?;
                (self.inspect)(key, &secret);
                Ok(secret)
            }
        }
    }

    /// The git credentials of `specs`, all or none.
    async fn compose(self: &Arc<Self>, specs: &[GitCredentialSpec]) -> Result<Secret, SourceError> {
        let mut credentials = Vec::with_capacity(specs.len());
        for spec in specs {
            let credential = match &spec.source {
                GitCredentialSource::Git => {
                    let _permit = self.runs.acquire().await;
                    spec.fill().await
                }
                GitCredentialSource::Secret(key) if !self.entries.contains_key(key) => {
                    Err(GitCredentialProblem::NoSecret(key.clone()))
                }
                // Boxed, because it is recursive. Only one level deep: `check_git_credentials` refuses a credential that is
                // made of itself. No permit is held meanwhile, so the secret's own source gets one.
                GitCredentialSource::Secret(key) => match self.value_boxed(key).await {
                    Ok(secret) => spec.read(&secret),
                    Err(error) => Err(GitCredentialProblem::source(key, &error.to_string())),
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
                store.read(1, &key).await.unwrap().give();
            }
            assert_eq!(refusal(&store, 2, &key).await, RefusalReason::ReadLimit);
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
            assert_eq!(
                (a.unwrap().secret().expose(), b.unwrap().secret().expose()),
                (&b"value"[..], &b"value"[..])
            );
        });
        assert_eq!(std::fs::read_to_string(log).unwrap(), "run\n");
    }

    #[cfg(unix)]
    #[test]
    fn a_read_that_is_not_given_does_not_use_up_the_limit() {
        let directory = tempfile::tempdir().unwrap();
        let (ready, log) = (directory.path().join("ready"), directory.path().join("runs"));
        let command = format!("echo run >> '{}'; cat '{}'", log.display(), ready.display());
        let git = GitCredentialSpec {
            scope: git_credential::GitScope::parse("git.example").unwrap(),
            user: None,
            source: GitCredentialSource::Secret("k".parse().unwrap()),
        };
        let limited = SecretSpec { max_reads: Some(1), ..spec("k", Source::Command(command)) };
        let store = SecretStore::open(vec![limited, spec("git", Source::GitCredentials(vec![git]))]).unwrap();
        let (key, git) = ("k".parse().unwrap(), "git".parse().unwrap());
        block_on(async {
            for session in [1, 2] {
                assert_eq!(refusal(&store, session, &key).await, RefusalReason::SourceFailed);
                assert_eq!(refusal(&store, session, &git).await, RefusalReason::SourceFailed);
            }
            assert_eq!(std::fs::read_to_string(&log).unwrap(), "run\n", "not again at once");
            std::fs::write(&ready, "value").unwrap();
            end_pauses(&store);
            // Dropped, as by a client that goes away, or an audit record that cannot be written.
            drop(store.read(3, &git).await.unwrap());
            drop(store.read(4, &key).await.unwrap());
            let pending = store.read(5, &git).await.unwrap();
            assert_eq!(refusal(&store, 6, &key).await, RefusalReason::ReadLimit);
            pending.give();
            assert_eq!(refusal(&store, 6, &key).await, RefusalReason::ReadLimit);
            assert_eq!(refusal(&store, 6, &git).await, RefusalReason::ReadLimit);
        });
    }

    #[cfg(unix)]
    #[test]
    fn a_client_that_hangs_up_does_not_make_a_command_run_again() {
        let directory = tempfile::tempdir().unwrap();
        let (gate, log) = (directory.path().join("gate"), directory.path().join("runs"));
        rustix::fs::mknodat(rustix::fs::CWD, &gate, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let command = format!("echo run >> '{}'; cat '{}'", log.display(), gate.display());
        let store = SecretStore::open(vec![spec("k", Source::Command(command))]).unwrap();
        let key = "k".parse().unwrap();
        block_on(async {
            // Opening the FIFO waits until the command has it open.
            let opening = tokio::task::spawn_blocking(move || std::fs::File::create(gate).unwrap());
            let mut gate = tokio::select! {
                _ = store.read(1, &key) => panic!("the command waits"),
                gate = opening => gate.unwrap(),
            };
            std::io::Write::write_all(&mut gate, b"value").unwrap();
            drop(gate);
            let read = store.read(2, &key).await.unwrap();
            assert_eq!(read.secret().expose(), b"value");
        });
        assert_eq!(std::fs::read_to_string(log).unwrap(), "run\n");
    }

    #[cfg(unix)]
    #[test]
    fn few_commands_run_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().display();
        // Each waits until as many run as may, and fails if there are more.
        let command = format!(
            "mkdir '{base}'/$$; until [ $(ls '{base}' | wc -l) -ge {MAX_RUNS_AT_ONCE} ] || [ -e '{base}.full' ]; do \
             sleep 0.01; done; touch '{base}.full'; ls '{base}' | wc -l; rmdir '{base}'/$$"
        );
        let keys: Vec<Key> = (0..3 * MAX_RUNS_AT_ONCE).map(|n| format!("k{n}").parse().unwrap()).collect();
        let specs = keys.iter().map(|key| spec(key.as_str(), Source::Command(command.clone()))).collect();
        let store = SecretStore::open(specs).unwrap();
        let most = block_on(async {
            let reads = keys.iter().map(|key| store.read(1, key));
            let reads = futures_util::future::join_all(reads).await;
            let number =
                |read: Read<'_>| String::from_utf8_lossy(read.secret().expose()).trim().parse().unwrap();
            reads.into_iter().map(|read| number(read.unwrap())).max()
        });
        std::fs::remove_file(format!("{base}.full")).unwrap();
        assert_eq!(most, Some(MAX_RUNS_AT_ONCE));
    }

    async fn refusal(store: &SecretStore, session: u64, key: &Key) -> RefusalReason {
        match store.read(session, key).await {
            Ok(_) => panic!("session {session} may read {key}"),
            Err(refused) => refused.reason,
        }
    }

    /// As if the pauses after all failures had passed.
    #[cfg(unix)]
    fn end_pauses(store: &SecretStore) {
        for entry in store.0.entries.values() {
            let mut value = entry.value.try_lock().unwrap();
            if let Value::Failed(failures) = &mut *value {
                failures.end_pause();
            }
        }
    }
}
