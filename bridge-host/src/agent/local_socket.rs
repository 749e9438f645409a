//! `--agent-socket`: an agent, with all of its policy, as a socket on this host, for builders that forward sockets
//! themselves.

use std::future::pending;
use std::path::PathBuf;

use futures_util::future::join_all;
use proto::agent::AgentId;

use super::Agents;
use super::answering::{Asking, Who};
use super::grants::Grants;
use crate::error::HostError;
use crate::shared::Shared;

#[cfg_attr(unix, path = "local_socket_unix.rs")]
#[cfg_attr(windows, path = "local_socket_windows.rs")]
mod platform;

/// The sockets of a bridge; their files go with this.
#[derive(Default)]
pub(crate) struct LocalSockets(Vec<(AgentId, platform::LocalSocket, Grants)>);

/// Listens at each of `sockets`, for the agent of its id.
///
/// # Errors
/// [`HostError::AgentSocket`], also if there is no such agent.
pub(crate) fn bind(sockets: &[(AgentId, PathBuf)], agents: &Agents) -> Result<LocalSockets, HostError> {
    let bind = |(id, path): &(AgentId, PathBuf)| {
        let failed = |source| HostError::AgentSocket { path: path.clone(), source };
        if agents.get(id).is_none() {
            let problem = format!("there is no agent {id} (--ssh {id}=…)");
            return Err(failed(std::io::Error::new(std::io::ErrorKind::NotFound, problem)));
        }
        Ok((id.clone(), platform::LocalSocket::bind(path).map_err(failed)?, Grants::default()))
    };
    sockets.iter().map(bind).collect::<Result<_, _>>().map(LocalSockets)
}

impl LocalSockets {
    /// Answers at all of them, for ever.
    pub(crate) async fn serve(&self, shared: &Shared) {
        let serving = self.0.iter().filter_map(|(id, socket, grants)| {
            let agent = shared.agents().get(id)?;
            Some(socket.serve(Asking { shared, agent, who: Who::Socket, grants }))
        });
        join_all(serving).await;
        pending().await
    }
}
