//! The socket, or named pipe on Windows, that `SSH_AUTH_SOCK` names: OpenSSH for Windows, and what is built like it, opens
//! a pipe of that name.

use std::cell::RefCell;
use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::rc::Rc;

use local_ipc::{LocalListener, serve_connections};
use proto::limits::MAX_CHANNELS;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use super::client::{AgentState, serve_client};
use super::multiplexer::{Command, Listing};
use crate::exec::private_dir::PrivateDir;

/// A socket that accepts connections already.
pub(crate) struct AgentSocket(LocalListener);

impl AgentSocket {
    /// Listens where only this user can connect. Returns the value for `SSH_AUTH_SOCK`.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn bind(directory: &PrivateDir) -> io::Result<(Self, OsString)> {
        let (listener, path) = LocalListener::bind_private(directory.path(), "agent")?;
        Ok((Self(listener), path.into_os_string()))
    }

    /// Accepts and answers connections, and never returns; dropping the future ends all of them.
    pub(crate) async fn serve(
        self,
        listing: Rc<RefCell<Listing>>,
        multiplexer: mpsc::Sender<Command>,
    ) -> Infallible {
        let state = AgentState { listing, listed_at: RefCell::new(Instant::now()), multiplexer };
        let mut next_client = 0;
        let handle = |stream| {
            next_client += 1;
            serve_client(&state, next_client, stream)
        };
        serve_connections(&self.0, MAX_CHANNELS, handle, |error| debug!("agent socket: {error}")).await
    }
}
