//! What is said about a bridge, on the command line or in a project file.
//!
//! Both become this, and only this becomes a bridge: what the one cannot say the other cannot either, and whatever
//! is checked is checked for both.

pub(crate) mod agent;
pub(crate) mod values;

use std::ffi::OsString;
use std::time::Duration;

use bridge_host::{AllowFrom, AuditTarget, GitCredentialSpec, Listen, SecretSpec};
use proto::Endpoint;

use crate::host::settings::agent::AgentSettings;

/// Each is as the option of that name; `None`, empty or `false` where nothing was said.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) secrets: Vec<SecretSpec>,
    pub(crate) git_credentials: Option<Vec<GitCredentialSpec>>,
    pub(crate) agents: AgentSettings,
    pub(crate) listen: Option<Listen>,
    pub(crate) allow_from: Option<AllowFrom>,
    pub(crate) endpoints: Option<Vec<Endpoint>>,
    /// `Some(None)`: never.
    pub(crate) timeout: Option<Option<Duration>>,
    /// `--once` is one.
    pub(crate) max_sessions: Option<u32>,
    pub(crate) tls_compat: bool,
    pub(crate) audit: Option<AuditTarget>,
    /// The image for `run --scan`.
    pub(crate) scan: Option<OsString>,
}

impl Settings {
    /// What is said here and, where that is nothing, what `file` says. A list replaces a list: half of a policy from here
    /// and half from there would be nobody's. What has a name (a secret, an agent, a repository) replaces its namesake.
    /// A flag can only be set: no option takes one back.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            secrets: named_or(self.secrets, file.secrets, |a, b| a.form.key == b.form.key),
            git_credentials: self.git_credentials.or(file.git_credentials),
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

/// Those of here, and those of the file that have no namesake here.
pub(super) fn named_or<T>(here: Vec<T>, mut file: Vec<T>, same: impl Fn(&T, &T) -> bool) -> Vec<T> {
    file.retain(|entry| !here.iter().any(|replacing| same(replacing, entry)));
    file.extend(here);
    file
}
