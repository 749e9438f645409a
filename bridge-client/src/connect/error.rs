//! Why the bridge cannot be reached, or a connection to it ends early.

use std::fmt;
use std::io;
use std::time::Duration;

use proto::{Untrusted, UpgradeRefusal, WireError};
use thiserror::Error;

/// Why an endpoint did not lead to the bridge.
#[derive(Debug, Error)]
pub enum Cause {
    /// Nothing listens there.
    #[error("refused")]
    Refused,
    /// No answer at all.
    #[error("timed out (filtered, or another network)")]
    TimedOut,
    /// The network says that there is no way.
    #[error("unreachable from here")]
    Unreachable,
    /// The name is not known.
    #[error("the name is not known here")]
    UnknownName,
    /// Connected, and closed before the handshake was done.
    #[error("closed the connection at once (its --allow-from, or no bridge)")]
    Closed,
    /// Something answered that does not speak TLS.
    #[error("answered, but not as a bridge does (another service, or a proxy)")]
    NotTls,
    /// A chain without the pinned CA, or without the right to it.
    #[error("another bridge answers there, or a proxy that intercepts TLS (wrong pin)")]
    WrongPin,
    /// The handshake failed otherwise.
    #[error("TLS failed: {0}")]
    Tls(rustls::Error),
    /// The proxy cannot be reached or does not speak HTTP.
    #[error("the proxy failed: {0}")]
    ProxyUnreachable(io::Error),
    /// The proxy answered with another status than 2xx.
    #[error("the proxy refused ({0} {1})")]
    ProxyRefused(u16, Untrusted),
    /// A proxy URL of another scheme than `http`.
    #[error("only http:// proxies are supported")]
    ProxyUnsupported,
    /// Anything else that the system says.
    #[error("{0}")]
    Io(io::Error),
}

/// One endpoint that was tried, and what came of it.
#[derive(Debug)]
pub struct Attempt {
    /// The endpoint, and the proxy on the way to it.
    pub endpoint: String,
    /// Why it was tried; may be empty.
    pub note: &'static str,
    /// What came of it.
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
    /// How long that took.
    pub took: Duration,
    /// What to do about it, if an honest hint exists.
    pub hint: Option<String>,
}

fn listed(attempts: &[Attempt]) -> String {
    attempts.iter().map(|attempt| format!("\n  {attempt}")).collect()
}

/// Why a conversation with the bridge failed.
#[derive(Debug, Error)]
pub enum SessionError {
    /// The bridge is the pinned one and refuses our client key.
    #[error("the bridge does not know this conf (is it of another run?)")]
    UnknownClient,
    /// The bridge answered the upgrade request with a refusal.
    #[error("{}", .0.as_str())]
    Refused(UpgradeRefusal),
    /// The connection broke, or the bridge ended.
    #[error("the connection to the bridge broke: {0}")]
    Broken(String),
    /// Nothing came for too long.
    #[error("the bridge said nothing for {} s", .0.as_secs())]
    Silent(Duration),
    /// The bridge said something that is not in the protocol.
    #[error("the bridge said something that this client does not understand: {0}")]
    Wire(#[from] WireError),
    /// The bridge broke a rule of the conversation.
    #[error("the bridge broke the protocol: {0}")]
    Protocol(&'static str),
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
