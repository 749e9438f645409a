//! The settings of a bridge, from the command line or a project file.
//!
//! Both become [`Settings`], and only these become a bridge: the command line and the project file can express the same,
//! and every check is for both.

pub(crate) mod agent;
pub(crate) mod values;

use std::time::Duration;

use bridge_host::{AllowFrom, AuditTarget, GitCredentialSpec, HttpCredentialSpec, Listen, SecretSpec};
use proto::Endpoint;

use crate::host::scan::ScanTarget;
use crate::host::settings::agent::AgentSettings;

/// One field for each option; `None`, empty or `false` if it is not given.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) secrets: Vec<SecretSpec>,
    pub(crate) git_credentials: Option<Vec<GitCredentialSpec>>,
    pub(crate) http: Vec<HttpCredentialSpec>,
    pub(crate) agents: AgentSettings,
    pub(crate) listen: Option<Listen>,
    pub(crate) allow_from: Option<AllowFrom>,
    pub(crate) endpoints: Option<Vec<Endpoint>>,
    /// `Some(None)`: no timeout.
    pub(crate) timeout: Option<Option<Duration>>,
    /// 1 for `--once`.
    pub(crate) max_sessions: Option<u32>,
    pub(crate) tls_compat: bool,
    pub(crate) audit: Option<AuditTarget>,
    /// What `run` searches at the end.
    pub(crate) scan: Option<ScanTarget>,
}

impl Settings {
    /// These settings and, where they are not given, those of `file`. A list replaces a list: a policy merged from
    /// two halves would be what neither side intends. An entry with a name (a secret, an agent, a repository) replaces
    /// the one of that name, and a rule for HTTP requests the one for the same place. A flag can only be set: no option unsets it.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            secrets: named_or(self.secrets, file.secrets, |a, b| a.form.key == b.form.key),
            git_credentials: self.git_credentials.or(file.git_credentials),
            http: named_or(self.http, file.http, |a, b| a.rule.to_string() == b.rule.to_string()),
            agents: self.agents.or(file.agents),
            listen: self.listen.or(file.listen),
            allow_from: self.allow_from.or(file.allow_from),
            endpoints: self.endpoints.or(file.endpoints),
            timeout: self.timeout.or(file.timeout),
            max_sessions: self.max_sessions.or(file.max_sessions),
            tls_compat: self.tls_compat || file.tls_compat,
            audit: self.audit.or(file.audit),
            scan: self.scan.or(file.scan),
        }
    }
}

/// The entries `here`, and those of `file` whose names are not in `here`.
pub(super) fn named_or<T>(here: Vec<T>, mut file: Vec<T>, same: impl Fn(&T, &T) -> bool) -> Vec<T> {
    file.retain(|entry| !here.iter().any(|replacing| same(replacing, entry)));
    file.extend(here);
    file
}
