//! Connections to the servers of rules: over TCP, directly or by this host's proxy, with TLS, and kept for the next request.

pub(crate) mod connect;
pub(crate) mod error;
pub(crate) mod pool;
pub(crate) mod proxy;
pub(crate) mod server;
mod tcp;
pub(crate) mod tls;
pub(crate) mod wire;
