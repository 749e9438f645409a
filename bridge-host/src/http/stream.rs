//! A stream of a session: its websocket frames become what the gateway reads, and what the gateway writes becomes frames.
//!
//! A message of the client is read once the gateway has taken the one before, so that a stream never holds more than two.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::http::RuledOrigin;
use proto::{StreamAnswer, StreamRequest, Untrusted};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadHalf, WriteHalf};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use super::record::Requester;
use super::serve;
use super::stream_io::{AnswerStream, RequestStream, StreamEnd, StreamInput};
use crate::memory::Reserved;
use crate::net::frames::{CloseCode, FrameReader, FrameWriter, Incoming, Payload, ReadError, WriteError};
use crate::net::upgrade::Upgraded;
use crate::queue::Queue;
use crate::session::registry::StreamSlot;
use crate::state::BridgeState;

/// A quiet stream is pinged after this long: a client takes a bridge for gone that is silent for 120 s.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// A stream on which nothing was read and nothing could be written for this long is ended. A tool may read slowly what waits
/// in the buffers of both systems, and until then no answer to a ping comes back. So a client that is gone is found by other
/// means: the pings of its session, and TCP.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(1800);
/// When TCP asks an idle peer whether it is there, and how often.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// Bytes that are read of a stream that is finished, and ignored: what may be on its way before the client knows.
const IGNORED: usize = 16 << 20;
/// Time for sending the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// After so many frames the other connections have a turn.
const FRAMES: u32 = 64;

/// How a stream ended.
enum End {
    /// As the gateway, or the connection to the client, says.
    Stream(StreamEnd),
    SessionEnded,
    /// See [`SILENCE_TIMEOUT`].
    Silent,
}

/// Serves one stream until it ends, or its session.
pub(crate) async fn serve(state: &BridgeState, peer: SocketAddr, connection: Upgraded, mut slot: StreamSlot) {
    let keep_alive = TcpKeepalive::new().with_time(KEEP_ALIVE).with_interval(KEEP_ALIVE_INTERVAL);
    // Without it a client that is gone costs a descriptor for longer.
    let _ = SockRef::from(connection.get_ref().0).set_tcp_keepalive(&keep_alive);
    let (read, write) = tokio::io::split(connection);
    let memory = state.memory.stream();
    let stream = Stream::new(FrameWriter::new(write, std::sync::Arc::clone(&memory)));
    let mut reader = Reader {
        frames: FrameReader::of_stream(read, memory),
        stream: &stream,
        origins: &state.origins,
        received: 0,
        connected: false,
    };
    let requester = Requester { session: slot.session(), peer };
    let (input, output) = (Input { stream: &stream, held: None }, Output { stream: &stream });
    let end = tokio::select! {
        biased;
        end = Box::pin(serve::serve(&state.gateway, &requester, input, output)) => End::Stream(end),
        end = reader.run() => end,
        WriteError = stream.write_rest() => End::Stream(StreamEnd::Broken),
        () = slot.ended() => End::SessionEnded,
    };
    stream.close(&end, reader.frames.into_inner()).await;
    debug!("stream ended: {}", end.word());
}

impl End {
    fn word(&self) -> &'static str {
        match self {
            Self::Stream(StreamEnd::Closed) => "closed by the client",
            Self::Stream(StreamEnd::Broken) => "broken",
            Self::Stream(StreamEnd::ProtocolError) => "protocol error",
            Self::Stream(StreamEnd::Finished) => "finished",
            Self::Stream(StreamEnd::Cut) => "cut",
            Self::SessionEnded => "its session has ended",
            Self::Silent => "silent",
        }
    }

    fn code(&self) -> Option<CloseCode> {
        match self {
            Self::Stream(StreamEnd::ProtocolError) => Some(CloseCode::Protocol),
            Self::Stream(StreamEnd::Finished) => Some(CloseCode::Normal),
            Self::SessionEnded => Some(CloseCode::Away),
            Self::Stream(StreamEnd::Closed | StreamEnd::Broken | StreamEnd::Cut) | Self::Silent => None,
        }
    }
}

