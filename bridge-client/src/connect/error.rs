//! Why the bridge cannot be reached, or a connection to it ends early.

use std::fmt;
use std::io;
use std::time::Duration;

use proto::{Untrusted, UpgradeRefusal, WireError};
use thiserror::Error;

/// Why an endpoint does not lead to the bridge.
#[derive(Debug, Error)]
pub enum Cause {
    /// Nothing listens at the address.
    #[error("refused")]
    Refused,
    /// No answer at all.
    #[error("timed out (filtered, or another network)")]
    TimedOut,
    /// There is no route.
    #[error("unreachable from here")]
    Unreachable,
    /// DNS does not resolve the name.
    #[error("the name is not known here")]
    UnknownName,
    /// The peer accepted the connection and closed it before the handshake was done.
    #[error("closed the connection at once (excluded by --allow-from, or not a bridge)")]
    Closed,
    /// The peer does not speak TLS.
    #[error("answered, but not as a bridge does (another service, or a proxy)")]
    NotTls,
    /// The certificate chain does not match the pin, or the peer does not have its private key.
    #[error("another bridge answers there, or a proxy that intercepts TLS (wrong pin)")]
    WrongPin,
    /// A bridge, or anything else that speaks TLS, refuses the knock of this conf.
    #[error("the bridge does not know this conf (another run, or another version of secrets-bridge)")]
    UnknownConf,
    /// The handshake failed for another reason.
    #[error("TLS failed: {0}")]
    Tls(rustls::Error),
    /// The proxy cannot be reached or does not speak HTTP.
    #[error("the proxy failed: {0}")]
    ProxyUnreachable(io::Error),
    /// The status of the proxy's response is not 2xx.
    #[error("the proxy refused ({0} {1})")]
    ProxyRefused(u16, Untrusted),
    /// The scheme of the proxy's URL is not `http`.
    #[error("only http:// proxies are supported")]
    ProxyUnsupported,
    /// Any other error of the system.
    #[error("{0}")]
    Io(io::Error),
}

/// A failed attempt to reach the bridge.
#[derive(Debug)]
pub struct Attempt {
    /// The endpoint, and the proxy on the way to it.
    pub endpoint: String,
    /// Why it was tried. May be empty.
    pub note: &'static str,
    pub cause: Cause,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.endpoint, self.cause)?;
        if self.note.is_empty() { Ok(()) } else { write!(f, " ({})", self.note) }
    }
}

/// No endpoint led to the bridge.
#[derive(Debug, Error)]
#[error("no endpoint of the bridge answered ({:.1} s){}", .took.as_secs_f64(), listed(.attempts))]
pub struct DialError {
    /// Each endpoint with its own cause, in the order tried.
    pub attempts: Vec<Attempt>,
    /// From the first attempt to the last failure.
    pub took: Duration,
    /// What to do about it, if an honest hint exists.
    pub hint: Option<String>,
}

fn listed(attempts: &[Attempt]) -> String {
    attempts.iter().map(|attempt| format!("\n  {attempt}")).collect()
}

/// Why a connection to the bridge failed.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The bridge is the pinned one, and rejects the client key of the conf.
    #[error("the bridge does not know this conf (is it from another run?)")]
    UnknownClient,
    /// The bridge refused the upgrade request.
    #[error("{}", .0.as_str())]
    Refused(UpgradeRefusal),
    /// The connection broke, or the bridge ended.
    #[error("the connection to the bridge broke: {0}")]
    Broken(String),
    /// The bridge sent nothing for too long.
    #[error("the bridge sent nothing for {} s", .0.as_secs())]
    Silent(Duration),
    #[error("invalid message from the bridge: {0}")]
    Wire(#[from] WireError),
    /// A message is valid, and not allowed at this point.
    #[error("the bridge violated the protocol: {0}")]
    Protocol(&'static str),
    #[error("cannot choose a session id: the system's random number generator failed")]
    NoRandomness,
}

/// Why there is no connection to the bridge.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// No endpoint led to the bridge.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The bridge was reached, and the connection failed.
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl ConnectError {
    pub(crate) fn hint(&self) -> Option<String> {
        match self {
            Self::Dial(error) => error.hint.clone(),
            Self::Session(SessionError::Broken(_) | SessionError::UnknownClient) => {
                Some("is `serve` still running on the host?".to_owned())
            }
            Self::Session(_) => None,
        }
    }
}
