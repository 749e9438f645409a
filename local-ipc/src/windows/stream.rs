//! A connection over a named pipe, or over the loopback TCP port of a Cygwin socket.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::cygwin_socket::CygwinSocket;
use super::pipe;

/// Most bytes that [`LocalStream::has_hung_up`] reads ahead. Behind more than that, a hang-up is not seen.
const MAX_AHEAD: usize = 4 << 10;

pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Duplex for T {}

/// One end of a connection.
pub struct LocalStream {
    stream: Box<dyn Duplex>,
    /// Bytes that were read ahead of the handler, to notice a hang-up.
    ahead: VecDeque<u8>,
}

impl LocalStream {
    pub(super) fn new(stream: impl Duplex + 'static) -> Self {
        Self { stream: Box::new(stream), ahead: VecDeque::new() }
    }

    /// Connects to the named pipe at `path`, or to the Cygwin socket that the file `path` describes. While the pipe is
    /// busy, this waits; the caller limits the time.
    ///
    /// # Errors
    /// `PermissionDenied` if another user made the pipe, or if the listener at the socket's port does not know its secret;
    /// `InvalidData` if `path` is neither; and those of the system.
    pub async fn connect(path: &Path) -> io::Result<Self> {
        if pipe::is_name(path) {
            return pipe::open(path).await.map(Self::new);
        }
        CygwinSocket::read(path)?.connect().await.map(Self::new)
    }

    /// Whether the peer has closed the connection: a pipe has no half that could be closed alone. Windows reports that
    /// only to a reader, so this reads ahead. The waker of a pending read would be lost; there must be none.
    pub(crate) fn has_hung_up(&mut self) -> bool {
        let mut bytes = [0; MAX_AHEAD];
        let mut buffer = ReadBuf::new(bytes.get_mut(self.ahead.len()..).unwrap_or_default());
        if buffer.remaining() == 0 {
            return false;
        }
        match Pin::new(&mut self.stream).poll_read(&mut Context::from_waker(Waker::noop()), &mut buffer) {
            Poll::Pending => false,
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => true,
            Poll::Ready(Ok(())) => {
                self.ahead.extend(buffer.filled());
                false
            }
            Poll::Ready(Err(_)) => true,
        }
    }
}

/// Whether [`LocalStream::connect`] may find a listener at `path`: whether it is the name of a pipe, or the file of a Cygwin
/// socket.
pub fn is_socket(path: &Path) -> bool {
    pipe::is_name(path) || CygwinSocket::read(path).is_ok()
}

/// Checks that there is a pipe or a Cygwin socket at `path`. A pipe's server sees a connection that closes at once.
///
/// # Errors
/// `InvalidData` if `path` is a file of another kind, and those of the system.
pub fn probe(path: &Path) -> io::Result<()> {
    if pipe::is_name(path) { pipe::probe(path) } else { CygwinSocket::read(path).map(drop) }
}

impl AsyncRead for LocalStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.stream).poll_read(context, buffer);
        }
        let length = self.ahead.len().min(buffer.remaining());
        let bytes: Vec<u8> = self.ahead.drain(..length).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for LocalStream {
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
