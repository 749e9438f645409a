//! The check that the peer of a TCP stream is the bridge that the conf pins.

use std::io;
use std::sync::Arc;

use aws_lc_rs::rand;
use proto::knock::Nonce;
use proto::tls::{ClientTls, server_name};
use rustls::{AlertDescription, Error as RustlsError};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::connect::error::Cause;

/// A TLS stream whose certificate chain matched the pin of the conf. Only [`prove`] makes one. Whether the bridge accepts
/// this client is known after the first read.
pub(crate) struct PinnedStream(TlsStream<TcpStream>);

impl PinnedStream {
    pub(crate) fn into_inner(self) -> TlsStream<TcpStream> {
        self.0
    }
}

/// Runs the TLS handshake over `tcp`, with a knock of its own. A peer that is not the pinned bridge sees a ClientHello and
/// nothing else.
///
/// # Errors
/// A [`Cause`].
pub(crate) async fn prove(tls: &ClientTls, tcp: TcpStream) -> Result<PinnedStream, Cause> {
    // The upgrade request follows the Finished message at once. Neither may wait for the acknowledgement of the other.
    let _ = tcp.set_nodelay(true);
    let mut nonce = Nonce([0; 8]);
    rand::fill(&mut nonce.0).map_err(|_| Cause::Tls(RustlsError::FailedToGetRandomBytes))?;
    let tls = Arc::new(tls.for_connection(nonce));
    let stream = TlsConnector::from(tls).connect(server_name(), tcp).await;
    stream.map(PinnedStream).map_err(cause_of_handshake)
}

// Other causes stay as they are.
#[allow(clippy::wildcard_enum_match_arm)]
fn cause_of_handshake(error: io::Error) -> Cause {
    match tls_error(&error) {
        // No CA matches the pin; or that CA, which anyone can copy, did not sign the leaf; or the peer presents the right
        // chain without having its private key.
        Some(RustlsError::InvalidCertificate(_)) => Cause::WrongPin,
        // A bridge answers a knock that it does not know so, before it sends anything else.
        Some(RustlsError::AlertReceived(AlertDescription::AccessDenied)) => Cause::UnknownConf,
        Some(RustlsError::InvalidMessage(_) | RustlsError::InappropriateMessage { .. }) => Cause::NotTls,
        Some(other) => Cause::Tls(other.clone()),
        // TCP has connected: nothing of this says that there is no bridge.
        None if error.kind() == io::ErrorKind::TimedOut => Cause::Stalled,
        None => match cause_of_io(error) {
            Cause::Io(_) => Cause::Closed,
            other => other,
        },
    }
}

/// The TLS error that an I/O error wraps, if any.
pub(crate) fn tls_error(error: &io::Error) -> Option<&RustlsError> {
    error.get_ref()?.downcast_ref()
}

/// The cause that an I/O error stands for.
// Other kinds are shown as the system describes them.
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
        _ => Cause::Io(Arc::new(error)),
    }
}
