//! The way to the bridge: where it may be, which address proves to be it, and the connection to it.

pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod error;
pub(crate) mod pin;

mod candidate;
mod host;
mod network;
mod proxy;
