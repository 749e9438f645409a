//! Connecting to the bridge: candidate addresses, the race between them, the check of the pin, the websocket, and attempts
//! that are repeated.

pub(crate) mod connection;
pub(crate) mod dial;
pub(crate) mod error;
pub(crate) mod establish;
pub(crate) mod host;
pub(crate) mod retry;
pub(crate) mod session_id;
#[expect(dead_code, reason = "the proxy for HTTP requests keeps the session with it")]
pub(crate) mod session_keeper;
#[expect(dead_code, reason = "the proxy for HTTP requests opens streams")]
pub(crate) mod stream;

mod candidate;
mod network;
mod pin;
pub(crate) mod proxy;
mod race;
