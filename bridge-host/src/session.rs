//! One connection of a session: a reader decodes the client's requests, a writer sends the answers, and both run until
//! one of them, or the agent, ends the connection.

use std::collections::VecDeque;
use std::future::pending;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use proto::{Hello, HostMessage, Key, SessionId};
use tokio::sync::mpsc;
use tracing::debug;

use crate::agent::channels::{self, ChannelEvent, Channels};
use crate::agent::{AgentAccess, Requester, Turns};
use crate::audit::{Record, Shown};
use crate::net::upgrade::WebSocket;
use crate::state::BridgeState;

mod decide;
mod keys;
mod reader;
pub(crate) mod registry;
mod writer;

use reader::Reader;
use registry::Attachment;
use writer::Writer;

/// A peer that sends nothing, or reads nothing, for this long is gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// Messages that the reader and the agent may have queued for the writer. While the queue is full, further requests
/// stay in the client's socket.
const QUEUE_LENGTH: usize = 64;

/// A secret that is asked for: the number of the request, and the key.
type Request = (u32, Key);

/// The other end of a session's connection.
#[derive(Clone, Copy)]
struct Client {
    session: SessionId,
    /// See [`Attachment::number`].
    number: u64,
    peer: SocketAddr,
}

/// How a connection of a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SessionEnd {
    /// The client closed the connection with a close frame.
    Closed,
    /// The connection broke.
    Broken,
    /// The peer sent nothing, or read nothing, for [`IDLE_TIMEOUT`].
    Idle,
    /// The peer sent something that the protocol does not allow.
    ProtocolError,
    /// A redial continues the session on another connection.
    Replaced,
    /// The client made more requests than a session may.
    TooManyRequests,
    /// The bridge ended.
    BridgeEnded,
}

impl SessionEnd {
    /// The audit's word for this end.
    fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::ProtocolError => "protocol-error",
            Self::Replaced => "replaced",
            Self::TooManyRequests => "too-many-requests",
            Self::BridgeEnded => "bridge-ended",
        }
    }
}

/// Serves one connection of a session until one side ends it: sends the secrets that the hello asks for, then
/// answers what else the client asks for, of the agent too if the hello names one.
pub(crate) async fn serve(
    state: &BridgeState,
    peer: SocketAddr,
    socket: WebSocket,
    hello: Hello,
    mut attachment: Attachment,
) {
    let client = Client { session: attachment.id(), number: attachment.number, peer };
    let turns = Turns::default();
    let access = hello.agent.and_then(|id| state.agents.get(&id)).map(|agent| AgentAccess {
        recorder: &state.recorder,
        agent,
        requester: Requester::Client { session: client.session, peer },
        grants: &attachment.grants,
        turns: &turns,
    });
    let replaced = Arc::clone(&attachment.replaced);
    // A bridge that ends drops this future at an await: the record is written all the same.
    let mut record = EndRecord { state, client, end: SessionEnd::BridgeEnded };
    record.end = tokio::select! {
        end = exchange(state, client, socket, hello.keys, access) => end,
        () = replaced.notified() => SessionEnd::Replaced,
    };
    match record.end {
        // The client has finished, or violated the protocol: it may not redial.
        SessionEnd::Closed | SessionEnd::ProtocolError | SessionEnd::TooManyRequests => attachment.close(),
        SessionEnd::Broken | SessionEnd::Idle | SessionEnd::Replaced | SessionEnd::BridgeEnded => {}
    }
}

/// Writes the record of a connection's end when it is dropped.
struct EndRecord<'a> {
    state: &'a BridgeState,
    client: Client,
    end: SessionEnd,
}

impl Drop for EndRecord<'_> {
    fn drop(&mut self) {
        let Client { session, peer, .. } = self.client;
        let audit = self.state.recorder.audit();
        if self.end == SessionEnd::TooManyRequests {
            audit.note(&Record::LimitHit { peer, limit: "requests per session" });
        }
        let how = self.end.word();
        debug!("session ended: {how}");
        audit.note(&Record::SessionEnded { session: Shown(session), peer, how });
    }
}

/// Runs reader, writer and agent on `socket` until one of them ends the connection.
async fn exchange(
    state: &BridgeState,
    client: Client,
    socket: WebSocket,
    keys: Vec<Key>,
    access: Option<AgentAccess<'_>>,
) -> SessionEnd {
    let (sink, stream) = socket.split();
    let next_request = keys.len() as u32; // the hello's limit is far below
    let first: VecDeque<Request> = (0..).zip(keys).collect();
    let (requests, incoming) = mpsc::channel(QUEUE_LENGTH);
    let (agent_messages, outgoing) = mpsc::channel(QUEUE_LENGTH);
    let (channels, events) = Channels::new();
    let reader = Reader::new(stream, requests, next_request, access.is_some().then_some(channels));
    let mut writer = Writer::new(state, client, sink);
    let end = tokio::select! {
        // The writer first: if the client has everything and closes, the record must say that it was sent.
        biased;
        end = writer.run(first, incoming, outgoing) => end,
        end = reader.run() => end,
        () = serve_agent(access, events, agent_messages) => SessionEnd::ProtocolError,
    };
    writer.close(end).await;
    end
}

/// Serves the agent's channels of a session; without an agent, never resolves.
async fn serve_agent(
    access: Option<AgentAccess<'_>>,
    events: mpsc::Receiver<ChannelEvent>,
    messages: mpsc::Sender<HostMessage<'static>>,
) {
    match access {
        Some(access) => channels::run(access, events, messages).await,
        None => pending().await,
    }
}
