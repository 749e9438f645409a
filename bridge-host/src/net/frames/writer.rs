//! Writes to a client. What has been encrypted and not yet taken by the socket is the only memory that a client costs
//! which does not read: a piece of an answer, not the answer.

use std::io::{self, IoSlice};
use std::sync::Arc;

use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use crate::memory::SessionMemory;

/// Bytes given to TLS at once while the pool has memory: what rustls takes at once.
const PIECE: usize = 64 << 10;
/// As [`PIECE`], within the part of the sure share that is for this.
const SURE_PIECE: usize = 8 << 10;
/// Bytes of small messages that are collected for one write.
const BATCH: usize = 4 << 10;

/// Writes frames in the client's direction of a connection.
pub(crate) struct FrameWriter<W> {
    stream: W,
    memory: Arc<SessionMemory>,
    /// Frames that have not been given to the connection; at most twice [`BATCH`]. Empty, it has no buffer.
    batch: Vec<u8>,
    /// Whether a write was begun and not finished. If it was cancelled, nothing more can be written.
    is_writing: bool,
}

/// The connection broke.
#[derive(Debug)]
pub(crate) struct WriteError;

impl From<io::Error> for WriteError {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(crate) fn new(stream: W, memory: Arc<SessionMemory>) -> Self {
        Self { stream, memory, batch: Vec::new(), is_writing: false }
    }

    /// Writes the message `head` ‖ `body`. It may stay in the batch until [`Self::flush`].
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) async fn message(&mut self, head: &[u8], body: &[u8]) -> Result<(), WriteError> {
        let length = head.len() + body.len();
        self.header(OpCode::Data(Data::Binary), length);
        if length <= BATCH {
            self.batch.extend_from_slice(head);
            self.batch.extend_from_slice(body);
            return if self.batch.len() < BATCH { Ok(()) } else { self.flush().await };
        }
        let batch = std::mem::take(&mut self.batch);
        self.write([&batch, head, body]).await
    }

    /// # Errors
    /// [`WriteError`].
    pub(crate) async fn ping(&mut self) -> Result<(), WriteError> {
        self.control(Control::Ping, &[]).await
    }

    /// Answers a ping with this payload.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) async fn pong(&mut self, payload: &[u8]) -> Result<(), WriteError> {
        self.control(Control::Pong, payload).await
    }

    /// Sends a close frame.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) async fn close(&mut self, code: CloseCode) -> Result<(), WriteError> {
        self.control(Control::Close, &u16::from(code).to_be_bytes()).await?;
        self.flush().await
    }

    async fn control(&mut self, control: Control, payload: &[u8]) -> Result<(), WriteError> {
        self.header(OpCode::Control(control), payload.len());
        self.batch.extend_from_slice(payload);
        if self.batch.len() < BATCH { Ok(()) } else { self.flush().await }
    }

    fn header(&mut self, opcode: OpCode, length: usize) {
        let header = FrameHeader { opcode, ..FrameHeader::default() };
        // Writing to a Vec cannot fail.
        let _ = header.format(length as u64, &mut self.batch);
    }

    /// Whether there is something to flush.
    pub(crate) fn needs_flush(&self) -> bool {
        !self.batch.is_empty()
    }

    /// Gives everything to the socket.
    ///
    /// # Errors
    /// [`WriteError`].
    pub(crate) async fn flush(&mut self) -> Result<(), WriteError> {
        let batch = std::mem::take(&mut self.batch);
        self.write([&batch, &[], &[]]).await
    }

    /// Gives `parts` to the socket, piece by piece: the next piece is encrypted when the socket has all of the last.
    async fn write(&mut self, parts: [&[u8]; 3]) -> Result<(), WriteError> {
        if std::mem::replace(&mut self.is_writing, true) {
            return Err(WriteError);
        }
        let mut parts = parts;
        loop {
            let rest: usize = parts.iter().map(|part| part.len()).sum();
            if rest == 0 {
                self.is_writing = false;
                return Ok(());
            }
            let large = if rest > SURE_PIECE { self.memory.try_reserve(rest.min(PIECE)) } else { None };
            let mut piece = rest.min(if large.is_some() { PIECE } else { SURE_PIECE });
            let length = piece;
            while piece > 0 {
                let mut room = piece;
                let slices = parts.map(|part| {
                    let (now, _) = part.split_at(part.len().min(room));
                    room -= now.len();
                    IoSlice::new(now)
                });
                let written = self.stream.write_vectored(&slices).await?;
                if written == 0 {
                    return Err(WriteError);
                }
                piece = piece.saturating_sub(written);
                advance(&mut parts, written);
            }
            self.stream.flush().await?;
            self.memory.moved(length);
        }
    }
}

fn advance(parts: &mut [&[u8]], by: usize) {
    let mut left = by;
    for part in parts {
        let (written, rest) = part.split_at(part.len().min(left));
        left -= written.len();
        *part = rest;
    }
}
