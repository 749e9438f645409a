//! Systems without a cheap way to find the default gateway: only well-known names are tried.

use std::net::IpAddr;

pub(crate) fn default_gateways() -> Vec<IpAddr> {
    Vec::new()
}

pub(crate) fn has_only_loopback() -> bool {
    false
}
