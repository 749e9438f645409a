//! What the fuzz targets call. Not an interface.

use std::io;

use proto::Untrusted;

use crate::connect::proxy;

/// Status and reason of a proxy's response to CONNECT; `None` if more of it has to come.
///
/// # Errors
/// It is not HTTP, or too long.
pub fn proxy_response(received: &[u8]) -> io::Result<Option<(u16, Untrusted)>> {
    proxy::parse_response(received)
}
