//! What an SSH agent may sign. Pure: no sockets, files, clock or async runtime.
//!
//! ```text
//! message -> request    what a client asks of the agent
//!         -> decide     the verdict on it, by the policy, the keys offered and the binds of its connection
//!            binds      to which hosts the connection is bound          session_bind   one proof of a host
//!            userauth   a login, as it is signed                        sshsig         a signature over a file
//!            allowed_hosts, known_hosts                                 which host has which key
//!         -> verdict    forward, filter or refuse; refusal says why
//! ```
//!
//! Everything of SSH is parsed here rather than by a crate for SSH keys: a bind's host key may be a certificate, nothing
//! may follow an end, and every value has to encode to the bytes it came from. What goes on to the agent is written
//! again from what was parsed.

#![forbid(unsafe_code)]

mod allowed_hosts;
mod binds;
mod decide;
mod host_name;
mod key;
mod known_hosts;
mod policy;
mod refusal;
mod request;
mod session_bind;
mod sign_request;
mod sshsig;
#[cfg(test)]
mod testing;
mod userauth;
mod verdict;

pub use allowed_hosts::{AllowedHosts, NotAllowed, UnknownHost};
pub use decide::ConnectionState;
pub use host_name::{AllowedHostSpec, AllowedHostSpecError, HostName};
pub use key::certificate::BadCertificate;
pub use key::fingerprint::{Fingerprint, InvalidFingerprint};
pub use known_hosts::{InvalidRevocation, KnownHosts};
pub use policy::{AgentPolicy, HostProof, KeySelector, KeySelectorError};
pub use refusal::Refusal;
pub use request::Change;
pub use sign_request::SignRequest;
pub use verdict::{Claims, Permitted, Refused, Verdict};
