//! The TLS handshake, in bounded time: the client proves that it has the client key, or gets an alert and time to read
//! it.

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
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the bridge reads what a refused peer still sends, so that the peer gets the alert and not a reset.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The connection of a client that proved the client key. Only [`prove_client`] makes one.
pub(crate) struct ProvenStream(TlsStream<TcpStream>);

impl ProvenStream {
    pub(crate) fn into_inner(self) -> TlsStream<TcpStream> {
        self.0
    }
}

/// A handshake that failed.
pub(crate) struct FailedHandshake {
    /// The audit's word for the cause.
    pub(crate) cause: &'static str,
    /// The connection, if an alert may be on its way to the peer.
    tcp: Option<TcpStream>,
}

impl FailedHandshake {
    /// Closes the connection once the peer had time to read the alert. Closing it with unread bytes would send a
    /// reset, which can overtake the alert.
    pub(crate) async fn close(self) {
        if let Some(tcp) = self.tcp {
            let _ = timeout(DRAIN_TIMEOUT, drain(tcp)).await;
        }
    }
}

/// Runs the TLS handshake, in which the client proves that it has the client key.
///
/// # Errors
/// [`FailedHandshake`], also after [`HANDSHAKE_TIMEOUT`].
pub(crate) async fn prove_client(
    tls: &Arc<ServerConfig>,
    tcp: TcpStream,
) -> Result<ProvenStream, FailedHandshake> {
    let accept = TlsAcceptor::from(Arc::clone(tls)).accept(tcp).into_fallible();
    match timeout(HANDSHAKE_TIMEOUT, accept).await {
        Ok(Ok(stream)) => Ok(ProvenStream(stream)),
        Ok(Err((error, tcp))) => Err(FailedHandshake { cause: cause(&error), tcp: Some(tcp) }),
        Err(_) => Err(FailedHandshake { cause: "timed-out", tcp: None }),
    }
}

async fn drain(mut tcp: TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    let mut ignored = [0; 4096];
    while tcp.read(&mut ignored).await? > 0 {}
    Ok(())
}

/// The audit's word for the cause of a failed handshake.
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
