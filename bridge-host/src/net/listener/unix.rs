//! Accepts without registering each connection for events, which costs two system calls and an allocation: most strangers
//! are decided by their first read.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener as StdListener, TcpStream as StdStream};
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;

/// A listening socket.
pub(crate) struct Listener(AsyncFd<StdListener>);

impl Listener {
    /// `listener` must not block.
    // `register`, which replaces it, is unsafe: its caller promises that the descriptor stays the same and open. The
    // standard library's listener keeps that promise.
    #[allow(deprecated)]
    pub(super) fn new(listener: StdListener) -> io::Result<Self> {
        AsyncFd::new(listener).map(Self)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }

    /// Accepts the next connection.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(NewConnection, SocketAddr)>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            if let Ok(accepted) = ready.try_io(|listener| accept(listener.get_ref())) {
                return Poll::Ready(accepted.map(|(tcp, peer)| (NewConnection(tcp), peer)));
            }
        }
    }
}

/// accept4 saves a call for each connection.
#[cfg(target_os = "linux")]
fn accept(listener: &StdListener) -> io::Result<(StdStream, SocketAddr)> {
    use rustix::net::{SocketFlags, acceptfrom_with};
    let (tcp, peer) = acceptfrom_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK)?;
    let peer = peer.and_then(|peer| SocketAddr::try_from(peer).ok());
    Ok((tcp.into(), peer.ok_or(io::ErrorKind::ConnectionAborted)?))
}

#[cfg(not(target_os = "linux"))]
fn accept(listener: &StdListener) -> io::Result<(StdStream, SocketAddr)> {
    let (tcp, peer) = listener.accept()?;
    tcp.set_nonblocking(true)?;
    Ok((tcp, peer))
}

/// A connection that is not registered for events yet.
pub(crate) struct NewConnection(StdStream);

impl NewConnection {
    /// Reads what has arrived.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.0).read(buffer)
    }

    /// Writes what fits into the send buffer.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        (&self.0).write(bytes)
    }

    /// Registers the connection for events.
    pub(crate) fn register(self) -> io::Result<TcpStream> {
        TcpStream::from_std(self.0)
    }
}
