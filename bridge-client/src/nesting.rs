//! A client in COMMAND of another client: it names the other's session as its parent, which waits for it and holds a place
//! already.

use std::env;

use proto::SessionId;
use thiserror::Error;

/// The variable of COMMAND with the id of a session that stays open as long as COMMAND runs. A session that ends before
/// COMMAND starts has none of its own, and leaves the variable as it is: the session around it is still open.
pub(crate) const SESSION_VARIABLE: &str = "SECRETS_BRIDGE_SESSION";

/// The variable does not hold a session's id.
#[derive(Debug, Error)]
#[error(
    "invalid {SESSION_VARIABLE}: not a session id (32 hexadecimal digits); unset it, `exec` sets it for COMMAND"
)]
pub struct ParentError;

/// The session whose COMMAND this process is part of. Whether it is one of the same bridge is for the bridge to say.
///
/// # Errors
/// [`ParentError`]. An empty variable is as good as none.
pub(crate) fn parent() -> Result<Option<SessionId>, ParentError> {
    match env::var_os(SESSION_VARIABLE) {
        None => Ok(None),
        Some(value) if value.is_empty() => Ok(None),
        Some(value) => match value.to_str().and_then(SessionId::parse) {
            Some(id) => Ok(Some(id)),
            None => Err(ParentError),
        },
    }
}
