//! The upgrade request of a proven client, which turns the connection into a websocket or is refused.

use std::time::Duration;

use proto::{HELLO_HEADER, Hello, SUBPROTOCOL, UPGRADE_PATH, UpgradeRefusal};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::net::handshake::ProvenStream;

/// Time for the upgrade request of a proven client. A slow VPN needs several of its round trips.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);

/// The connection of a proven client after the 101; `net::frames` reads and writes it. Boxed: it has 1 KB, for which each
/// future that it is passed to would have a place for as long as the session lasts.
pub(crate) type Upgraded = Box<TlsStream<TcpStream>>;

/// Why a connection did not become a websocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UpgradeError {
    /// `decide` refused the request.
    Refused,
    /// The client closed the connection, as one does that loses the race of endpoints, or was silent.
    Disconnected,
    /// The client sent something that is not an upgrade request, so no HTTP answer was sent.
    NotHttp,
}

/// Answers the upgrade request. `decide` gets the hello, or `None` if the request has no valid one, and returns what
/// the connection becomes, or a refusal, which the client gets as an HTTP status. The connection is returned with it.
///
/// # Errors
/// [`UpgradeError`].
pub(crate) async fn upgrade<T: Unpin>(
    stream: ProvenStream,
    decide: impl FnOnce(Option<Hello>) -> Result<T, UpgradeRefusal> + Unpin,
) -> Result<(Upgraded, T), UpgradeError> {
    let mut decided = None;
    let callback = DecideUpgrade { decide, decided: &mut decided };
    // tungstenite makes a buffer for frames, which is not used.
    let config = WebSocketConfig::default().read_buffer_size(64);
    let accept = tokio_tungstenite::accept_hdr_async_with_config(stream.into_inner(), callback, Some(config));
    let socket =
        timeout(UPGRADE_TIMEOUT, accept).await.map_err(|_| UpgradeError::Disconnected)?.map_err(error_of)?;
    Ok((Box::new(socket.into_inner()), decided.ok_or(UpgradeError::Refused)?))
}

// All other errors of tungstenite are about what the peer sent.
#[allow(clippy::wildcard_enum_match_arm)]
fn error_of(error: WsError) -> UpgradeError {
    match error {
        WsError::Http(_) => UpgradeError::Refused,
        WsError::Io(_)
        | WsError::ConnectionClosed
        | WsError::Protocol(ProtocolError::HandshakeIncomplete) => UpgradeError::Disconnected,
        _ => UpgradeError::NotHttp,
    }
}

struct DecideUpgrade<'a, F, T> {
    decide: F,
    decided: &'a mut Option<T>,
}

impl<T, F: FnOnce(Option<Hello>) -> Result<T, UpgradeRefusal>> Callback for DecideUpgrade<'_, F, T> {
    // tungstenite defines the error, and with it its size.
    #[allow(clippy::result_large_err)]
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        match (self.decide)(hello(request)) {
            Ok(decided) => {
                *self.decided = Some(decided);
                response
                    .headers_mut()
                    .insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
                Ok(response)
            }
            Err(refusal) => {
                let mut response = ErrorResponse::new(None);
                *response.status_mut() =
                    StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::BAD_REQUEST);
                Err(response)
            }
        }
    }
}

/// The hello of a request for the bridge's path and subprotocol; `None` if it has none, or several.
fn hello(request: &Request) -> Option<Hello> {
    let only = |name: &str| {
        let mut values = request.headers().get_all(name).iter();
        values.next().filter(|_| values.next().is_none())?.to_str().ok()
    };
    if request.uri().path() != UPGRADE_PATH || only(header::SEC_WEBSOCKET_PROTOCOL.as_str())? != SUBPROTOCOL {
        return None;
    }
    Hello::from_header(only(HELLO_HEADER)?).ok()
}
