//! The socket that `SSH_AUTH_SOCK` names.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::limits::MAX_CHANNELS;
use quiet_socket::QuietStream;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::conversation::{Caller, Known, converse};
use super::link::{Command, Listing};
use crate::private_dir::PrivateDir;

/// Name of the socket in the private directory.
const NAME: &str = "agent.sock";

impl Caller for QuietStream {
    fn has_hung_up(&self) -> bool {
        let mut watched = [PollFd::new(self, PollFlags::empty())];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut watched, Some(&at_once)).is_ok()
            && watched.iter().any(|watched| watched.revents().contains(PollFlags::HUP))
    }
}

/// A socket that accepts connections already.
pub(crate) struct AgentSocket(UnixListener);

impl AgentSocket {
    /// Listens in `directory`, and returns the path.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn bind(directory: &PrivateDir) -> io::Result<(Self, OsString)> {
        let path = directory.path().join(NAME);
        Ok((Self(UnixListener::bind(&path)?), path.into_os_string()))
    }

    /// Accepts and answers connections for ever; dropping it ends all of them.
    pub(crate) async fn serve(self, listing: Rc<RefCell<Listing>>, link: mpsc::Sender<Command>) {
        let known = Known { listing, listed: RefCell::new(Instant::now()), link };
        let mut conversations = FuturesUnordered::new();
        let mut next_slot = 0;
        loop {
            tokio::select! {
                // Further ones wait in the listener's queue.
                accepted = accept(&self.0), if conversations.len() < MAX_CHANNELS => match accepted {
                    Ok(stream) => {
                        conversations.push(converse(&known, next_slot, stream));
                        next_slot += 1;
                    }
                    Err(error) => {
                        // Too many open files, for one.
                        debug!("a connection to the agent's socket could not be accepted: {error}");
                        sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(ended) = conversations.next() => {
                    if let Err(error) = ended {
                        debug!("a connection to the agent's socket ended: {error}");
                    }
                }
            }
        }
    }
}

async fn accept(listener: &UnixListener) -> io::Result<QuietStream> {
    listener.accept().await?.0.try_into()
}
