//! The gateway between a client in memory and a real server over TLS on loopback.

mod clients;
mod harness;
mod lfs;
mod requests;
mod servers;
mod trust;
