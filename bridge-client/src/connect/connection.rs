//! A websocket connection to the bridge, and its messages.
//!
//! Reading never waits for writing: a bridge that cannot deliver its answers reads nothing, so a client that waited until
//! its requests are sent could wait without end. Messages are queued, and [`BridgeConnection::next`] sends them while it
//! receives.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::{Sink as _, SinkExt as _, Stream as _};
use proto::limits::{MAX_FRAME, MAX_STREAM_FRAME};
use proto::{
    ClientMessage, HELLO_HEADER, Hello, HostMessage, Key, Purpose, SUBPROTOCOL, UPGRADE_PATH, UpgradeRefusal,
};
use rustls::{AlertDescription, Error as RustlsError};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::frame::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::{WebSocketConfig, frame::coding::CloseCode};
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message};

use crate::connect::error::SessionError;
use crate::connect::pin::{PinnedStream, tls_error};

/// Timeout of the upgrade request.
const UPGRADE_TIMEOUT: Duration = Duration::from_secs(10);
/// The bridge pings an idle connection every 30 s. A bridge that sends nothing, or accepts nothing, for this long is
/// considered gone.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(120);
/// While messages of this many bytes wait to be sent, there is no room for more.
const QUEUE_LIMIT: usize = 256 << 10;

/// A connection after the upgrade.
pub(crate) struct BridgeConnection {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    /// When the bridge last sent anything. Messages to the bridge do not extend its timeout.
    received_at: Instant,
    /// Whether a bridge is not gone that accepts nothing for long, as long as it sends pings: the server to which it passes on
    /// what it has may be slow.
    is_stream: bool,
    outgoing: Outgoing,
}

/// Messages on their way to the bridge.
#[derive(Default)]
struct Outgoing {
    queue: VecDeque<Vec<u8>>,
    /// Bytes in `queue`.
    queued: usize,
    /// Whether what the websocket has buffered is to be sent now.
    flush: bool,
    /// Since when the bridge accepts nothing.
    stuck_since: Option<Instant>,
    /// Kept until there is nothing more to read: the bridge may have said why.
    error: Option<WsError>,
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
        let is_stream = hello.purpose == Purpose::Stream;
        let hello = HeaderValue::from_str(&hello.to_header())
            .map_err(|_| SessionError::Protocol("the hello does not fit into a header"))?;
        headers.insert(HELLO_HEADER, hello);
        let upgrade = tokio_tungstenite::client_async_with_config(
            request,
            stream.into_inner(),
            Some(config(is_stream)),
        );
        match timeout(UPGRADE_TIMEOUT, upgrade).await {
            Err(_) => Err(SessionError::Silent(UPGRADE_TIMEOUT)),
            Ok(Err(error)) => Err(broken(error)),
            Ok(Ok((socket, _response))) => {
                Ok(Self { socket, received_at: Instant::now(), is_stream, outgoing: Outgoing::default() })
            }
        }
    }

    /// The next binary frame. Sends what is queued meanwhile, and goes on with that when it is called again.
    ///
    /// # Errors
    /// [`SessionError`] if there will be none.
    pub(crate) async fn next(&mut self) -> Result<Bytes, SessionError> {
        loop {
            if let Some(payload) = self.next_or_room(0).await? {
                return Ok(payload);
            }
        }
    }

    /// As [`Self::next`]; `None` as soon as less than `limit` bytes are queued.
    ///
    /// # Errors
    /// As for [`Self::next`].
    pub(crate) async fn next_or_room(&mut self, limit: usize) -> Result<Option<Bytes>, SessionError> {
        loop {
            let silence_ends = self.received_at + SILENCE_TIMEOUT;
            let received = poll_fn(|context| match self.poll(context) {
                Poll::Pending if self.outgoing.queued < limit => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
                Poll::Ready(received) => Poll::Ready(Some(received)),
            });
            let received = timeout_at(silence_ends, received).await.map_err(|_| silent())?;
            let Some(message) = received else { return Ok(None) };
            if !self.is_stream && self.outgoing.is_stuck() {
                return Err(silent());
            }
            self.received_at = Instant::now();
            match message {
                None => return Err(SessionError::Broken("the bridge has ended".into())),
                Some(Err(error)) => return Err(broken(error)),
                Some(Ok(Message::Binary(payload))) => return Ok(Some(payload)),
                // tungstenite answers pings itself; the answer must not wait for our next message.
                Some(Ok(Message::Ping(_))) => self.flush(),
                Some(Ok(Message::Pong(_))) => {}
                Some(Ok(Message::Close(frame))) => return Err(closed(frame.as_ref())),
                Some(Ok(Message::Text(_) | Message::Frame(_))) => {
                    return Err(SessionError::Protocol("a frame that is not binary"));
                }
            }
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Message, WsError>>> {
        if self.outgoing.error.is_none()
            && let Poll::Ready(Err(error)) = self.outgoing.poll(&mut self.socket, context)
        {
            self.outgoing.error = Some(error);
        }
        match (Pin::new(&mut self.socket).poll_next(context), self.outgoing.error.take()) {
            (Poll::Pending, Some(error)) => Poll::Ready(Some(Err(error))),
            (received, error) => {
                self.outgoing.error = error;
                received
            }
        }
    }

    /// Asks for more secrets, as the requests number `first`, `first + 1`, …
    pub(crate) fn get(&mut self, first: u32, keys: &[Key]) {
        self.queue(&ClientMessage::Get { first, keys: keys.to_vec() });
        self.flush();
    }

    /// Queues `message`. [`next`](Self::next) sends it, at the latest after a [`flush`](Self::flush).
    pub(crate) fn queue(&mut self, message: &ClientMessage<'_>) {
        self.queue_encoded(message.encode());
    }

    /// As [`Self::queue`], for an encoded message.
    pub(crate) fn queue_encoded(&mut self, message: Vec<u8>) {
        self.outgoing.push(message);
    }

    /// How many bytes are queued.
    pub(crate) fn queued(&self) -> usize {
        self.outgoing.queued
    }

    /// Sends what is queued without receiving anything.
    ///
    /// # Errors
    /// [`SessionError`] if the connection broke.
    pub(crate) async fn send_queued(&mut self) -> Result<(), SessionError> {
        self.flush();
        poll_fn(|context| self.outgoing.poll(&mut self.socket, context)).await.map_err(broken)
    }

    /// The bridge's silence so far does not count: nothing was read meanwhile.
    pub(crate) fn forgive_silence(&mut self) {
        self.received_at = Instant::now();
    }

    /// Whether less than [`QUEUE_LIMIT`] bytes are queued. A caller that has a choice queues nothing otherwise.
    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.queued < QUEUE_LIMIT
    }

    /// Lets [`next`](Self::next) send at once what is queued.
    pub(crate) fn flush(&mut self) {
        self.outgoing.flush = true;
    }

    /// Tells the bridge that the client is done. Does not wait for the answer, which would say nothing new.
    pub(crate) async fn close(mut self) {
        let close = async {
            while let Some(message) = self.outgoing.pop() {
                self.socket.feed(Message::binary(message)).await?;
            }
            self.socket.close(None).await
        };
        let _ = timeout(Duration::from_secs(1), close).await;
    }
}

