//! What an SSH agent behind the bridge does for a build: nothing but to sign logins, for the keys, hosts and users that
//! are allowed. The build is not trusted, so all of it is decided here, on the host.
//!
//! The flow of one request, in the order of the files: [`policy`] says what was asked for; a `connection` reads a
//! `request` and gives its `verdict`, or a [`refusal`]. `binds` keeps which host a connection talks to, each proven by
//! a `session_bind` and judged by [`allowed_hosts`], whose keys come from [`known_hosts`] by [`host_name`]. What may be
//! signed is a login (`userauth`) or, for namespaces allowed by name, an `sshsig`. Under these are `sign_algorithm`,
//! `public_key`, `certificate`, `signature`, [`fingerprint`] and `mpint`.
//!
//! Nothing in here does I/O, but for reading known_hosts files at start. What is passed on to the agent behind the
//! bridge is written anew from what was checked.
//!
//! Everything is read here rather than by a crate for SSH keys: a bind's host key may be a certificate, nothing may
//! follow an end, and every value has to encode to the bytes it came from.

#![cfg_attr(not(test), expect(dead_code, reason = "the relay that asks for verdicts comes next"))]

pub mod allowed_hosts;
pub mod fingerprint;
pub mod host_name;
pub mod known_hosts;
pub mod policy;
pub mod refusal;

pub(crate) mod connection;
pub(crate) mod verdict;

mod binds;
mod certificate;
mod mpint;
mod public_key;
mod request;
mod session_bind;
mod sign_algorithm;
mod signature;
mod sshsig;
mod userauth;

#[cfg(test)]
mod testing;

pub use allowed_hosts::{AllowedHosts, HostsError, NotAllowed};
pub use certificate::BadCertificate;
pub use fingerprint::{Fingerprint, NoFingerprint};
pub use host_name::{HostName, HostWish, HostWishError};
pub use known_hosts::KnownHosts;
pub use policy::{AgentPolicy, HostProof, KeySelector, KeySelectorError};
pub use refusal::Refusal;
pub use request::Change;
