//! The credentials that the host adds to HTTP requests, one for each rule, and the servers of the rules.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use http_message::{Headers, RequestHead, Target, Version};
use http_policy::{CredentialError, Echo, Rule, RuleError, Rules, Scheme};
use proto::{Encoding, Key, KeyForm, Secret, escape_line};
use thiserror::Error;
use tokio::sync::OnceCell;

use crate::http::upstream::server::Server;
use crate::http::upstream::tls::{Configs, RootsError};
use crate::named_file::NamedFile;
use crate::secrets::source::{SecretSpec, Source, SourceError};
use crate::secrets::store::{SecretStore, SecretStoreError};

/// One rule, and where its credential comes from.
#[derive(Debug)]
pub struct HttpCredentialSpec {
    pub rule: Rule,
    pub source: HttpCredentialSource,
    /// A file with the only CAs that may have signed the server's certificate, in PEM; `None` for those of this system.
    pub ca: Option<NamedFile>,
}

/// Where a rule's credential comes from. One line end at the end of the value is ignored.
#[derive(Debug)]
pub enum HttpCredentialSource {
    /// A source of its own. What it yields is no secret of the bridge: no client can ask for it.
    Own(Source),
    /// This secret of the bridge, which clients can read too. Its use does not count as a read.
    Secret(Key),
}

/// Why the rules of a bridge cannot be used.
#[derive(Debug, Error)]
pub enum HttpCredentialsError {
    #[error(transparent)]
    Rules(#[from] RuleError),
    #[error("too many HTTP credentials")]
    TooMany,
    #[error("HTTP credential for {rule}: {problem}")]
    Source { rule: String, problem: SourceError },
    #[error("HTTP credential for {rule}: there is no secret {key}: give it with --secret")]
    NoSecret { rule: String, key: Key },
    #[error("HTTP credential for {rule}: {problem}")]
    Invalid { rule: String, problem: CredentialError },
    #[error("HTTP credential for {rule}: cannot use {}: {problem}", .path.display())]
    Ca { rule: String, path: PathBuf, problem: RootsError },
    #[error("HTTP credential for {rule}: {problem}")]
    SystemRoots { rule: String, problem: RootsError },
    #[error("HTTP credential for {rule}: no certificate can be for this host name")]
    Host { rule: String },
}

/// Why there is no credential for a request now.
#[derive(Debug, Error)]
pub(crate) enum NoCredential {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Invalid(#[from] CredentialError),
    #[error("there is no such rule")]
    NoRule,
}

impl NoCredential {
    /// For the build's side.
    pub(crate) fn for_client(&self) -> String {
        match self {
            Self::Source(error) => escape_line(&error.for_client()),
            Self::Invalid(error) => error.to_string(),
            Self::NoRule => self.to_string(),
        }
    }
}

/// The rules of a bridge, with their credentials and servers.
pub struct HttpCredentials {
    rules: Rules,
    /// One for each rule, in their order.
    entries: Vec<Entry>,
    /// The credentials that are no secrets of the bridge.
    own: SecretStore,
    /// The secrets of the bridge.
    secrets: SecretStore,
}

struct Entry {
    credential: Credential,
    /// Once it is known.
    ready: OnceCell<Ready>,
    server: Server,
}

/// A credential that can be added to requests.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    pub(crate) secret: Arc<Secret>,
    /// Finds it in answers.
    pub(crate) echo: Echo,
}

#[derive(Debug, Clone)]
enum Credential {
    /// Under this key of [`HttpCredentials::own`].
    Own(Key),
    /// Under this key of [`HttpCredentials::secrets`].
    Secret(Key),
}

impl fmt::Debug for HttpCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpCredentials").field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl HttpCredentials {
    /// No rules: no HTTP request leaves the host.
    pub fn none() -> Self {
        let (own, secrets) = (SecretStore::empty(), SecretStore::empty());
        Self { rules: Rules::default(), entries: Vec::new(), own, secrets }
    }

