//! The client chooses its session's id.

use aws_lc_rs::rand;
use proto::SessionId;

use crate::connect::error::SessionError;

/// A new id for a session.
///
/// # Errors
/// [`SessionError::NoRandomness`].
pub(crate) fn new_session_id() -> Result<SessionId, SessionError> {
    let mut id = SessionId::NONE;
    rand::fill(&mut id.0).map_err(|_| SessionError::NoRandomness)?;
    Ok(id)
}
