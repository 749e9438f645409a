//! Connecting to the bridge: candidate addresses, the race between them, the check of the pin, the websocket.

pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod error;
pub(crate) mod pin;
pub(crate) mod session_id;

mod candidate;
mod host;
mod network;
pub(crate) mod proxy;
