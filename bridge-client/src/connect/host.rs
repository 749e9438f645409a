//! What comes before the port.

use std::net::IpAddr;

/// An address or a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Host {
    Address(IpAddr),
    Name(String),
}
