//! What becomes of the bytes that a tool sends while its request is served: the body goes to the server as it arrives, is
//! discarded once the server does not want it, and what follows the body waits for its turn.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http_message::{BodyLength, BodyReader, CHUNK_END, LAST_CHUNK, MessageError, chunk_head};
use proto::Secret;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::stream_io::{RequestStream, StreamEnd};
use super::tool::ToolInput;

/// A server that takes nothing of a body for this long is not waited for.
const SERVER_TIMEOUT: Duration = Duration::from_secs(300);
/// The body of a request, as far as it was read.
#[derive(Debug)]
pub(super) struct RequestBody {
    reader: BodyReader,
    length: BodyLength,
    ended: bool,
}

/// What the two directions of an exchange know of each other.
#[derive(Debug)]
pub(super) struct Progress {
    /// Whether the tool has sent all of its request.
    tool_has_sent_all: AtomicBool,
    /// Whether the server has got all of it.
    server_has_all: AtomicBool,
    /// Bytes of the body that went to the server.
    sent: AtomicU64,
    /// When something last went to the server.
    last_sent: Mutex<Instant>,
    /// Notified when the server does not want the rest of the body.
    stop: Notify,
}

/// Why the body does not go on to the server.
enum Stopped {
    /// How the stream ended.
    Tool(StreamEnd),
    /// The server has closed the connection, or takes nothing. Its answer may have come before.
    Server,
}

impl From<StreamEnd> for Stopped {
    fn from(end: StreamEnd) -> Self {
        Self::Tool(end)
    }
}

impl From<io::Error> for Stopped {
    fn from(_: io::Error) -> Self {
        Self::Server
    }
}

/// A tool whose body has broken framing gets no answer that it could take for one to something else.
impl From<MessageError> for Stopped {
    fn from(_: MessageError) -> Self {
        Self::Tool(StreamEnd::Cut)
    }
}

impl RequestBody {
    pub(super) fn new(length: BodyLength) -> Self {
        Self { reader: BodyReader::new(length), length, ended: length.is_empty() }
    }

    /// Whether the tool has sent all of it.
    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    /// Takes all bytes of the body that the tool has sent; `None` if more have to come, or the body has ended. Chunks are
    /// joined: a record of TLS for each byte would be cheap for the tool only.
    fn next(&mut self, buffer: &mut Vec<u8>) -> Result<Option<Vec<u8>>, MessageError> {
        let (mut data, mut consumed) = (Vec::new(), 0);
        while !self.ended {
            let part = self.reader.read(buffer.get(consumed..).unwrap_or_default())?;
            data.extend_from_slice(part.data);
            consumed += part.consumed;
            self.ended = part.end;
            if part.consumed == 0 {
                break;
            }
        }
        buffer.drain(..consumed);
        Ok((!data.is_empty()).then_some(data))
    }
}

impl RequestBody {
    /// All of the body; `None` if it is larger than `limit`.
    ///
    /// # Errors
    /// How the stream ended.
    pub(super) async fn whole<I: RequestStream>(
        &mut self,
        input: &mut ToolInput<I>,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, StreamEnd> {
        let mut bytes = Vec::new();
        loop {
            if let Some(data) = self.next(&mut input.buffer).map_err(|_| StreamEnd::Cut)? {
                bytes.extend_from_slice(&data);
            }
            if bytes.len() > limit {
                return Ok(None);
            }
            if self.ended {
                return Ok(Some(bytes));
            }
            input.more_soon().await?;
        }
    }
}

impl Progress {
    pub(super) fn new(body: &RequestBody) -> Self {
        Self {
            tool_has_sent_all: AtomicBool::new(body.ended),
            server_has_all: AtomicBool::new(false),
            sent: AtomicU64::new(0),
            last_sent: Mutex::new(Instant::now()),
            stop: Notify::new(),
        }
    }

    pub(super) fn tool_has_sent_all(&self) -> bool {
        self.tool_has_sent_all.load(Ordering::Relaxed)
    }

    pub(super) fn server_has_all(&self) -> bool {
        self.server_has_all.load(Ordering::Relaxed)
    }

    /// Bytes of the body that went to the server.
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn last_sent(&self) -> Instant {
        *self.last_sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server does not want the rest of the body.
    pub(super) fn stop(&self) {
        self.stop.notify_one();
    }

    fn moved(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        *self.last_sent.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// Sends `head` and the body to the server, discards what the server does not want, and then reads ahead. Ends only with
/// the stream: the caller drops it when the answer is complete.
pub(super) async fn feed<I: RequestStream>(
    input: &mut ToolInput<I>,
    head: &Secret,
    body: &mut RequestBody,
    server: impl AsyncWrite + Unpin,
    progress: &Progress,
) -> StreamEnd {
    let stopped = tokio::select! {
        sent = send(input, head, body, server, progress) => sent,
        () = progress.stop.notified() => Err(Stopped::Server),
    };
    let read = match stopped {
        Ok(()) => Ok(()),
        Err(Stopped::Server) => discard(input, body).await,
        Err(Stopped::Tool(end)) => Err(end),
    };
    if let Err(end) = read {
        return end;
    }
    progress.tool_has_sent_all.store(true, Ordering::Relaxed);
    input.read_ahead().await
}

async fn send<I: RequestStream>(
    input: &mut ToolInput<I>,
    head: &Secret,
    body: &mut RequestBody,
    mut server: impl AsyncWrite + Unpin,
    progress: &Progress,
) -> Result<(), Stopped> {
    write(&mut server, &[head.expose()]).await?;
    loop {
        while let Some(data) = body.next(&mut input.buffer)? {
            match body.length {
                BodyLength::Chunked => {
                    write(&mut server, &[&chunk_head(data.len()), &data, CHUNK_END]).await?;
                }
                BodyLength::None | BodyLength::Known(_) | BodyLength::UntilClose => {
                    write(&mut server, &[&data]).await?;
                }
            }
            progress.moved(data.len() as u64);
        }
        if body.ended {
            if body.length == BodyLength::Chunked {
                write(&mut server, &[LAST_CHUNK]).await?;
            }
            progress.moved(0);
            progress.server_has_all.store(true, Ordering::Relaxed);
            return Ok(());
        }
        input.more_soon().await?;
    }
}

async fn write(server: &mut (impl AsyncWrite + Unpin), parts: &[&[u8]]) -> io::Result<()> {
    let writing = async {
        for part in parts {
            server.write_all(part).await?;
        }
        server.flush().await
    };
    timeout(SERVER_TIMEOUT, writing).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Reads the rest of the body, and forgets it.
///
/// # Errors
/// How the stream ended.
pub(super) async fn discard<I: RequestStream>(
    input: &mut ToolInput<I>,
    body: &mut RequestBody,
) -> Result<(), StreamEnd> {
    loop {
        while body.next(&mut input.buffer).map_err(|_| StreamEnd::Cut)?.is_some() {}
        if body.ended {
            return Ok(());
        }
        input.more_soon().await?;
    }
}
