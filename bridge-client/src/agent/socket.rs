//! The socket, or named pipe on Windows, that `SSH_AUTH_SOCK` names: OpenSSH for Windows, and what is built like it, opens
//! a pipe of that name.

use std::cell::RefCell;
use std::convert::Infallible;
use std::ffi::OsString;
use std::rc::Rc;

use local_ipc::{LocalListener, serve_connections};
use proto::limits::MAX_CHANNELS;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::debug;

use super::client::{AgentState, serve_client};
use super::error::AgentError;
use super::multiplexer::{Command, Listing};
use crate::delivery::access::{self, Access};
use crate::exec::private_dir::PrivateDir;

/// A socket that accepts connections already.
pub(crate) struct AgentSocket(LocalListener);

impl AgentSocket {
    /// Listens where only the user of `access` can connect, once the directory admits that user. Returns the value for
    /// `SSH_AUTH_SOCK`.
    ///
    /// # Errors
    /// [`AgentError`].
    pub(crate) fn bind(directory: &PrivateDir, access: Access) -> Result<(Self, OsString), AgentError> {
        let bound = LocalListener::bind_private(directory.path(), "agent").map_err(AgentError::Socket)?;
        let (mut listener, path) = bound;
        access::give(&path, access)?;
        // The mode of a socket decides who can connect; where it says one user, so does this.
        if access.uid.is_some() && access.mode & 0o077 == 0 {
            listener.trust_only(access.uid);
        }
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
