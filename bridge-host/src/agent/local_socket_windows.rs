//! Named pipes of this user's.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::sleep;
use tracing::{debug, warn};
use windows_access::pipe::{self, Connection, PrivatePipe};

use super::{Caller, converse};
use crate::agent::answering::Asking;

/// Most connections at once; further ones find the pipe busy, and wait for that.
const MAX_AT_ONCE: usize = 64;

/// A pipe that accepts connections already. It goes with this.
pub(super) struct LocalSocket {
    pipe: PrivatePipe,
    path: PathBuf,
}

impl LocalSocket {
    /// Makes the pipe `path`, `\\.\pipe\NAME`, for this user alone. One that is there is not replaced.
    ///
    /// # Errors
    /// The system's.
    pub(super) fn bind(path: &Path) -> io::Result<Self> {
        let name = path.to_str().filter(|_| pipe::is_name(path));
        let name = name.ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, r"on this system it is a named pipe, \\.\pipe\NAME")
        })?;
        Ok(Self { pipe: PrivatePipe::create(name)?, path: path.to_owned() })
    }

    /// Accepts and answers connections until it is dropped, which ends all of them.
    pub(super) async fn serve(&self, asking: Asking<'_>) {
        let mut conversations = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.pipe.accept(), if conversations.len() < MAX_AT_ONCE => match accepted {
                    Ok(connection) => conversations.push(converse(asking, connection)),
                    Err(error) => {
                        warn!("a connection to {} could not be accepted: {error}", self.path.display());
                        sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(ended) = conversations.next() => {
                    if let Err(error) = ended {
                        debug!("a connection to {} ended: {error}", self.path.display());
                    }
                }
            }
        }
    }
}

impl Caller for Connection {
    fn has_hung_up(&self) -> bool {
        self.is_closed()
    }
}
