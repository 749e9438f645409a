//! Opening a connection to a server.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::error::ConnectError;
use super::proxy::HostProxies;
use super::server::Server;
use super::tcp::tcp;
use super::wire::Wire;

const TLS_TIMEOUT: Duration = Duration::from_secs(10);

/// Connects to `server`, by the host's proxy if its settings say so.
///
/// # Errors
/// [`ConnectError`].
pub(crate) async fn open(server: &Server, proxies: &HostProxies) -> Result<Wire, ConnectError> {
    let (host, port) = (server.origin.host(), server.origin.port());
    let Some(tls) = &server.tls else {
        // A proxy permits CONNECT to ports of TLS only, so plain HTTP goes directly.
        return Ok(Wire::Plain(tcp(host, port).await?));
    };
    let stream = match proxies.for_host(host, port) {
        Some(proxy) => super::proxy::connect(proxy, &server.origin.to_string()).await?,
        None => tcp(host, port).await?,
    };
    let connector = TlsConnector::from(Arc::clone(&tls.config));
    // Boxed: the state of a handshake is large, and the future of a request lives long.
    let handshake = Box::pin(timeout(TLS_TIMEOUT, connector.connect(tls.name.clone(), stream)));
    match handshake.await {
        Ok(Ok(stream)) => Ok(Wire::Tls(Box::new(stream))),
        Ok(Err(error)) => Err(ConnectError::of_handshake(error)),
        Err(_) => Err(ConnectError::TlsTimeout(TLS_TIMEOUT.as_secs())),
    }
}
