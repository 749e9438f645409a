//! Why secrets cannot be fetched.

use std::fmt;

use proto::{Key, RefusalReason, Untrusted};
use thiserror::Error;

use crate::connect::error::{ConnectError, DialError, SessionError};
use crate::delivery::error::DeliveryError;

/// Why secrets cannot be fetched.
#[derive(Debug, Error)]
pub(crate) enum FetchError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Refused(#[from] RefusedSecrets),
    #[error(transparent)]
    Delivery(#[from] DeliveryError),
}

impl From<DialError> for FetchError {
    fn from(error: DialError) -> Self {
        Self::Connect(error.into())
    }
}

impl From<SessionError> for FetchError {
    fn from(error: SessionError) -> Self {
        Self::Connect(error.into())
    }
}

/// The bridge does not give these secrets. At least one.
#[derive(Debug, Error)]
#[error("{}", listed(.0))]
pub struct RefusedSecrets(pub Vec<RefusedSecret>);

impl RefusedSecrets {
    pub(crate) fn hint(&self) -> Option<String> {
        let is_unknown = self.0.iter().any(|secret| secret.reason == RefusalReason::Unknown);
        is_unknown.then(|| "`secrets-bridge test` lists the keys that the bridge offers".to_owned())
    }
}

/// One secret that the bridge does not give.
#[derive(Debug)]
pub struct RefusedSecret {
    /// Which.
    pub key: Key,
    /// Why.
    pub reason: RefusalReason,
    /// What the bridge says about it.
    pub detail: Untrusted,
}

impl fmt::Display for RefusedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.reason.as_str())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " ({})", self.detail) }
    }
}

fn listed(secrets: &[RefusedSecret]) -> String {
    match secrets {
        [one] => one.to_string(),
        many => {
            let lines: String = many.iter().map(|secret| format!("\n  {secret}")).collect();
            format!("{} secrets are not available{lines}", many.len())
        }
    }
}
