//! A websocket connection to the bridge, and its messages.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use proto::limits::MAX_FRAME;
use proto::{
    ClientMessage, HELLO_HEADER, Hello, HostMessage, Key, SUBPROTOCOL, UPGRADE_PATH, UpgradeRefusal,
};
use rustls::{AlertDescription, Error as RustlsError};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message};

use crate::connect::error::SessionError;
use crate::connect::pin::{PinnedStream, tls_error};

/// Timeout of the upgrade request.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);
/// The bridge pings an idle connection every 30 s. A bridge that sends nothing, or accepts nothing, for this long is
/// considered gone.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);

/// A connection after the upgrade.
pub(crate) struct BridgeConnection {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    /// When the bridge last sent anything. Messages to the bridge do not extend its timeout.
    received_at: Instant,
}

impl BridgeConnection {
    /// Sends the upgrade request with `hello` in it, and waits for the 101.
    ///
    /// # Errors
    /// [`SessionError`]. This is where a client learns that the bridge rejects its key.
    pub(crate) async fn open(stream: PinnedStream, hello: &Hello) -> Result<Self, SessionError> {
        // HTTP requires an authority. The connection exists already, and the bridge ignores it.
        let mut request = format!("ws://bridge{UPGRADE_PATH}").into_client_request().map_err(broken)?;
        let headers = request.headers_mut();
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        let hello = HeaderValue::from_str(&hello.to_header())
            .map_err(|_| SessionError::Protocol("the hello does not fit into a header"))?;
        headers.insert(HELLO_HEADER, hello);
        let upgrade =
            tokio_tungstenite::client_async_with_config(request, stream.into_inner(), Some(config()));
        match timeout(UPGRADE_TIMEOUT, upgrade).await {
            Err(_) => Err(SessionError::Silent(UPGRADE_TIMEOUT)),
            Ok(Err(error)) => Err(broken(error)),
            Ok(Ok((socket, _response))) => Ok(Self { socket, received_at: Instant::now() }),
        }
    }

    /// The next binary frame.
    ///
    /// # Errors
    /// [`SessionError`] if there will be none.
    pub(crate) async fn next(&mut self) -> Result<Bytes, SessionError> {
        loop {
            let message = timeout_at(self.received_at + SILENCE_TIMEOUT, self.socket.next())
                .await
                .map_err(|_| silent())?;
            self.received_at = Instant::now();
            match message {
                None => return Err(SessionError::Broken("the bridge has ended".into())),
                Some(Err(error)) => return Err(broken(error)),
                Some(Ok(Message::Binary(payload))) => return Ok(payload),
                // tungstenite answers pings itself; the answer must not wait for our next message.
                Some(Ok(Message::Ping(_))) => self.flush().await?,
                Some(Ok(Message::Pong(_))) => {}
                Some(Ok(Message::Close(_))) => {
                    return Err(SessionError::Broken("the bridge closed it".into()));
                }
                Some(Ok(Message::Text(_) | Message::Frame(_))) => {
                    return Err(SessionError::Protocol("a frame that is not binary"));
                }
            }
        }
    }

    /// Asks for more secrets, as the requests number `first`, `first + 1`, …
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) async fn get(&mut self, first: u32, keys: &[Key]) -> Result<(), SessionError> {
        let message = ClientMessage::Get { first, keys: keys.to_vec() }.encode();
        timeout(SILENCE_TIMEOUT, self.socket.send(Message::binary(message)))
            .await
            .map_err(|_| silent())?
            .map_err(broken)
    }

    /// Queues `message`, to be sent by [`flush`](Self::flush).
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) async fn feed(&mut self, message: &ClientMessage<'_>) -> Result<(), SessionError> {
        timeout(SILENCE_TIMEOUT, self.socket.feed(Message::binary(message.encode())))
            .await
            .map_err(|_| silent())?
            .map_err(broken)
    }

    /// Sends what was queued.
    ///
    /// # Errors
    /// [`SessionError`].
    pub(crate) async fn flush(&mut self) -> Result<(), SessionError> {
        timeout(SILENCE_TIMEOUT, self.socket.flush()).await.map_err(|_| silent())?.map_err(broken)
    }

    /// Tells the bridge that the client is done. Does not wait for the answer, which would say nothing new.
    pub(crate) async fn close(mut self) {
        let _ = timeout(Duration::from_secs(1), self.socket.close(None)).await;
    }
}

fn silent() -> SessionError {
    SessionError::Silent(SILENCE_TIMEOUT)
}

pub(crate) fn decode(payload: &[u8]) -> Result<HostMessage<'_>, SessionError> {
    Ok(HostMessage::decode(payload)?)
}

/// Limits for what tungstenite reads and holds.
fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME))
        // The default, 128 KiB, is touched and wiped for a secret of ten bytes too. When a long secret makes this buffer grow,
        // rustls's buffer (32 KiB) moves into the memory that it leaves. Otherwise rustls's buffer lies right before the
        // records that are copied out of it, at a distance that costs a client on AMD's Zen 3 half its time (glibc bug
        // 30994; see the bridge's chunks).
        .read_buffer_size(48 << 10)
        .max_write_buffer_size(2 * MAX_FRAME)
}

// All other errors of tungstenite are violations of RFC 6455 by the peer.
#[allow(clippy::wildcard_enum_match_arm)]
fn broken(error: WsError) -> SessionError {
    match error {
        WsError::Io(error) => from_io(&error),
        WsError::Tls(_) | WsError::ConnectionClosed | WsError::AlreadyClosed => {
            SessionError::Broken("the bridge has ended".into())
        }
        WsError::Http(response) => match UpgradeRefusal::from_status(response.status().as_u16()) {
            Some(refusal) => SessionError::Refused(refusal),
            None => SessionError::Protocol("an HTTP status that the protocol does not use"),
        },
        WsError::Capacity(_) => SessionError::Protocol("a frame over the limit"),
        _ => SessionError::Protocol("not a websocket"),
    }
}

// Other kinds are shown as the system describes them.
#[allow(clippy::wildcard_enum_match_arm)]
fn from_io(error: &io::Error) -> SessionError {
    match tls_error(error) {
        Some(RustlsError::AlertReceived(
            AlertDescription::AccessDenied
            | AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::DecryptError,
        )) => return SessionError::UnknownClient,
        Some(other) => return SessionError::Broken(other.to_string()),
        None => {}
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
            SessionError::Broken("the bridge has ended".into())
        }
        _ => SessionError::Broken(error.to_string()),
    }
}
