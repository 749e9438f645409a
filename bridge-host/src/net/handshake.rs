//! The TLS handshake, in bounded time: a peer that knocked proves that it has the client key, or gets an alert and time
//! to read it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use proto::client_hello::ClientHello;
use rustls::server::{Accepted, Acceptor};
use rustls::{CertificateError, Error as RustlsError, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::StartHandshake;
use tokio_rustls::server::TlsStream;

use crate::net::handshakes::Knocked;
use crate::net::refusal::HandshakeRefusal;

/// Time for a TLS handshake after the knock: one round trip, and what client and bridge compute.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
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
    pub(crate) cause: HandshakeRefusal,
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

/// Runs the rest of the TLS handshake of `knocked`, in which the client proves that it has the client key.
///
/// # Errors
/// [`FailedHandshake`], also after [`HANDSHAKE_TIMEOUT`].
pub(crate) async fn prove_client(
    tls: Arc<ServerConfig>,
    knocked: Knocked,
) -> Result<ProvenStream, FailedHandshake> {
    let Knocked { tcp, hello, .. } = knocked;
    let accepted = match accepted(hello) {
        Ok(accepted) => accepted,
        Err((error, alert)) => {
            // It fits into an empty send buffer.
            let _ = tcp.try_write(&alert);
            return Err(FailedHandshake { cause: cause_in_tls(&error), tcp: Some(tcp) });
        }
    };
    let accept = StartHandshake::from_parts(accepted, tcp).into_stream(tls).into_fallible();
    match timeout(HANDSHAKE_TIMEOUT, accept).await {
        Ok(Ok(stream)) => Ok(ProvenStream(stream)),
        Ok(Err((error, tcp))) => Err(FailedHandshake { cause: cause(&error), tcp: Some(tcp) }),
        Err(_) => Err(FailedHandshake { cause: HandshakeRefusal::TimedOut, tcp: None }),
    }
}

/// The TLS library's state after `hello`; or its error, and the alert for the peer.
fn accepted(hello: ClientHello) -> Result<Accepted, (RustlsError, Vec<u8>)> {
    let mut acceptor = Acceptor::default();
    let record = hello.to_record();
    let mut unread = record.as_slice();
    while !unread.is_empty() {
        let read = acceptor.read_tls(&mut unread);
        read.map_err(|error| (RustlsError::General(error.to_string()), Vec::new()))?;
    }
    match acceptor.accept() {
        Ok(Some(accepted)) => Ok(accepted),
        // The reader of ClientHellos found it whole.
        Ok(None) => Err((RustlsError::General("an incomplete ClientHello".to_owned()), Vec::new())),
        Err((error, mut alert)) => {
            let mut bytes = Vec::new();
            // Writing to a Vec cannot fail.
            let _ = alert.write_all(&mut bytes);
            Err((error, bytes))
        }
    }
}

async fn drain(mut tcp: TcpStream) -> io::Result<()> {
    tcp.shutdown().await?;
    let mut ignored = [0; 4096];
    while tcp.read(&mut ignored).await? > 0 {}
    Ok(())
}

/// The cause of a failed handshake.
fn cause(error: &io::Error) -> HandshakeRefusal {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>()) {
        Some(error) => cause_in_tls(error),
        None => HandshakeRefusal::GaveUp,
    }
}

// All other errors are about what the peer sent.
#[allow(clippy::wildcard_enum_match_arm)]
fn cause_in_tls(error: &RustlsError) -> HandshakeRefusal {
    match error {
        RustlsError::NoCertificatesPresented => HandshakeRefusal::NoClientKey,
        RustlsError::InvalidCertificate(CertificateError::BadSignature) => {
            HandshakeRefusal::ClientKeyNotProven
        }
        RustlsError::InvalidCertificate(_) => HandshakeRefusal::OtherClientKey,
        RustlsError::PeerIncompatible(_) => HandshakeRefusal::IncompatibleTls,
        RustlsError::AlertReceived(_) => HandshakeRefusal::PeerRefusedBridge,
        _ => HandshakeRefusal::InvalidTls,
    }
}
