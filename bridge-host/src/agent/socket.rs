//! `--agent-socket`: an agent, with all of its policy, as a socket on this host, for builders that forward sockets
//! themselves.

use std::future::pending;
use std::io;
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use local_ipc::{ConnectionError, FramedStream, LocalListener, LocalStream, serve_connections};
use proto::agent::AgentId;
use proto::limits::MAX_MESSAGE;
use tracing::{Instrument as _, debug, error_span, warn};

use super::access::{AgentAccess, Requester};
use super::agents::Agents;
use super::answers::Answers;
use super::connection::AgentConnection;
use super::upstream_pool::Turns;
use crate::private_file;
use crate::recorder::Recorder;

/// Most connections to one socket at once; further ones wait in its backlog.
const MAX_CONNECTIONS: usize = 64;

/// The agent sockets of a bridge. Dropping this removes their files.
#[derive(Default)]
pub(crate) struct AgentSockets(Vec<AgentSocket>);

struct AgentSocket {
    agent: AgentId,
    path: PathBuf,
    listener: LocalListener,
    answers: Answers,
    turns: Turns,
}

/// A socket of `--agent-socket` cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("cannot offer an agent at the socket {}", .path.display())]
pub struct AgentSocketError {
    path: PathBuf,
    source: io::Error,
}

/// Listens at each of `sockets`, for the agent of its id.
///
/// # Errors
/// [`AgentSocketError`], also if there is no such agent.
pub(crate) fn bind(
    sockets: &[(AgentId, PathBuf)],
    agents: &Agents,
) -> Result<AgentSockets, AgentSocketError> {
    let bind = |(id, path): &(AgentId, PathBuf)| {
        let failed = |source| AgentSocketError { path: path.clone(), source };
        if agents.get(id).is_none() {
            let problem = format!("there is no agent {id} (--ssh {id}=…)");
            return Err(failed(io::Error::new(io::ErrorKind::NotFound, problem)));
        }
        let listener =
            private_file::without_links(path).and_then(|path| LocalListener::bind(&path)).map_err(failed)?;
        Ok(AgentSocket {
            agent: id.clone(),
            path: path.clone(),
            listener,
            answers: Answers::default(),
            turns: Turns::default(),
        })
    };
    sockets.iter().map(bind).collect::<Result<_, _>>().map(AgentSockets)
}

impl AgentSockets {
    /// Serves all of them, and never returns.
    pub(crate) async fn serve(&self, agents: &Agents, recorder: &Recorder) {
        let serving = self.0.iter().filter_map(|socket| {
            let agent = agents.get(&socket.agent)?;
            Some(socket.serve(AgentAccess {
                recorder,
                agent,
                requester: Requester::LocalProcess,
                answers: &socket.answers,
                turns: &socket.turns,
            }))
        });
        join_all(serving).await;
        pending().await
    }
}

impl AgentSocket {
    async fn serve(&self, access: AgentAccess<'_>) {
        let handle = |stream| {
            let span = error_span!("connection", peer = %"--agent-socket");
            answer_requests(access, stream).instrument(span)
        };
        let report = |error| log_connection_error(&self.path, &error);
        match serve_connections(&self.listener, MAX_CONNECTIONS, handle, report).await {}
    }
}

fn log_connection_error(socket: &Path, error: &ConnectionError) {
    let socket = socket.display();
    match error {
        ConnectionError::Accept(_) | ConnectionError::OtherUser => warn!("agent socket {socket}: {error}"),
        ConnectionError::Ended(_) => debug!("agent socket {socket}: {error}"),
    }
}

/// Answers one process until it hangs up.
async fn answer_requests(access: AgentAccess<'_>, stream: LocalStream) -> io::Result<()> {
    let mut connection = AgentConnection::new(access);
    let mut stream = FramedStream::new(stream, MAX_MESSAGE);
    let mut message = Vec::new();
    while stream.read(&mut message).await? {
        let reply = tokio::select! {
            biased;
            reply = connection.reply(&message) => reply,
            // Dropping the reply withdraws a question to a person.
            () = stream.hung_up() => return Ok(()),
        };
        stream.write(&reply.message).await?;
    }
    Ok(())
}
