//! The named pipe that `SSH_AUTH_SOCK` names: OpenSSH for Windows, and what is built like it, opens that.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::limits::MAX_CHANNELS;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::debug;
use windows_access::pipe::{Connection, PrivatePipe, random_name};

use super::conversation::{Caller, Known, converse};
use super::link::{Command, Listing};
use crate::private_dir::PrivateDir;

/// How much is read ahead of whoever has to answer first. A client that says more cannot be seen to hang up.
const AHEAD: usize = 4 << 10;

/// A pipe that accepts connections already.
pub(crate) struct AgentSocket(PrivatePipe);

impl AgentSocket {
    /// Makes a pipe that this user alone can open, and returns its name.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn bind(_directory: &PrivateDir) -> io::Result<(Self, OsString)> {
        let name = random_name("secrets-bridge-agent");
        Ok((Self(PrivatePipe::create(&name)?), name.into()))
    }

    /// Accepts and answers connections for ever; dropping it ends all of them.
    pub(crate) async fn serve(self, listing: Rc<RefCell<Listing>>, link: mpsc::Sender<Command>) {
        let known = Known { listing, listed: RefCell::new(Instant::now()), link };
        let mut conversations = FuturesUnordered::new();
        let mut next_slot = 0;
        loop {
            tokio::select! {
                // One more is connected already and waits; further ones find the pipe busy, and wait for that.
                accepted = self.0.accept(), if conversations.len() < MAX_CHANNELS => match accepted {
                    Ok(connection) => {
                        let client = Client { connection, ahead: RefCell::default() };
                        conversations.push(converse(&known, next_slot, client));
                        next_slot += 1;
                    }
                    Err(error) => {
                        debug!("a connection to the agent's pipe could not be accepted: {error}");
                        sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(ended) = conversations.next() => {
                    if let Err(error) = ended {
                        debug!("a connection to the agent's pipe ended: {error}");
                    }
                }
            }
        }
    }
}

/// A client's end of the pipe. Windows tells of a hang-up only whoever reads, so that is done ahead.
struct Client {
    connection: Connection,
    ahead: RefCell<VecDeque<u8>>,
}

impl Caller for Client {
    fn has_hung_up(&self) -> bool {
        let mut ahead = self.ahead.borrow_mut();
        let mut bytes = [0; AHEAD];
        let mut buffer = ReadBuf::new(bytes.get_mut(ahead.len()..).unwrap_or_default());
        if buffer.remaining() == 0 {
            return false;
        }
        // Whoever waits for an answer does not read, so no waker is lost.
        let mut context = Context::from_waker(Waker::noop());
        match Pin::new(&mut &self.connection).poll_read(&mut context, &mut buffer) {
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

impl AsyncRead for Client {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let ahead = self.ahead.get_mut();
        if ahead.is_empty() {
            return Pin::new(&mut self.connection).poll_read(context, buffer);
        }
        let length = ahead.len().min(buffer.remaining());
        let bytes: Vec<u8> = ahead.drain(..length).collect();
        buffer.put_slice(&bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Client {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_shutdown(context)
    }
}
