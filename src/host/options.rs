//! Options that several commands of the host share.

// Headings in the help.
pub(crate) const HTTP: &str = "HTTP credentials";
pub(crate) const NETWORK: &str = "Network";
pub(crate) const LIFETIME: &str = "Lifetime";
pub(crate) const LIMITS: &str = "Limits";
pub(crate) const OUTPUT: &str = "Output";

pub(crate) mod agent;
pub(crate) mod bridge;
mod fields;
pub(crate) mod git_credential;
pub(crate) mod http_credential;
pub(crate) mod project;
pub(crate) mod secret;
