//! The named pipe that `SSH_AUTH_SOCK` names: OpenSSH for Windows, and what is built like it, opens that.

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
use windows_access::pipe::{Connection, PrivatePipe, random_name};

use super::conversation::{Caller, Known, converse};
use super::link::{Command, Listing};
use crate::private_dir::PrivateDir;

impl Caller for Connection {
    fn has_hung_up(&self) -> bool {
        self.is_closed()
    }
}

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
                        conversations.push(converse(&known, next_slot, connection));
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
