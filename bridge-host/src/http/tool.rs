//! The two directions of one stream: what the tool sent that is not consumed, and what it is about to get.

use std::time::Duration;

use proto::http::Origin;
use proto::limits::STREAM_CHUNK;
use tokio::time::timeout;

use super::stream_io::{AnswerStream, RequestStream, StreamEnd, StreamInput};

/// A tool that sends nothing of a body, or of a head that it has begun, for this long is gone.
pub(super) const TOOL_TIMEOUT: Duration = Duration::from_secs(300);

/// Bytes of further requests that are read while one is served (apt sends up to ten before the first answer). More stays
/// with the tool.
const READ_AHEAD: usize = 2 * STREAM_CHUNK;

/// Bytes from the tool.
pub(super) struct ToolInput<I> {
    stream: I,
    /// What is not consumed yet.
    pub(super) buffer: Vec<u8>,
    /// How many bytes of requests this stream has received.
    pub(super) received: u64,
}

impl<I: RequestStream> ToolInput<I> {
    pub(super) fn new(stream: I) -> Self {
        Self { stream, buffer: Vec::new(), received: 0 }
    }

    /// Waits for more bytes within a request. Loses nothing if it is dropped before it is ready.
    ///
    /// # Errors
    /// How the stream ended; a new connection of a tool is a violation of the protocol here.
    pub(super) async fn more(&mut self) -> Result<(), StreamEnd> {
        match self.stream.next().await? {
            StreamInput::Bytes(bytes) => self.append(&bytes),
            StreamInput::Connect(_) => Err(StreamEnd::ProtocolError),
        }
    }

    /// As [`Self::more`], for at most [`TOOL_TIMEOUT`].
    ///
    /// # Errors
    /// As [`Self::more`].
    pub(super) async fn more_soon(&mut self) -> Result<(), StreamEnd> {
        timeout(TOOL_TIMEOUT, self.more()).await.unwrap_or(Err(StreamEnd::Cut))
    }

    /// Reads what comes after a request that is being served, up to a limit. Ends only with the stream.
    pub(super) async fn read_ahead(&mut self) -> StreamEnd {
        while self.buffer.len() < READ_AHEAD {
            if let Err(end) = self.more().await {
                return end;
            }
        }
        std::future::pending().await
    }

    /// Waits for the beginning of a request, or for a new connection of a tool, of which it returns the origin.
    ///
    /// # Errors
    /// How the stream ended.
    pub(super) async fn next_request(&mut self) -> Result<Option<Origin>, StreamEnd> {
        match self.stream.next().await? {
            StreamInput::Connect(origin) => Ok(Some(origin)),
            StreamInput::Bytes(bytes) => self.append(&bytes).map(|()| None),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StreamEnd> {
        if bytes.is_empty() || bytes.len() > STREAM_CHUNK {
            return Err(StreamEnd::ProtocolError);
        }
        self.received += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    /// Removes the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.buffer.drain(..count.min(self.buffer.len()));
        if self.buffer.is_empty() {
            // What a large head needed is given back.
            self.buffer.shrink_to(STREAM_CHUNK);
        }
    }

    /// Gives the buffer back, which an idle stream does not need.
    pub(super) fn rest(&mut self) {
        self.buffer.shrink_to_fit();
    }
}

/// Bytes for the tool. They are collected until a message is full, or until [`Self::flush`].
pub(super) struct ToolOutput<O> {
    pub(super) stream: O,
    pending: Vec<u8>,
}

impl<O: AnswerStream> ToolOutput<O> {
    pub(super) fn new(stream: O) -> Self {
        Self { stream, pending: Vec::new() }
    }

    /// # Errors
    /// How the stream ended.
    pub(super) async fn push(&mut self, mut bytes: &[u8]) -> Result<(), StreamEnd> {
        while !bytes.is_empty() {
            self.pending.reserve(STREAM_CHUNK.saturating_sub(self.pending.len()));
            let room = STREAM_CHUNK.saturating_sub(self.pending.len());
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.pending.extend_from_slice(now);
            bytes = later;
            if self.pending.len() >= STREAM_CHUNK {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Gives the buffer back, which an idle stream does not need.
    pub(super) fn rest(&mut self) {
        self.pending.shrink_to_fit();
    }

    /// Sends what is pending.
    ///
    /// # Errors
    /// How the stream ended.
    pub(super) async fn flush(&mut self) -> Result<(), StreamEnd> {
        if !self.pending.is_empty() {
            self.stream.bytes(&self.pending).await?;
            self.pending.clear();
        }
        Ok(())
    }
}