/// What reader, gateway and writer of a stream share. All of them are polled by one task.
struct Stream {
    /// From the reader to the gateway: at most one message, and the memory reserved for it.
    input: Queue<(StreamInput, Reserved)>,
    /// Payloads of pings that are not answered yet.
    pings: Queue<Vec<u8>>,
    frames: tokio::sync::Mutex<FrameWriter<WriteHalf<Upgraded>>>,
    /// Notified when there is something to flush.
    unflushed: Notify,
    /// The stream is idle if the client has sent so many bytes of requests.
    idle_at: AtomicU64,
    /// When something was last written.
    wrote: Mutex<Instant>,
}

impl Stream {
    fn new(frames: FrameWriter<WriteHalf<Upgraded>>) -> Self {
        Self {
            input: Queue::default(),
            pings: Queue::default(),
            frames: tokio::sync::Mutex::new(frames),
            unflushed: Notify::new(),
            idle_at: AtomicU64::new(0),
            wrote: Mutex::new(Instant::now()),
        }
    }

    fn wrote(&self) -> MutexGuard<'_, Instant> {
        self.wrote.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the message `head` ‖ `body`. What is small is flushed when the gateway waits for something, together with
    /// what follows until then.
    async fn message(&self, head: &[u8], body: &[u8]) -> Result<(), StreamEnd> {
        let mut frames = self.frames.lock().await;
        frames.message(head, body).await.map_err(|WriteError| StreamEnd::Broken)?;
        *self.wrote() = Instant::now();
        if frames.needs_flush() {
            self.unflushed.notify_one();
        }
        Ok(())
    }

    /// Flushes what the gateway has written, answers pings, and sends some, until the connection breaks.
    async fn write_rest(&self) -> WriteError {
        let mut pinged = Instant::now();
        loop {
            let ping_at = pinged.max(*self.wrote()) + PING_INTERVAL;
            let written = tokio::select! {
                () = self.unflushed.notified() => self.flush_with(None).await,
                Some(payload) = self.pings.next() => self.flush_with(Some(&payload)).await,
                () = sleep_until(ping_at) => {
                    pinged = Instant::now();
                    self.ping().await
                }
            };
            if let Err(error) = written {
                return error;
            }
        }
    }

    async fn flush_with(&self, pong: Option<&[u8]>) -> Result<(), WriteError> {
        let mut frames = self.frames.lock().await;
        if let Some(payload) = pong {
            frames.pong(payload).await?;
        }
        frames.flush().await
    }

    async fn ping(&self) -> Result<(), WriteError> {
        let mut frames = self.frames.lock().await;
        frames.ping().await?;
        frames.flush().await
    }

    /// Says how the stream ended, as far as the client can make use of it.
    async fn close(&self, end: &End, mut rest: impl AsyncRead + Unpin) {
        let Some(code) = end.code() else { return };
        let mut frames = self.frames.lock().await;
        let is_finished = matches!(end, End::Stream(StreamEnd::Finished));
        let limit = if is_finished { SILENCE_TIMEOUT } else { CLOSE_TIMEOUT };
        let closing = async {
            if frames.close(code).await.is_err() {
                return;
            }
            // If the client sends more and this end is closed, the system discards what it has not delivered yet.
            let (mut ignored, mut left) = ([0; 1024], IGNORED);
            while is_finished && left > 0 {
                let Ok(length @ 1..) = rest.read(&mut ignored).await else { return };
                left = left.saturating_sub(length);
            }
        };
        let _ = timeout(limit, closing).await;
    }
}

/// Reads what the client sends, and checks its order.
struct Reader<'a> {
    frames: FrameReader<ReadHalf<Upgraded>>,
    stream: &'a Stream,
    origins: &'a [RuledOrigin],
    /// Bytes of requests so far.
    received: u64,
    /// Whether there was a `connect`.
    connected: bool,
}

