//! Where fetched secrets go.

use super::error::DeliveryError;

/// Receives secrets in pieces, by the index at which their keys were asked for.
pub(crate) trait Sink {
    /// Secret number `index` has `length` bytes. Called before any of them arrives: an error saves their transfer.
    fn begin(&mut self, index: usize, length: u64) -> Result<(), DeliveryError>;

    /// The next bytes of secret number `index`.
    fn chunk(&mut self, index: usize, bytes: &[u8]) -> Result<(), DeliveryError>;

    /// Whether secret number `index` is optional: it is no error that the bridge does not have it.
    fn is_optional(&self, _index: usize) -> bool {
        false
    }
}
