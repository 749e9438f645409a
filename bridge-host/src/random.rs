//! Random bytes from the operating system.

use aws_lc_rs::rand;
use thiserror::Error;

/// The operating system's random number generator failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the system's random number generator failed")]
pub struct RandomError;

/// `N` random bytes, fit for keys.
///
/// # Errors
/// [`RandomError`].
pub(crate) fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}
