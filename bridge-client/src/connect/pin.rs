//! From a TCP stream to one that is known to end at the pinned bridge.

use std::io;
use std::sync::Arc;

use proto::tls::server_name;
use rustls::{ClientConfig, Error as RustlsError};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::connect::error::Cause;

/// A TLS stream whose chain matched the conf's pin. Only [`prove`] makes one. Whether the bridge takes *us* shows
/// at the first read.
pub(crate) struct PinnedStream(TlsStream<TcpStream>);

impl PinnedStream {
    /// The TLS stream, for the websocket.
    pub(crate) fn into_inner(self) -> TlsStream<TcpStream> {
        self.0
    }
}

/// Runs the TLS handshake over `tcp`. A peer that is not the pinned bridge has seen a ClientHello and no more.
///
/// # Errors
/// A [`Cause`].
pub(crate) async fn prove(tls: Arc<ClientConfig>, tcp: TcpStream) -> Result<PinnedStream, Cause> {
    // The upgrade request follows the Finished at once; neither may wait for the other's acknowledgement.
    let _ = tcp.set_nodelay(true);
    let stream = TlsConnector::from(tls).connect(server_name(), tcp).await;
    stream.map(PinnedStream).map_err(cause_of_handshake)
}

fn cause_of_handshake(error: io::Error) -> Cause {
    match tls_error(&error) {
        // No CA with the pin; or that CA (anybody can copy it) beside a leaf that it did not sign; or the true chain
        // without its private key.
        Some(RustlsError::InvalidCertificate(_)) => Cause::WrongPin,
        Some(RustlsError::InvalidMessage(_) | RustlsError::InappropriateMessage { .. }) => Cause::NotTls,
        Some(other) => Cause::Tls(other.clone()),
        None => cause_of_io(error),
    }
}

/// The TLS error inside an I/O error, if that is what it is.
pub(crate) fn tls_error(error: &io::Error) -> Option<&RustlsError> {
    error.get_ref()?.downcast_ref()
}

/// What an I/O error means for an endpoint.
// The kinds that are not named have nothing of their own to say.
#[allow(clippy::wildcard_enum_match_arm)]
pub(crate) fn cause_of_io(error: io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Cause::Refused,
        io::ErrorKind::TimedOut => Cause::TimedOut,
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown
        | io::ErrorKind::AddrNotAvailable => Cause::Unreachable,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            Cause::Closed
        }
        _ => Cause::Io(error),
    }
}
