//! Accepts by tokio, which registers each connection for events at once.

use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::task::{Context, Poll};

use tokio::net::{TcpListener, TcpStream};

/// A listening socket.
pub(crate) struct Listener(TcpListener);

impl Listener {
    /// `listener` must not block.
    pub(super) fn new(listener: StdListener) -> io::Result<Self> {
        TcpListener::from_std(listener).map(Self)
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Accepts the next connection.
    pub(crate) fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(NewConnection, SocketAddr)>> {
        self.0.poll_accept(cx).map_ok(|(tcp, peer)| (NewConnection(tcp), peer))
    }
}

/// A connection.
pub(crate) struct NewConnection(TcpStream);

impl NewConnection {
    /// Reads what has arrived.
    pub(crate) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_read(buffer)
    }

    /// Writes what fits into the send buffer.
    pub(crate) fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    // Fails on Unix.
    #[allow(clippy::unnecessary_wraps)]
    pub(crate) fn register(self) -> io::Result<TcpStream> {
        Ok(self.0)
    }
}