    /// Reads every source that is not a command, and the CAs. `secrets` are those of the bridge.
    ///
    /// # Errors
    /// [`HttpCredentialsError`] for the first rule that cannot be used.
    pub fn open(specs: Vec<HttpCredentialSpec>, secrets: &SecretStore) -> Result<Self, HttpCredentialsError> {
        let mut configs = Configs::default();
        let (mut rules, mut own, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for (number, HttpCredentialSpec { rule, source, ca }) in specs.into_iter().enumerate() {
            let server = server(&mut configs, &rule, ca.as_ref())?;
            let credential = match source {
                HttpCredentialSource::Own(source) => {
                    let key = key_of(number)?;
                    own.push(SecretSpec {
                        form: KeyForm { encoding: Encoding::Plain, key: key.clone() },
                        source,
                        max_reads: None,
                        allow_empty: false,
                        trim: true,
                    });
                    Credential::Own(key)
                }
                HttpCredentialSource::Secret(key) if secrets.has(&key) => Credential::Secret(key),
                HttpCredentialSource::Secret(key) => {
                    return Err(HttpCredentialsError::NoSecret { rule: rule.to_string(), key });
                }
            };
            rules.push(rule);
            entries.push(Entry { credential, ready: OnceCell::new(), server });
        }
        let names: Vec<String> = rules.iter().map(Rule::to_string).collect();
        let rules = Rules::new(rules)?;
        let own = SecretStore::open(own).map_err(|error| match error {
            SecretStoreError::Source { key, problem } => {
                let of_key = |entry: &Entry| matches!(&entry.credential, Credential::Own(own) if *own == key);
                let rule = entries.iter().position(of_key).and_then(|index| names.get(index).cloned());
                HttpCredentialsError::Source { rule: rule.unwrap_or_default(), problem }
            }
            SecretStoreError::DuplicateKey(_) | SecretStoreError::TooManySecrets(_) => {
                HttpCredentialsError::TooMany
            }
        })?;
        let opened = Self { rules, entries, own, secrets: secrets.share() };
        opened.check_known()?;
        Ok(opened)
    }

    /// The rules, in the order in which they were given.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The values of all credentials that are no secrets of the bridge, with the names of their rules, for a search. Runs
    /// the commands that have not run.
    ///
    /// # Errors
    /// [`HttpCredentialsError::Source`] for the first command that fails.
    pub async fn read_all(&self) -> Result<Vec<(String, Arc<Secret>)>, HttpCredentialsError> {
        let mut all = Vec::new();
        for (rule, entry) in self.rules.iter().zip(&self.entries) {
            if let Credential::Own(key) = &entry.credential {
                let failed = |problem| HttpCredentialsError::Source { rule: rule.to_string(), problem };
                all.push((rule.to_string(), self.own.value(key).await.map_err(failed)?));
            }
        }
        Ok(all)
    }

    /// The server of a rule.
    pub(crate) fn server(&self, rule: usize) -> Option<&Server> {
        self.entries.get(rule).map(|entry| &entry.server)
    }

    /// The credential of a rule. Runs its command if it has one that has not run yet.
    ///
    /// # Errors
    /// [`NoCredential`].
    pub(crate) async fn credential(&self, rule: usize) -> Result<&Ready, NoCredential> {
        let (entry, rule) = self.entries.get(rule).zip(self.rules.get(rule)).ok_or(NoCredential::NoRule)?;
        // Requests that come while a command runs wait for it. A failure is remembered by the store.
        entry
            .ready
            .get_or_try_init(|| async {
                let secret = match &entry.credential {
                    Credential::Own(key) => self.own.value(key).await?,
                    Credential::Secret(key) => self.secrets.value(key).await?,
                };
                Ok(ready(rule, secret)?)
            })
            .await
    }

    /// Checks the values that are known already, so that an invalid one is a start error.
    fn check_known(&self) -> Result<(), HttpCredentialsError> {
        for (rule, entry) in self.rules.iter().zip(&self.entries) {
            let known = match &entry.credential {
                Credential::Own(key) => self.own.known(key),
                Credential::Secret(key) => self.secrets.known(key),
            };
            if let Some(secret) = known {
                ready(rule, secret)
                    .map_err(|problem| HttpCredentialsError::Invalid { rule: rule.to_string(), problem })?;
            }
        }
        Ok(())
    }
}

/// Checks that `secret` can be added to requests.
fn ready(rule: &Rule, secret: Arc<Secret>) -> Result<Ready, CredentialError> {
    let mut any = RequestHead {
        method: "GET".to_owned(),
        target: Target::Path("/".to_owned()),
        version: Version::Http11,
        headers: Headers::default(),
    };
    rule.authorize(&mut any, &secret)?;
    let echo = Echo::new(rule, &secret)?;
    Ok(Ready { secret, echo })
}

/// The key of a rule's credential in a store that no client can read.
fn key_of(number: usize) -> Result<Key, HttpCredentialsError> {
    number.to_string().parse().map_err(|_| HttpCredentialsError::TooMany)
}

fn server(
    configs: &mut Configs,
    rule: &Rule,
    ca: Option<&NamedFile>,
) -> Result<Server, HttpCredentialsError> {
    let name = || rule.to_string();
    let config = match rule.scheme {
        Scheme::Http => None,
        Scheme::Https => Some(configs.get(ca).map_err(|problem| match ca {
            Some(file) => HttpCredentialsError::Ca { rule: name(), path: file.path().to_owned(), problem },
            None => HttpCredentialsError::SystemRoots { rule: name(), problem },
        })?),
    };
    Server::new(rule.place().origin().clone(), config)
        .map_err(|_| HttpCredentialsError::Host { rule: name() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(place: &str, source: HttpCredentialSource) -> HttpCredentialSpec {
        let mut rule = Rule::new(place.parse().unwrap());
        rule.scheme = Scheme::Http;
        HttpCredentialSpec { rule, source, ca: None }
    }

    fn literal(value: &str) -> HttpCredentialSource {
        HttpCredentialSource::Own(Source::Literal(Secret::new(value.as_bytes().to_vec())))
    }

    fn error(specs: Vec<HttpCredentialSpec>) -> String {
        HttpCredentials::open(specs, &SecretStore::empty()).unwrap_err().to_string()
    }

    #[test]
    fn a_credential_that_cannot_be_used_is_a_start_error_that_names_its_rule() {
        let missing = HttpCredentialSource::Own(Source::Env("SB_TEST_NOT_SET".to_owned()));
        let text = error(vec![spec("a.example:80", literal("x")), spec("b.example:80/p", missing)]);
        assert!(text.contains("b.example:80/p") && text.contains("SB_TEST_NOT_SET is not set"), "{text}");
        let text = error(vec![spec("a.example:80", literal("hunter2\r\nX: y"))]);
        assert!(text.contains("a.example:80") && !text.contains("hunter2"), "{text}");
        assert!(error(vec![spec("a.example:80", literal("\n"))]).contains("empty"));
        let key = HttpCredentialSource::Secret("NPM".parse().unwrap());
        assert!(error(vec![spec("a.example:80", key)]).contains("there is no secret NPM"));
        let twice = vec![spec("a.example:80", literal("x")), spec("a.example:80", literal("y"))];
        assert!(error(twice).contains("same paths"));
        let mut with_ca = spec("a.example:8443", literal("x"));
        with_ca.rule.scheme = Scheme::Https;
        with_ca.ca = Some(NamedFile::typed("/nonexistent/ca.pem"));
        let text = error(vec![with_ca]);
        assert!(text.contains("/nonexistent/ca.pem: the file does not exist"), "{text}");
    }

    #[tokio::test]
    async fn a_rule_uses_its_own_value_or_a_secret_of_the_bridge() {
        let shared = SecretSpec {
            form: "NPM".parse().unwrap(),
            source: Source::Literal(Secret::from("shared\n".to_owned())),
            max_reads: Some(0),
            allow_empty: false,
            trim: false,
        };
        let secrets = SecretStore::open(vec![shared]).unwrap();
        let specs = vec![
            spec("a.example:80", literal("own\n")),
            spec("b.example:80", HttpCredentialSource::Secret("NPM".parse().unwrap())),
        ];
        let credentials = HttpCredentials::open(specs, &secrets).unwrap();
        assert_eq!(credentials.credential(0).await.unwrap().secret.expose(), b"own");
        // Its line end is left out when it is added to a request. The read limit is for builds.
        assert_eq!(credentials.credential(1).await.unwrap().secret.expose(), b"shared\n");
        assert!(matches!(credentials.credential(2).await, Err(NoCredential::NoRule)));
        // No build can ask for the first by any name, and a search knows the second already.
        assert_eq!(secrets.keys().len(), 1);
        let all = credentials.read_all().await.unwrap();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].0.as_str(), all[0].1.expose()), ("a.example:80", &b"own"[..]));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_runs_at_first_use_and_its_failure_is_remembered() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("runs");
        let command = |last: &str| {
            let text = format!("echo run >> '{}'; {last}", log.display());
            spec("a.example:80", HttpCredentialSource::Own(Source::Command(text)))
        };
        let runs = || std::fs::read_to_string(&log).unwrap_or_default().lines().count();
        let good = HttpCredentials::open(vec![command("echo token")], &SecretStore::empty()).unwrap();
        assert_eq!(runs(), 0);
        for _ in 0..2 {
            assert_eq!(good.credential(0).await.unwrap().secret.expose(), b"token");
        }
        assert_eq!(runs(), 1);
        let bad = HttpCredentials::open(vec![command("exit 3")], &SecretStore::empty()).unwrap();
        for _ in 0..2 {
            assert!(matches!(bad.credential(0).await, Err(NoCredential::Source(_))));
        }
        assert_eq!(runs(), 2);
    }
}
