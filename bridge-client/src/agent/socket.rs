//! What `SSH_AUTH_SOCK` names, and who connects to it.

use std::cell::RefCell;
use std::ffi::OsString;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::limits::MAX_CHANNELS;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};
use tracing::debug;

use super::client::{Known, converse};
use super::multiplexer::{Command, Listing};
use crate::exec::private_dir::PrivateDir;

#[cfg_attr(unix, path = "socket/unix.rs")]
#[cfg_attr(windows, path = "socket/windows.rs")]
mod platform;

/// A socket that accepts connections already.
pub(crate) struct AgentSocket(platform::Listener);

impl AgentSocket {
    /// Listens where this user alone can connect. Returns what `SSH_AUTH_SOCK` has to say.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn bind(directory: &PrivateDir) -> io::Result<(Self, OsString)> {
        let (listener, name) = platform::Listener::bind(directory)?;
        Ok((Self(listener), name))
    }

    /// Accepts and answers connections for ever; dropping it ends all of them.
    pub(crate) async fn serve(self, listing: Rc<RefCell<Listing>>, link: mpsc::Sender<Command>) {
        let known = Known { listing, listed: RefCell::new(Instant::now()), link };
        let mut conversations = FuturesUnordered::new();
        let mut next_slot = 0;
        loop {
            tokio::select! {
                // Further ones wait for it, as the system lets them.
                accepted = self.0.accept(), if conversations.len() < MAX_CHANNELS => match accepted {
                    Ok(caller) => {
                        conversations.push(converse(&known, next_slot, caller));
                        next_slot += 1;
                    }
                    Err(error) => {
                        // Too many open files, for one.
                        debug!("a connection to the agent could not be accepted: {error}");
                        sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(ended) = conversations.next() => {
                    if let Err(error) = ended {
                        debug!("a connection to the agent ended: {error}");
                    }
                }
            }
        }
    }
}
