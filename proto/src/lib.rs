//! What both sides of the bridge agree on: bridge conf, messages, limits, secrets, TLS parameters.
//!
//! Nothing in here opens a socket or a file, reads a clock or knows an async runtime. `docs/PROTOCOL.md` specifies
//! the same things for other languages; the bytes in it are checked by this crate's tests.
//!
//! The conversation, whole:
//!
//! ```text
//! client                                           bridge
//!   | --- TCP, TLS 1.3 ClientHello ------------------> |
//!   | <-- leaf and CA, certificate request ----------- |   the client checks the pin: [`tls`]
//!   | --- client certificate, its proof, Finished ---> |   the bridge checks the client key: [`tls`]
//!   | --- upgrade request with a [`Hello`] ----------> |   purpose, session to continue, keys wanted
//!   | <-- 101, `welcome` ----------------------------- |   session id, agents offered
//!   | <-- `length` n, `chunk` n … or `refused` n ----- |   answers to the keys in the hello: requests 0, 1, …
//!   | --- `get` first [key …] -----------------------> |   more keys, when the header could not hold all
//!   | <-- `length` n, `chunk` n … or `refused` n ----- |
//!   | <-- `agent`, `identities` ---------------------- |   if the hello asked for an agent: what it comes with
//!   | --- `agent` channel message … -----------------> |   SSH agent requests, on channels
//!   | <-- `answer` channel … ------------------------- |
//!   | --- websocket close 1000 ----------------------> |
//! ```

pub mod agent;
pub mod client_certificate;
pub mod conf;
pub mod error;
pub mod escape;
pub mod key;
pub mod limits;
pub mod message;
pub mod secret;
pub mod tls;

mod cbor;

pub use conf::{BridgeConf, Endpoint};
pub use error::{ConfError, KeyError, TlsError, WireError};
pub use escape::{Untrusted, escape};
pub use key::{Encoding, Key, KeyForm};
pub use message::{ClientMessage, Hello, HostMessage, Purpose, RefusalReason, SessionId, UpgradeRefusal};
pub use secret::Secret;
