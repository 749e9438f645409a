//! What an SSH agent may sign. Pure: no sockets, files, clock or async runtime.
//!
//! ```text
//! message -> request        what a client asks of the agent, parsed once
//!              sign_request   a key, and what it is to sign: userauth (a login) or sshsig (a file or commit)
//!         -> decide         the verdict, from the policy, the keys offered, and the binds of the connection
//!              policy         what the user allows
//!              binds          the hosts to which the connection is bound, each proven by a session_bind
//!              allowed_hosts  which hosts may be logged in to, with keys from known_hosts
//!         -> verdict        list, accept a bind, sign, or refuse; refusal has the reasons
//! ```
//!
//! [`ConnectionState::decide`] is the entry. SSH's formats are parsed here rather than by a crate for SSH keys: a bind's
//! host key may be a certificate, no bytes may follow a value, and every value has to encode to the bytes from which it
//! was parsed. What goes on to the host's agent is encoded anew.

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
