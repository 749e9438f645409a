//! The gateway between a client in memory and a real server over TLS on loopback.

mod harness;
mod requests;
