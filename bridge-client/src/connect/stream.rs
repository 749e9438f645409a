//! A stream: a connection of the session that carries the HTTP requests of one connection of a tool at a time. Their bytes
//! are passed on as they are.

use std::time::Duration;

use proto::http::Origin;
use proto::limits::STREAM_CHUNK;
use proto::{SessionId, StreamAnswer, StreamRequest, Untrusted};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Bytes;

use crate::connect::connection::BridgeConnection;
use crate::connect::dial::Dialer;
use crate::connect::error::{ConnectError, SessionError};

/// While this many bytes wait to be sent, there is no room for more.
const QUEUE_LIMIT: usize = 4 * STREAM_CHUNK;
/// If nothing was read for longer, the bridge's silence until then does not count. Longer than anything waits that reads.
const PAUSE: Duration = Duration::from_secs(60);

/// One stream.
pub(crate) struct HttpStream {
    connection: BridgeConnection,
    /// Bytes of requests so far, those that are queued included.
    sent: u64,
    /// Whether a connection of a tool may get the stream.
    is_idle: bool,
    /// When it was last read from.
    read_at: Instant,
}

/// What comes on a stream.
#[derive(Debug)]
pub(crate) enum Answer {
    /// Bytes for the tool, at least one.
    Bytes(Bytes),
    /// The answer is complete, and another connection of a tool may get the stream.
    Idle,
    /// The answer is complete, and the tool's connection ends with it. The last message.
    Finished,
    /// Why the bridge refuses a request, for people. The tool gets an answer all the same.
    Refusal(Untrusted),
    /// A URL in the answer that may give access by itself.
    SignedUrl(Vec<u8>),
    /// There was no room for more requests, and is now.
    Room,
}

impl HttpStream {
    /// Opens a stream of `session`.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(crate) async fn open(dialer: &Dialer, session: SessionId) -> Result<Self, ConnectError> {
        let connection = dialer.open_stream(session).await?;
        Ok(Self { connection, sent: 0, is_idle: true, read_at: Instant::now() })
    }

    /// Whether [`Self::connect`] is allowed.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Gives the stream, which must be idle, to a new connection of a tool, to `origin`. Sent together with its first bytes.
    pub(crate) fn connect(&mut self, origin: &Origin) {
        debug_assert!(self.is_idle, "the stream belongs to another connection of a tool");
        self.connection.queue_encoded(StreamRequest::Connect { origin: origin.clone() }.encode());
    }

    /// Queues bytes of the tool. [`Self::next`] and [`Self::flushed`] send them.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        for bytes in bytes.chunks(STREAM_CHUNK) {
            self.connection.queue_encoded(StreamRequest::Bytes { bytes }.encode());
            self.sent += bytes.len() as u64;
            self.is_idle = false;
        }
        self.connection.flush();
    }

    /// Whether less than [`QUEUE_LIMIT`] bytes are queued. Otherwise nothing more should be read from the tool.
    pub(crate) fn has_room(&self) -> bool {
        self.connection.queued() < QUEUE_LIMIT
    }

    /// Sends what is queued without receiving anything, for as long as the tool does not take what has been received.
    ///
    /// # Errors
    /// [`SessionError`] if the stream broke.
    pub(crate) async fn flushed(&mut self) -> Result<(), SessionError> {
        self.connection.send_queued().await
    }

    /// What the bridge sends next. Sends what is queued meanwhile. Can be dropped before it is ready: nothing is lost.
    ///
    /// An idle stream must be read too: this answers the bridge's pings, and fails when the stream can no longer be used.
    ///
    /// # Errors
    /// [`SessionError`] if the stream ended before [`Answer::Idle`] or [`Answer::Finished`], so that the answer may be cut; or
    /// the bridge violated the protocol.
    pub(crate) async fn next(&mut self) -> Result<Answer, SessionError> {
        if self.read_at.elapsed() > PAUSE {
            self.connection.forgive_silence();
        }
        loop {
            self.read_at = Instant::now();
            let limit = if self.has_room() { 0 } else { QUEUE_LIMIT };
            let Some(payload) = self.connection.next_or_room(limit).await? else { return Ok(Answer::Room) };
            let answer = StreamAnswer::decode(&payload)?;
            if self.is_idle {
                return Err(SessionError::Protocol("an answer without a request"));
            }
            return Ok(match answer {
                StreamAnswer::Bytes { bytes } => Answer::Bytes(payload.slice_ref(bytes)),
                StreamAnswer::Idle { received } if received == self.sent => {
                    self.is_idle = true;
                    Answer::Idle
                }
                // It crossed the beginning of the next request.
                StreamAnswer::Idle { received } if received < self.sent => continue,
                StreamAnswer::Idle { .. } => {
                    return Err(SessionError::Protocol("more bytes received than sent"));
                }
                StreamAnswer::Finished => Answer::Finished,
                StreamAnswer::Refusal { text } => Answer::Refusal(text),
                StreamAnswer::SignedUrl { url } => Answer::SignedUrl(url.to_vec()),
            });
        }
    }

    /// Tells the bridge that the stream is no longer needed.
    pub(crate) async fn close(self) {
        self.connection.close().await;
    }
}
