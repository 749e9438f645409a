//! From a TCP connection to a proven client: TLS, in bounded time, and a refusal that the peer can read.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::{CertificateError, Error as RustlsError, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Time for a TLS handshake, and again for the upgrade request. A slow VPN needs two of its round trips.
pub(crate) const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a refused peer is read from, so that it gets our alert and not a reset.
const DRAIN: Duration = Duration::from_secs(1);

/// A connection whose other end proved that it has the client key. Only [`prove_client`] makes one.
pub(crate) struct ProvenStream(TlsStream<TcpStream>);

impl ProvenStream {
    /// The TLS stream, for the websocket.
    pub(crate) fn into_inner(self) -> TlsStream<TcpStream> {
        self.0
    }
}

/// A peer that did not get through the handshake.
pub(crate) struct Unproven {
    /// Why, in the words of [`cause`].
    pub(crate) cause: &'static str,
    /// Its connection, if an alert may be on its way to it.
    tcp: Option<TcpStream>,
}

impl Unproven {
    /// Lets the peer read why it was refused. A close with unread bytes would be a reset, which can overtake the
    /// alert.
    pub(crate) async fn dismiss(self) {
        if let Some(tcp) = self.tcp {
            let _ = timeout(DRAIN, drain(tcp)).await;
        }
    }
}

/// Runs the TLS handshake.
///
/// # Errors
/// [`Unproven`].
pub(crate) async fn prove_client(tls: &Arc<ServerConfig>, tcp: TcpStream) -> Result<ProvenStream, Unproven> {
    let accept = TlsAcceptor::from(Arc::clone(tls)).accept(tcp).into_fallible();
    match timeout(HANDSHAKE, accept).await {
        Ok(Ok(stream)) => Ok(ProvenStream(stream)),
        Ok(Err((error, tcp))) => Err(Unproven { cause: cause(&error), tcp: Some(tcp) }),
        Err(_) => Err(Unproven { cause: "timed-out", tcp: None }),
    }
}

async fn drain(mut tcp: TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    let mut ignored = [0; 4096];
    while tcp.read(&mut ignored).await? > 0 {}
    Ok(())
}

/// A stable word for why a handshake failed.
fn cause(error: &io::Error) -> &'static str {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>()) {
        Some(RustlsError::NoCertificatesPresented) => "no-client-key",
        Some(RustlsError::InvalidCertificate(CertificateError::BadSignature)) => "client-key-not-proven",
        Some(RustlsError::InvalidCertificate(_)) => "other-client-key",
        Some(RustlsError::PeerIncompatible(_)) => "incompatible-tls",
        Some(RustlsError::AlertReceived(_)) => "peer-refused-bridge",
        Some(_) => "not-tls",
        None => "gave-up",
    }
}
