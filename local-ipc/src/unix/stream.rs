//! Unix sockets that wake their process only when there is something to read.
//!
//! tokio watches every socket for both directions, and Linux tells the writer of a Unix socket that there is room again
//! whenever the other end has read. So each message would wake its sender once for nothing, while the others wait for the
//! processor. These sockets are watched for reading, and for writing only while they are full.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::time::sleep;

/// Wait before another attempt to connect while the listener's backlog is full.
const RETRY: Duration = Duration::from_millis(2);

/// One end of a connection.
///
/// tokio takes it for a pipe, because pipes are what it watches for one direction only. read(2) and write(2) are the same.
#[derive(Debug)]
pub struct LocalStream {
    socket: pipe::Receiver,
    /// The same socket under another descriptor, only while its send buffer is full.
    full: Option<pipe::Sender>,
}

impl LocalStream {
    /// Connects to the listener at `path`. While its backlog is full, this waits.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn connect(path: &Path) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let address = SockAddr::unix(path)?;
        while let Err(error) = socket.connect(&address) {
            if error.kind() != io::ErrorKind::WouldBlock {
                return Err(error);
            }
            sleep(RETRY).await;
        }
        Self::from_nonblocking(socket.into())
    }

    /// Whether the peer has closed both directions.
    pub(crate) fn has_hung_up(&mut self) -> bool {
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let mut watched = [PollFd::new(&*self, PollFlags::empty())];
        poll(&mut watched, Some(&at_once)).is_ok()
            && watched.iter().any(|watched| watched.revents().contains(PollFlags::HUP))
    }

    fn from_nonblocking(socket: OwnedFd) -> io::Result<Self> {
        Ok(Self { socket: pipe::Receiver::from_owned_fd_unchecked(socket)?, full: None })
    }
}

impl TryFrom<UnixStream> for LocalStream {
    type Error = io::Error;

    fn try_from(stream: UnixStream) -> io::Result<Self> {
        Self::from_nonblocking(stream.into_std()?.into())
    }
}

impl AsFd for LocalStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsyncRead for LocalStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for LocalStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut full = match self.full.take() {
            Some(full) => full,
            None => match rustix::net::send(&self.socket, bytes, SendFlags::NOSIGNAL) {
                Err(Errno::WOULDBLOCK | Errno::INTR) => {
                    // A descriptor can be watched once only, its duplicate once more.
                    pipe::Sender::from_owned_fd_unchecked(self.socket.as_fd().try_clone_to_owned()?)?
                }
                done => return Poll::Ready(done.map_err(io::Error::from)),
            },
        };
        let written = Pin::new(&mut full).poll_write(context, bytes);
        if written.is_pending() {
            self.full = Some(full);
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(&self.socket, Shutdown::Write).map_err(io::Error::from))
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use tempfile::TempDir;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::UnixListener;

    use super::*;

    async fn pair() -> (LocalStream, LocalStream, TempDir) {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("socket");
        let listener = UnixListener::bind(&path).unwrap();
        let near = LocalStream::connect(&path).await.unwrap();
        let (far, _) = listener.accept().await.unwrap();
        (near, far.try_into().unwrap(), directory)
    }

    #[tokio::test]
    async fn more_bytes_than_the_socket_buffers_arrive_whole() {
        let (mut near, mut far, _directory) = pair().await;
        let sent: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        let sending = async {
            near.write_all(&sent).await.unwrap();
            assert!(near.full.is_none(), "the socket is watched for writing although it is not full");
            near.shutdown().await.unwrap();
        };
        let mut received = Vec::new();
        let (_, read) = tokio::join!(sending, far.read_to_end(&mut received));
        read.unwrap();
        assert!(received == sent);
        far.write_all(b"still open").await.unwrap();
        drop(far);
        let mut answer = Vec::new();
        near.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"still open");
    }

    #[tokio::test]
    async fn a_reader_of_small_pieces_gets_every_byte() {
        let (mut near, mut far, _directory) = pair().await;
        let echo = async {
            let mut buffer = [0; 7];
            loop {
                let length = far.read(&mut buffer).await.unwrap();
                if length == 0 {
                    return;
                }
                far.write_all(&buffer[..length]).await.unwrap();
            }
        };
        let ask = async {
            for length in 1..200 {
                let question = vec![length as u8; length];
                near.write_all(&question).await.unwrap();
                let mut answer = vec![0; length];
                near.read_exact(&mut answer).await.unwrap();
                assert_eq!(answer, question);
            }
            near.shutdown().await.unwrap();
        };
        tokio::join!(echo, ask);
    }

    #[tokio::test]
    async fn writing_to_a_closed_peer_fails() {
        let (mut near, far, _directory) = pair().await;
        drop(far);
        assert_eq!(near.write_all(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn connect_waits_while_the_backlog_is_full() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("socket");
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(&path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let first = LocalStream::connect(&path).await.unwrap();
        let second = tokio::spawn({
            let path = path.clone();
            async move { LocalStream::connect(&path).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert!(!second.is_finished(), "the backlog takes more than it should");
        drop(listener.accept().unwrap());
        second.await.unwrap().unwrap();
        drop(first);
    }

    #[tokio::test]
    async fn connecting_to_a_missing_socket_fails_at_once() {
        let nowhere = TempDir::new().unwrap().path().join("socket");
        assert_eq!(LocalStream::connect(&nowhere).await.unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[tokio::test]
    async fn only_a_peer_that_closed_both_directions_has_hung_up() {
        let (mut near, mut far, _directory) = pair().await;
        assert!(!near.has_hung_up());
        far.shutdown().await.unwrap();
        assert!(!near.has_hung_up(), "it only stopped sending");
        drop(far);
        near.hung_up().await;
    }
}
