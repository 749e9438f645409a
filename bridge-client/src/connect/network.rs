//! What the system knows about this network.

#[cfg_attr(target_os = "linux", path = "network/linux.rs")]
#[cfg_attr(not(target_os = "linux"), path = "network/other.rs")]
mod platform;

pub(super) use platform::{default_gateways, has_only_loopback};