impl Reader<'_> {
    async fn run(&mut self) -> End {
        let mut frames = 0u32;
        loop {
            frames = frames.wrapping_add(1);
            if frames.is_multiple_of(FRAMES) {
                yield_now().await;
            }
            self.stream.input.empty().await;
            self.stream.pings.empty().await;
            let handled = match self.next_frame().await {
                Ok(Incoming::Message(payload)) => self.handle(payload),
                Ok(Incoming::Ping(payload)) => {
                    self.stream.pings.push(payload);
                    Ok(())
                }
                Ok(Incoming::Pong) => Ok(()),
                Ok(Incoming::Close) => Err(StreamEnd::Closed),
                Err(end) => return end,
            };
            if let Err(end) = handled {
                return End::Stream(end);
            }
        }
    }

    async fn next_frame(&mut self) -> Result<Incoming, End> {
        let began = Instant::now();
        let stream = self.stream;
        let mut next = pin!(self.frames.next());
        loop {
            let silent_at = began.max(*stream.wrote()) + SILENCE_TIMEOUT;
            tokio::select! {
                frame = &mut next => return frame.map_err(|error| match error {
                    ReadError::Broken => End::Stream(StreamEnd::Broken),
                    ReadError::Protocol => End::Stream(StreamEnd::ProtocolError),
                }),
                () = sleep_until(silent_at) => {
                    if began.max(*stream.wrote()) + SILENCE_TIMEOUT <= Instant::now() {
                        return Err(End::Silent);
                    }
                }
            }
        }
    }

    fn handle(&mut self, payload: Payload) -> Result<(), StreamEnd> {
        let Payload { mut bytes, reserved } = payload;
        let input = match StreamRequest::decode(&bytes).map_err(|_| StreamEnd::ProtocolError)? {
            StreamRequest::Connect { origin } => {
                let is_idle = self.received == self.stream.idle_at.load(Ordering::Relaxed);
                let is_ruled = self.origins.iter().any(|ruled| ruled.origin == origin);
                if !is_idle || !is_ruled {
                    return Err(StreamEnd::ProtocolError);
                }
                self.connected = true;
                StreamInput::Connect(origin)
            }
            StreamRequest::Bytes { bytes: request } => {
                if !self.connected {
                    return Err(StreamEnd::ProtocolError);
                }
                self.received += request.len() as u64;
                let head = bytes.len() - request.len();
                bytes.drain(..head);
                StreamInput::Bytes(bytes)
            }
        };
        self.stream.input.push((input, reserved));
        Ok(())
    }
}

/// The gateway's view of what the client sends.
struct Input<'a> {
    stream: &'a Stream,
    /// The memory of the message that the gateway works on.
    held: Option<Reserved>,
}

impl RequestStream for Input<'_> {
    async fn next(&mut self) -> Result<StreamInput, StreamEnd> {
        self.held = None;
        // It is never closed: whatever ends the stream ends the gateway.
        let (input, reserved) = self.stream.input.next().await.ok_or(StreamEnd::Broken)?;
        self.held = Some(reserved);
        Ok(input)
    }
}

/// The gateway's view of the way to the client.
struct Output<'a> {
    stream: &'a Stream,
}

impl AnswerStream for Output<'_> {
    async fn bytes(&mut self, bytes: &[u8]) -> Result<(), StreamEnd> {
        for part in bytes.chunks(proto::limits::STREAM_CHUNK) {
            self.stream.message(&StreamAnswer::bytes_head(part.len()), part).await?;
        }
        Ok(())
    }

    async fn idle(&mut self, received: u64) -> Result<(), StreamEnd> {
        // Before the client can know.
        self.stream.idle_at.store(received, Ordering::Relaxed);
        self.stream.message(&StreamAnswer::Idle { received }.encode(), &[]).await
    }

    async fn finished(&mut self) -> Result<(), StreamEnd> {
        self.stream.message(&StreamAnswer::Finished.encode(), &[]).await
    }

    async fn refusal(&mut self, text: &str) -> Result<(), StreamEnd> {
        self.stream.message(&StreamAnswer::Refusal { text: Untrusted::new(text) }.encode(), &[]).await
    }

    async fn signed_url(&mut self, url: &[u8]) -> Result<(), StreamEnd> {
        self.stream.message(&StreamAnswer::SignedUrl { url }.encode(), &[]).await
    }
}
