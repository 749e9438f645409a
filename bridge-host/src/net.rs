//! The network side: from the listening socket to a proven client's websocket.

pub(crate) mod addresses;
pub(crate) mod connection;
pub(crate) mod handshake;
pub(crate) mod listener;
pub(crate) mod pending;
pub(crate) mod upgrade;
