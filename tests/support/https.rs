//! Servers for HTTP credentials: real ones behind nginx, and one that answers as a test says, all of them over TLS with a
//! CA that only the bridge knows.
//!
//! The servers listen on this machine's loopback. Rules name them by names that exist in the bridge's `/etc/hosts` only
//! ([`names`]): a build needs no DNS for them, and `localhost` goes past every proxy.

pub mod authority;
pub mod corporate_proxy;
pub mod front;
pub mod names;
pub mod nowhere;
pub mod ruled;
pub mod scripted;
