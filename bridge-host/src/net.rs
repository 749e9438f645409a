//! The network: from the listening socket to the websocket of a proven client.

pub(crate) mod addresses;
pub(crate) mod connection;
pub(crate) mod frames;
pub(crate) mod handshake;
pub(crate) mod knocks;
pub(crate) mod listener;
pub(crate) mod pending;
pub(crate) mod refusal;
pub(crate) mod tasks;
pub(crate) mod upgrade;
