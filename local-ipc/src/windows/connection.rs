//! A client's connection to a named pipe. Windows tells of a hang-up only whoever reads, so that is done ahead.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use interprocess::os::windows::named_pipe::pipe_mode::Bytes;
use interprocess::os::windows::named_pipe::tokio::DuplexPipeStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much is read ahead of whoever has to answer first. A client that says more cannot be seen to hang up.
const AHEAD: usize = 4 << 10;

/// One connection.
pub struct Connection {
    stream: DuplexPipeStream<Bytes>,
    ahead: RefCell<VecDeque<u8>>,
}

impl Connection {
    pub(crate) fn new(stream: DuplexPipeStream<Bytes>) -> Self {
        Self { stream, ahead: RefCell::default() }
    }

    /// Whether the client has closed it. For whoever does not read at the moment: a waker of theirs would be lost.
    pub fn is_closed(&self) -> bool {
        let mut ahead = self.ahead.borrow_mut();
        let mut bytes = [0; AHEAD];
        let mut buffer = ReadBuf::new(bytes.get_mut(ahead.len()..).unwrap_or_default());
        if buffer.remaining() == 0 {
            return false;
        }
        match Pin::new(&mut &self.stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer) {
            Poll::Pending => false,
            // A pipe has no half that could be closed alone.
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => true,
            Poll::Ready(Ok(())) => {
                ahead.extend(buffer.filled());
                false
            }
            Poll::Ready(Err(_)) => true,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ahead = self.ahead.get_mut();
        if ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = ahead.len().min(buffer.remaining());
        let bytes: Vec<u8> = ahead.drain(..length).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
