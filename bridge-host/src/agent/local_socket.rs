//! `--agent-socket`: an agent, with all of its policy, as a socket on this host, for builders that forward sockets
//! themselves.

use std::future::pending;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use proto::agent::{AgentId, MAX_MESSAGE};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep;
use tracing::{Instrument as _, debug, error_span, warn};

use super::access::{AgentAccess, Requester};
use super::agents::Agents;
use super::connection::AgentConnection;
use super::grants::Grants;
use crate::recorder::Recorder;

#[cfg_attr(unix, path = "local_socket_unix.rs")]
#[cfg_attr(windows, path = "local_socket_windows.rs")]
mod platform;

/// Most connections at once; further ones wait, as the system lets them.
const MAX_AT_ONCE: usize = 64;

/// How often a process that waits is looked at.
const WATCH: Duration = Duration::from_millis(250);

/// The sockets of a bridge; their files go with this.
#[derive(Default)]
pub(crate) struct LocalSockets(Vec<LocalSocket>);

/// One of them, which accepts connections already.
struct LocalSocket {
    agent: AgentId,
    path: PathBuf,
    listener: platform::Listener,
    grants: Grants,
}

/// A socket of `--agent-socket` cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("--agent-socket {}", .path.display())]
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
) -> Result<LocalSockets, AgentSocketError> {
    let bind = |(id, path): &(AgentId, PathBuf)| {
        let failed = |source| AgentSocketError { path: path.clone(), source };
        if agents.get(id).is_none() {
            let problem = format!("there is no agent {id} (--ssh {id}=…)");
            return Err(failed(io::Error::new(io::ErrorKind::NotFound, problem)));
        }
        let listener = platform::Listener::bind(path).map_err(failed)?;
        Ok(LocalSocket { agent: id.clone(), path: path.clone(), listener, grants: Grants::default() })
    };
    sockets.iter().map(bind).collect::<Result<_, _>>().map(LocalSockets)
}

impl LocalSockets {
    /// Answers at all of them, for ever.
    pub(crate) async fn serve(&self, agents: &Agents, recorder: &Recorder) {
        let serving = self.0.iter().filter_map(|socket| {
            let agent = agents.get(&socket.agent)?;
            Some(socket.serve(AgentAccess {
                recorder,
                agent,
                requester: Requester::LocalProcess,
                grants: &socket.grants,
            }))
        });
        join_all(serving).await;
        pending().await
    }
}

impl LocalSocket {
    /// Accepts and answers connections until it is dropped, which ends all of them.
    async fn serve(&self, access: AgentAccess<'_>) {
        let mut conversations = FuturesUnordered::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept(), if conversations.len() < MAX_AT_ONCE => match accepted {
                    Ok(Some(caller)) => {
                        let span = error_span!("connection", peer = %"--agent-socket");
                        conversations.push(converse(access, caller).instrument(span));
                    }
                    Ok(None) => warn!("a process of another user was turned away at {}", self.path.display()),
                    Err(error) => {
                        // Too many open files, for one.
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

/// A process's connection.
trait Caller: AsyncRead + AsyncWrite + Unpin {
    /// Whether it is closed in both directions: nobody waits for an answer then.
    fn has_hung_up(&self) -> bool;
}

/// Resolves when `caller` has hung up. The system tells of that only whoever reads, or looks.
async fn hung_up(caller: &impl Caller) {
    while !caller.has_hung_up() {
        sleep(WATCH).await;
    }
}

/// Answers one process until it hangs up.
async fn converse(access: AgentAccess<'_>, mut stream: impl Caller) -> io::Result<()> {
    let mut connection = AgentConnection::new(access);
    let mut message = Vec::new();
    loop {
        let mut head = [0; 4];
        match stream.read_exact(&mut head).await {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            other => other?,
        };
        let length = u32::from_be_bytes(head) as usize;
        if length == 0 || length > MAX_MESSAGE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        message.clear();
        (&mut stream).take(length as u64).read_to_end(&mut message).await?;
        if message.len() < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let reply = tokio::select! {
            biased;
            reply = connection.reply(&message) => reply,
            // A person who is asked about this need not be any more.
            () = hung_up(&stream) => return Ok(()),
        };
        let length = u32::try_from(reply.message.len()).map_err(io::Error::other)?;
        stream.write_all(&[&length.to_be_bytes(), &reply.message[..]].concat()).await?;
    }
}
