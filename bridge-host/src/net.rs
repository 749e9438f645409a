//! The network: from the listening socket to the websocket of a proven client.

pub(crate) mod accept_loop;
pub(crate) mod addresses;
pub(crate) mod connection;
pub(crate) mod frames;
pub(crate) mod handshake;
pub(crate) mod handshakes;
pub(crate) mod knocks;
pub(crate) mod listener;
pub(crate) mod refusal;
pub(crate) mod slots;
pub(crate) mod tasks;
pub(crate) mod upgrade;

mod accept_errors;
pub(crate) mod silent_peers;
#[cfg(test)]
mod testing;
