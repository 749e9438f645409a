//! HTTP requests of COMMAND to which the bridge's host adds credentials.
//!
//! COMMAND's tools get at it by `HTTPS_PROXY`: the `proxy` on loopback. Its `listener` accepts their connections, and `tool`
//! reads what each one asks for: a `tunnel` to an origin that has a rule, a `direct` one to any other, or a request in `plain`
//! `http://`. A tunnel ends TLS with a certificate of the throwaway `authority`, and its `relay` passes the requests to the
//! bridge over streams from the `pool`. A `mirror` does the same for tools that use no proxy. `admission` says who may use
//! them. The host alone knows the credentials, and decides. `request` is what the command line asks for, and `session` ties
//! all of it to COMMAND's lifetime.

mod admission;
mod authority;
mod direct;
mod environment;
mod error;
mod listener;
mod mirror;
mod notices;
mod owner;
mod plain;
mod pool;
mod prefixed;
mod proxy;
mod relay;
mod reply;
mod request;
mod session;
mod signed_urls;
mod slots;
#[cfg(test)]
mod tests;
mod tool;
mod tunnel;

pub use authority::AuthorityError;
pub use error::{HttpError, NoHttpRule};
pub use request::{HttpMode, HttpRequest};
pub(crate) use session::HttpSession;
