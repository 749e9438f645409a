//! The SSH agent as COMMAND sees it, while it runs.
//!
//! A `socket` is what `SSH_AUTH_SOCK` names. Each connection to it is a `conversation`, which answers by itself what
//! the bridge need not be asked for, and passes on the rest as requests on a channel of the `link`: the session, which
//! is dialled again when it breaks. Who may sign what is decided on the host alone.

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
