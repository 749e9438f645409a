//! The SSH agent that COMMAND sees while it runs.
//!
//! `SSH_AUTH_SOCK` names the `socket`. Each of its `client`s is answered here where the bridge need not be asked; other
//! requests go through the `multiplexer`, each client's on its own channel of the session, which is redialled when its
//! connection breaks. `forwarding` ties these to COMMAND's lifetime. What may be signed is decided on the host alone.

mod client;
mod error;
mod forwarding;
mod multiplexer;
mod offer;
mod socket;

pub use error::AgentError;
pub(crate) use forwarding::AgentSession;
pub(crate) use multiplexer::Listing;
pub(crate) use offer::AgentOffer;
