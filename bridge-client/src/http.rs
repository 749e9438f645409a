//! HTTP requests of COMMAND to which the bridge's host adds credentials.
//!
//! COMMAND's tools get at it by `HTTPS_PROXY`: the `proxy` on loopback ends TLS for the origins that have rules, and passes
//! their requests to the bridge over streams of the session. The host alone knows the credentials, and decides. `request` is
//! what the command line asks for, and `session` ties all of it to COMMAND's lifetime.

mod error;
mod proxy;
mod request;
mod session;

pub use error::{HttpError, NoHttpRule};
pub use request::{HttpMode, HttpRequest};
pub(crate) use session::HttpSession;
