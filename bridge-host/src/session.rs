//! One connection of a session: a reader decodes the client's requests, a writer sends the answers, and both run until
//! one of them, or the agent, ends the connection, or it holds memory without progress.

use std::future::pending;
use std::io::Cursor;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use proto::SessionId;
use proto::agent::AgentId;
use tokio::io::AsyncReadExt as _;
use tracing::debug;

use crate::agent::channels::{self, ChannelEvents, Channels};
use crate::agent::{AgentAccess, Requester, Turns};
use crate::audit::{Record, Shown};
use crate::memory::SessionMemory;
use crate::net::upgrade::Upgraded;
use crate::queue::Queue;
use crate::state::BridgeState;

mod decide;
mod keys;
mod line;
pub(crate) mod outbox;
mod reader;
pub(crate) mod registry;
pub(crate) mod waiting;
mod wanted;
mod writer;

pub(crate) use wanted::WantedKeys;

use outbox::Outbox;
use reader::Reader;
use registry::Attachment;
use writer::Writer;

/// A peer that sends nothing, or reads nothing, for this long is gone.
const IDLE_TIMEOUT: Duration = Duration::from_secs(120);
/// The other end of a session's connection.
#[derive(Clone, Copy)]
struct Client {
    session: SessionId,
    /// See [`Attachment::number`].
    number: u64,
    peer: SocketAddr,
    /// See [`Wanted::http`].
    http: bool,
}

/// What the client of a connection wants from its session, from its hello, and the memory of that connection.
pub(crate) struct Wanted {
    pub(crate) keys: WantedKeys,
    pub(crate) agent: Option<AgentId>,
    /// Whether it asks for the origins that have rules.
    pub(crate) http: bool,
    /// What it sent while it waited for a place.
    pub(crate) sent: Vec<u8>,
    pub(crate) memory: Arc<SessionMemory>,
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
    /// The session held bytes of the bridge's memory without progress; see [`SessionMemory::stalled`].
    Stalled,
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
            Self::Stalled => "stalled",
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
    stream: Upgraded,
    wanted: Wanted,
    mut attachment: Attachment,
) {
    let client = Client { session: attachment.id(), number: attachment.number, peer, http: wanted.http };
    let turns = Turns::default();
    let access = wanted.agent.and_then(|id| state.agents.get(&id)).map(|agent| AgentAccess {
        recorder: &state.recorder,
        agent,
        requester: Requester::Client { session: client.session, peer },
        answers: &attachment.answers,
        turns: &turns,
    });
    if wanted.http {
        attachment.allow_streams();
    }
    let replaced = Arc::clone(&attachment.replaced);
    // A bridge that ends drops this future at an await: the record is written all the same.
    let mut record = EndRecord { state, client, end: SessionEnd::BridgeEnded };
    record.end = tokio::select! {
        end = exchange(state, client, (stream, wanted.sent), wanted.keys, wanted.memory, access) => end,
        () = replaced.notified() => SessionEnd::Replaced,
    };
    match record.end {
        // The client has finished, or violated the protocol: it may not redial.
        SessionEnd::Closed | SessionEnd::ProtocolError | SessionEnd::TooManyRequests => attachment.close(),
        SessionEnd::Broken
        | SessionEnd::Idle
        | SessionEnd::Stalled
        | SessionEnd::Replaced
        | SessionEnd::BridgeEnded => {}
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

/// Runs reader, writer and agent on `stream`, of which `sent` was read already, until one of them ends the connection.
async fn exchange(
    state: &BridgeState,
    client: Client,
    (stream, sent): (Upgraded, Vec<u8>),
    keys: WantedKeys,
    memory: Arc<SessionMemory>,
    access: Option<AgentAccess<'_>>,
) -> SessionEnd {
    let (read, write) = tokio::io::split(stream);
    let (requests, outbox) = (Queue::default(), Outbox::default());
    let next_request = keys.end();
    requests.push(keys);
    let agent = access.map(|access| (access, Channels::new(access.agent, Arc::clone(&memory))));
    let (channels, agent) = match agent {
        Some((access, (channels, events))) => (Some(channels), Some((access, events))),
        None => (None, None),
    };
    let reader = Reader::new(
        Cursor::new(sent).chain(read),
        Arc::clone(&memory),
        &requests,
        &outbox,
        next_request,
        channels,
    );
    let mut writer = Writer::new(state, client, write, Arc::clone(&memory));
    let end = tokio::select! {
        // The writer first: if the client has everything and closes, the record must say that it was sent.
        biased;
        end = writer.run(&requests, &outbox) => end,
        end = reader.run() => end,
        () = serve_agent(agent, &outbox, &memory) => SessionEnd::ProtocolError,
        () = memory.stalled() => SessionEnd::Stalled,
    };
    writer.close(end).await;
    end
}

/// Serves the agent's channels of a session; without an agent, never resolves.
async fn serve_agent(
    agent: Option<(AgentAccess<'_>, Arc<ChannelEvents>)>,
    outbox: &Outbox,
    memory: &Arc<SessionMemory>,
) {
    match agent {
        Some((access, events)) => Box::pin(channels::run(access, &events, outbox, memory)).await,
        None => pending().await,
    }
}
