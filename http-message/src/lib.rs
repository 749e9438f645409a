//! HTTP/1.1 messages (RFC 9112), parsed strictly and written in one form: heads, and the framing of bodies. No I/O.
//!
//! Whatever two programs could read in two ways is an error here: a message that was parsed and is written anew means the
//! same to everyone.

mod headers;

pub use headers::{Header, Headers};
