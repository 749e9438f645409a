//! The host side: it has the secrets, and gives them to whoever proves the conf's client key.
//!
//! The flow, in the order of the files: [`config`] says what was asked for; `authority` mints this run's CA;
//! `listener` binds; `bridge` accepts, bounds and ends; `waiting_room` and `handshake` hold and prove a connection;
//! `upgrade` and `sessions` admit it; `session` converses, over `store` and `source`; `audit` writes it down.

pub mod audit;
pub mod bridge;
pub mod config;
pub mod error;
pub mod listener;
pub mod private_file;
pub mod source;
pub mod store;

mod addresses;
mod authority;
mod ca_key_store;
mod clock;
mod command;
mod handshake;
mod session;
mod sessions;
mod upgrade;
mod waiting_room;

pub use audit::AuditTarget;
pub use bridge::{Bridge, Ended, Summary};
pub use config::ServeConfig;
pub use error::{CaKeyStoreError, HostError, SourceError};
pub use listener::{AllowFrom, Listen};
pub use source::{SecretSpec, Source};
pub use store::SecretStore;
