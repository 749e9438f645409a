//! Why COMMAND cannot get the proxy.

use std::io;

use proto::http::Origin;
use thiserror::Error;

use super::authority::AuthorityError;

/// Most origins that an error lists.
const MAX_LISTED: usize = 16;

/// The bridge has no rule for what the command line demands.
#[derive(Debug, Error)]
pub enum NoHttpRule {
    #[error("the bridge has no rule for HTTP requests")]
    Any,
    /// `--http-listen` names an origin without a rule.
    #[error("the bridge has no rule for {} (it has rules for {})", .origin.short(), listed(.ruled))]
    For { origin: Origin, ruled: Vec<Origin> },
}

impl NoHttpRule {
    pub(crate) fn hint() -> String {
        "on the host: `secrets-bridge run --http-credential HOST=VARIABLE`; `exec --http=optional` runs COMMAND without it"
            .to_owned()
    }
}

fn listed(origins: &[Origin]) -> String {
    let shown: Vec<String> = origins.iter().take(MAX_LISTED).map(Origin::short).collect();
    let more = origins.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", shown.join(", "))
}

/// Why the proxy cannot be set up.
#[derive(Debug, Error)]
pub enum HttpError {
    #[error("cannot start the HTTP proxy for COMMAND: {0}")]
    Listen(io::Error),
    #[error("cannot start the HTTP proxy for COMMAND: {0}")]
    Authority(#[from] AuthorityError),
    #[error("cannot start the HTTP proxy for COMMAND: the system's random number generator failed")]
    NoRandomness,
    /// A port without a password must know who connects.
    #[error("--http-listen needs Linux: this system does not say which process a connection belongs to")]
    NoOwners,
    #[error("cannot write the HTTP proxy's files for COMMAND: {0}")]
    Files(io::Error),
}
