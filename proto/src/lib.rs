//! What both sides of the bridge agree on: bridge conf, messages, limits, secrets, TLS parameters.
//!
//! Nothing in here opens a socket or a file, reads a clock or depends on an async runtime. `docs/PROTOCOL.md` specifies
//! the same for clients in other languages; `tests/documents/protocol.rs` compares that page with this crate.
//!
//! A whole connection:
//!
//! ```text
//! client                                           bridge
//!   | --- TCP, TLS 1.3 ClientHello with a knock -----> |   the bridge turns strangers away: [`knock`]
//!   | <-- leaf and CA, certificate request ----------- |   the client checks the pin: [`tls`]
//!   | --- client certificate, its proof, Finished ---> |   the bridge checks the client key: [`tls`]
//!   | --- upgrade request with a [`Hello`] ----------> |   purpose, session, keys requested
//!   | <-- 101, `welcome` ----------------------------- |   agents offered
//!   | <-- `length` n, `chunk` n … or `refused` n ----- |   answers to the keys in the hello: requests 0, 1, …
//!   | --- `get` first [key …] -----------------------> |   more keys, when the header could not hold all
//!   | <-- `length` n, `chunk` n … or `refused` n ----- |
//!   | <-- `agent`, `identities` ---------------------- |   if the hello requested an agent: what comes with it
//!   | --- `agent` channel message … -----------------> |   SSH agent requests, on channels
//!   | <-- `answer` channel … ------------------------- |
//!   | --- websocket close 1000 ----------------------> |
//! ```

pub mod agent;
pub mod client_certificate;
pub mod client_hello;
pub mod http;
pub mod knock;
pub mod limits;
pub mod proxy;
pub mod tls;

mod cbor;
mod conf;
mod error;
mod escape;
mod key;
mod message;
mod secret;

pub use conf::{BridgeConf, CONF_PREFIX, ClientSeed, Endpoint, Pin, looks_like_conf};
pub use error::{
    AgentIdError, ConfError, DecodeError, KeyError, NameError, OriginError, TlsError, WireError,
};
pub use escape::{Untrusted, escape, escape_line, escape_whole};
pub use key::{Encoding, Key, KeyForm};
pub use message::{
    ClientMessage, HELLO_HEADER, Hello, HostMessage, Purpose, RefusalReason, SUBPROTOCOL, SessionId,
    StreamAnswer, StreamRequest, UPGRADE_PATH, UpgradeRefusal,
};
pub use secret::Secret;
