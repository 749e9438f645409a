//! Why the bridge cannot be reached, or a connection to it ends early.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use proto::{Untrusted, UpgradeRefusal, WireError};
use thiserror::Error;

/// Why an endpoint does not lead to the bridge.
#[derive(Debug, Clone, Error)]
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
    /// The peer accepted the connection, and the handshake did not end.
    #[error("accepted the connection, then timed out (overloaded, or not a bridge)")]
    Stalled,
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
    ProxyUnreachable(Arc<io::Error>),
    /// The status of the proxy's response is not 2xx.
    #[error("the proxy refused ({0} {1})")]
    ProxyRefused(u16, Untrusted),
    /// The scheme of the proxy's URL is not `http`.
    #[error("only http:// proxies are supported")]
    ProxyUnsupported,
    /// Any other error of the system.
    #[error("{0}")]
    Io(Arc<io::Error>),
}

impl Cause {
    /// Whether the endpoint took the connection and then did not answer, as a bridge does that has too much to do. All
    /// other causes are answers, or show that there is no bridge.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Stalled | Self::Closed => true,
            Self::Refused
            | Self::TimedOut
            | Self::Unreachable
            | Self::UnknownName
            | Self::NotTls
            | Self::WrongPin
            | Self::UnknownConf
            | Self::Tls(_)
            | Self::ProxyUnreachable(_)
            | Self::ProxyRefused(..)
            | Self::ProxyUnsupported
            | Self::Io(_) => false,
        }
    }
}

/// A failed attempt to reach the bridge.
#[derive(Debug)]
pub struct Attempt {
    /// The endpoint, and the proxy on the way to it.
    pub endpoint: String,
    /// Why it was tried. May be empty.
    pub note: &'static str,
    /// Whether neither the user nor the conf named the endpoint.
    pub is_guess: bool,
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
#[error("no endpoint of the bridge answered ({}{:.1} s){}", repeated(*.tries), .took.as_secs_f64(), listed(.attempts))]
pub struct DialError {
    /// Each endpoint with its own cause, in the order tried.
    pub attempts: Vec<Attempt>,
    /// How often the endpoints were tried that took the connection and did not answer. At least one.
    pub tries: u32,
    /// From the first attempt to the last failure.
    pub took: Duration,
    /// What to do about it, if an honest hint exists.
    pub hint: Option<String>,
}

fn repeated(tries: u32) -> String {
    if tries > 1 { format!("{tries} attempts in ") } else { String::new() }
}

fn listed(attempts: &[Attempt]) -> String {
    attempts.iter().map(|attempt| format!("\n  {attempt}")).collect()
}

impl DialError {
    /// Whether nothing listens at any of the addresses that the user or the conf named, so that the bridge has ended.
    /// A refusal at a guessed address says nothing: each container has a loopback of its own.
    pub fn shows_that_the_bridge_has_ended(&self) -> bool {
        let mut named = self.attempts.iter().filter(|attempt| !attempt.is_guess).peekable();
        named.peek().is_some() && named.all(|attempt| matches!(attempt.cause, Cause::Refused))
    }
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
    /// The bridge closed the connection because of a message of this client.
    #[error("the bridge rejects a message of this client: use the same release on both sides")]
    Rejected,
    /// The bridge closed the connection because of the number of requests on it.
    #[error("more requests than a session may make")]
    TooManyRequests,
    /// The connection broke before the bridge had answered, again and again.
    #[error("{error} ({tries} attempts in {:.1} s)", .took.as_secs_f64())]
    Repeated {
        /// How it broke in the end.
        error: Box<Self>,
        tries: u32,
        took: Duration,
    },
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

impl SessionError {
    /// What happened, without how often.
    fn cause(&self) -> &Self {
        if let Self::Repeated { error, .. } = self { error.cause() } else { self }
    }

    fn is_transient(&self) -> bool {
        matches!(
            self.cause(),
            Self::Broken(_) | Self::Refused(UpgradeRefusal::Busy | UpgradeRefusal::TooManyStreams)
        )
    }

    fn is_final(&self) -> bool {
        match self.cause() {
            Self::Refused(refusal) => {
                !matches!(refusal, UpgradeRefusal::Busy | UpgradeRefusal::TooManyStreams)
            }
            Self::UnknownClient | Self::Rejected | Self::TooManyRequests => true,
            Self::Broken(_)
            | Self::Silent(_)
            | Self::Repeated { .. }
            | Self::Wire(_)
            | Self::Protocol(_)
            | Self::NoRandomness => false,
        }
    }
}

impl ConnectError {
    /// Whether another attempt may succeed: a connection to the bridge broke, or the bridge is busy. Not if nothing listens
    /// at any endpoint: a bridge that has ended must be reported at once.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Dial(error) => error.attempts.iter().any(|attempt| attempt.cause.is_transient()),
            Self::Session(error) => error.is_transient(),
        }
    }

    /// Whether the session cannot be resumed, however often it is tried.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Dial(_) => false,
            Self::Session(error) => error.is_final(),
        }
    }

    /// This error, with how often it was tried.
    pub(crate) fn after(self, tries: u32, took: Duration) -> Self {
        match self {
            Self::Dial(error) => Self::Dial(DialError { tries, took, ..error }),
            Self::Session(error) if tries > 1 && error.is_transient() => {
                Self::Session(SessionError::Repeated { error: Box::new(error), tries, took })
            }
            Self::Session(error) => Self::Session(error),
        }
    }

    pub(crate) fn hint(&self) -> Option<String> {
        let error = match self {
            Self::Dial(error) => return error.hint.clone(),
            Self::Session(error) => error.cause(),
        };
        if matches!(error, SessionError::Broken(_) | SessionError::UnknownClient) {
            Some("is `serve` still running on the host?".to_owned())
        } else if matches!(error, SessionError::Refused(UpgradeRefusal::Busy)) {
            Some("start the bridge with a larger --max-concurrent, or run fewer clients at once".to_owned())
        } else {
            None
        }
    }
}
