//! HTTP requests of builds to servers that need a credential. The host judges each one, adds the credential, asks the server
//! over verified TLS, and streams the answer back: the credential never enters a build.
//!
//! ```text
//! stream        a stream of a client: websocket frames, and what the gateway reads and writes
//! stream_io     the same for whatever carries a stream: a client, or a test
//! credentials   the rules of a bridge, each with its credential and its server
//! gateway       what all requests of a bridge share
//! serve         the requests of one stream, one after the other
//!   exchange      one request: judged, recorded, answered
//!     outgoing      what goes to the server
//!     sending       on its way to the server and back
//!       feed          the tool's body, on its way to the server
//!       relay         the server's answer, on its way to the tool
//!         reader        what the server sends
//!     answer        answers of ours, in the place of the server's
//!   session       what the streams of one session share
//!   pace, record  how many requests there may be, and what is written about each
//! upstream      connections to servers: addresses, this host's proxy, TLS, and the pool
//! ```
//!
//! What a request may do, and what of it goes on, is decided in `http-policy`; messages are parsed and written in
//! `http-message`. They take the place of hyper: the parsers refuse whatever two programs could read in two ways (hyper
//! takes, for one, lines that end without a carriage return), every buffer has its limit in bytes, a body is passed on only as far as the
//! other side reads, and an end is told from a cut. hyper would have been 100 KB more.

mod answer;
mod credentials;
mod exchange;
mod fault;
mod feed;
mod gateway;
mod keep;
mod outgoing;
mod pace;
mod reader;
mod record;
mod relay;
mod sending;
mod serve;
mod session;
pub(crate) mod stream;
mod stream_io;
mod tool;
mod upstream;

pub(crate) use gateway::Gateway;

pub use credentials::{HttpCredentialSource, HttpCredentialSpec, HttpCredentials, HttpCredentialsError};
pub use upstream::tls::RootsError;

#[cfg(test)]
mod tests;
