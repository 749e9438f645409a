//! From a proven client to a websocket: the upgrade request, judged before it is answered.

use proto::limits::MAX_FRAME;
use proto::{HELLO_HEADER, Hello, SUBPROTOCOL, UPGRADE_PATH, UpgradeRefusal};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::handshake::server::{Callback, ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::net::handshake::{HANDSHAKE, ProvenStream};

/// A proven client's websocket.
pub(crate) type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Why a connection did not become a websocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotUpgraded {
    /// The judge refused it.
    Refused,
    /// It closed, as one that lost a race does, or was silent.
    Gone,
    /// It sent something that is no upgrade request; there is nobody to answer in HTTP.
    NoRequest,
}

/// Answers the upgrade request: `judge` sees the hello, if there is a valid one, and says what the connection
/// becomes, or refuses it with an HTTP status.
///
/// # Errors
/// [`NotUpgraded`].
pub(crate) async fn upgrade<T: Unpin>(
    stream: ProvenStream,
    judge: impl FnOnce(Option<&Hello>) -> Result<T, UpgradeRefusal> + Unpin,
) -> Result<(Socket, Hello, T), NotUpgraded> {
    let mut judged = None;
    let callback = Judge { judge, judged: &mut judged };
    let accept =
        tokio_tungstenite::accept_hdr_async_with_config(stream.into_inner(), callback, Some(config()));
    let socket = timeout(HANDSHAKE, accept).await.map_err(|_| NotUpgraded::Gone)?.map_err(why_not)?;
    let (hello, verdict) = judged.ok_or(NotUpgraded::Refused)?;
    Ok((socket, hello, verdict))
}

// tungstenite's other errors are all about what the peer sent.
#[allow(clippy::wildcard_enum_match_arm)]
fn why_not(error: WsError) -> NotUpgraded {
    match error {
        WsError::Http(_) => NotUpgraded::Refused,
        WsError::Io(_)
        | WsError::ConnectionClosed
        | WsError::Protocol(ProtocolError::HandshakeIncomplete) => NotUpgraded::Gone,
        _ => NotUpgraded::NoRequest,
    }
}

/// tungstenite's own limits: what it would otherwise read or hold without bound.
fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME))
        // Requests are small; this keeps an idle session at some 20 KB.
        .read_buffer_size(4 << 10)
        .write_buffer_size(64 << 10)
        .max_write_buffer_size(2 * MAX_FRAME)
}

struct Judge<'a, F, T> {
    judge: F,
    judged: &'a mut Option<(Hello, T)>,
}

impl<T, F: FnOnce(Option<&Hello>) -> Result<T, UpgradeRefusal>> Callback for Judge<'_, F, T> {
    // The error's size is tungstenite's.
    #[allow(clippy::result_large_err)]
    fn on_request(self, request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
        let hello = hello(request);
        let judged = (self.judge)(hello.as_ref())
            .and_then(|verdict| hello.map(|hello| (hello, verdict)).ok_or(UpgradeRefusal::Malformed));
        match judged {
            Ok(judged) => {
                *self.judged = Some(judged);
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

/// The hello of a request that asks for our path and subprotocol, with exactly one hello.
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