impl Outgoing {
    fn push(&mut self, message: Vec<u8>) {
        self.queued += message.len();
        self.queue.push_back(message);
    }

    fn pop(&mut self) -> Option<Vec<u8>> {
        let message = self.queue.pop_front()?;
        self.queued -= message.len();
        Some(message)
    }

    /// Hands over what is queued, as far as `socket` takes it.
    fn poll(
        &mut self,
        socket: &mut WebSocketStream<TlsStream<TcpStream>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), WsError>> {
        let mut socket = Pin::new(socket);
        if self.queue.is_empty() && !self.flush {
            return Poll::Ready(Ok(()));
        }
        self.stuck_since.get_or_insert_with(Instant::now);
        while !self.queue.is_empty() {
            ready!(socket.as_mut().poll_ready(context))?;
            self.stuck_since = Some(Instant::now());
            if let Some(message) = self.pop() {
                socket.as_mut().start_send(Message::binary(message))?;
            }
        }
        if self.flush {
            ready!(socket.poll_flush(context))?;
            self.flush = false;
        }
        self.stuck_since = None;
        Poll::Ready(Ok(()))
    }

    fn is_stuck(&self) -> bool {
        self.stuck_since.is_some_and(|since| since.elapsed() > SILENCE_TIMEOUT)
    }
}

fn silent() -> SessionError {
    SessionError::Silent(SILENCE_TIMEOUT)
}

pub(crate) fn decode(payload: &[u8]) -> Result<HostMessage<'_>, SessionError> {
    Ok(HostMessage::decode(payload)?)
}

/// What a close frame means. The codes are in `docs/PROTOCOL.md`, section 6.
// Other codes say nothing that the end of the connection does not say.
#[allow(clippy::wildcard_enum_match_arm)]
fn closed(frame: Option<&CloseFrame>) -> SessionError {
    match frame.map(|frame| frame.code) {
        Some(CloseCode::Again) => SessionError::Refused(UpgradeRefusal::Busy),
        Some(CloseCode::Error) => SessionError::Refused(UpgradeRefusal::AuditFailed),
        Some(CloseCode::Protocol) => SessionError::Rejected,
        Some(CloseCode::Policy) => SessionError::TooManyRequests,
        Some(CloseCode::Away) => SessionError::Refused(UpgradeRefusal::SessionEnded),
        _ => SessionError::Broken("the bridge closed it".into()),
    }
}

/// Limits for what tungstenite reads and holds.
fn config(is_stream: bool) -> WebSocketConfig {
    if is_stream {
        // There may be many streams. The buffer holds a whole frame with its header.
        return WebSocketConfig::default()
            .max_message_size(Some(MAX_STREAM_FRAME))
            .max_frame_size(Some(MAX_STREAM_FRAME))
            .read_buffer_size(MAX_STREAM_FRAME + 16)
            .write_buffer_size(2 * MAX_STREAM_FRAME)
            .max_write_buffer_size(8 * MAX_STREAM_FRAME);
    }
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
        WsError::Tls(_)
        | WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(
            ProtocolError::HandshakeIncomplete | ProtocolError::ResetWithoutClosingHandshake,
        ) => SessionError::Broken("the bridge has ended".into()),
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
