//! Where nothing cheap tells the default gateway: the well-known names have to do.

use std::net::IpAddr;

pub(crate) fn default_gateways() -> Vec<IpAddr> {
    Vec::new()
}

pub(crate) fn has_only_loopback() -> bool {
    false
}
