//! One session's conversation: requests come in, secrets go out in chunks that take turns.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::fmt;
use std::future::{pending, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, SplitSink, SplitStream};
use futures_util::{SinkExt as _, StreamExt as _};
use proto::limits::{CHUNK, MAX_AGENT_MESSAGES, MAX_REQUESTS};
use proto::{ClientMessage, HostMessage, Key, RefusalReason, Secret, SessionId, Untrusted, WireError};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message, Utf8Bytes};
use tracing::{debug, info, warn};

use crate::agent::answering::Asking;
use crate::agent::channels::{self, Channels, Event, OutOfOrder};
use crate::audit::{Audit, Claimed, Record, Sending, Shown, refusal_word};
use crate::net::upgrade::Socket;
use crate::state::Shared;

pub(crate) mod registry;

/// A quiet connection is pinged after this long, which keeps NATs awake and finds dead peers.
const PING_AFTER: Duration = Duration::from_secs(30);
/// A peer that sends nothing, or takes nothing, for this long is gone.
const IDLE: Duration = Duration::from_secs(120);
/// How long a client that broke the rules may take to read so.
const LAST_WORD: Duration = Duration::from_secs(1);
/// Requests that are read ahead of their answers. When they wait, the client's next ones stay in its socket.
const READ_AHEAD: usize = 64;
/// Sources that run at once for one session.
const AT_ONCE: usize = 16;
/// Bytes of a secret in one chunk. With its heads it is what rustls takes at once (64 KiB). And it is far from whole
/// pages: buffers of those lie so that a copy from one to the next is up to 20 times slower on AMD's Zen 3, with a C
/// library before 2.39 (glibc bug 30994).
const PART: usize = 63 << 10;
const _: () = assert!(PART <= CHUNK);

/// How a connection of a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum How {
    /// The client closed it properly.
    Closed,
    /// It broke.
    Broken,
    /// The peer was silent, or took nothing, for too long.
    Idle,
    /// The peer said something that is not in the protocol.
    Protocol,
    /// A redial took its place.
    Replaced,
    /// It made more requests than a session may.
    TooManyRequests,
}

impl How {
    /// A stable word for the audit.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::Protocol => "protocol-error",
            Self::Replaced => "replaced",
            Self::TooManyRequests => "too-many-requests",
        }
    }
}

/// A secret that is wanted, by number.
type Request = (u32, Key);

/// Who is being talked to.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    pub(crate) session: SessionId,
    pub(crate) peer: SocketAddr,
}

/// Answers `wanted`, then whatever else the client asks for, of the agent too if it wanted one, until one side ends it.
pub(crate) async fn converse(
    shared: &Shared,
    client: Client,
    socket: Socket,
    wanted: Vec<Key>,
    asking: Option<Asking<'_>>,
) -> How {
    let (sink, stream) = socket.split();
    let first_in_frames = wanted.len() as u32; // the hello's limit is far below
    let (requests, incoming) = mpsc::channel(READ_AHEAD);
    let first: VecDeque<Request> = (0..).zip(wanted).collect();
    let mut writer = Writer::new(shared, client, sink);
    let (say, said) = mpsc::channel(READ_AHEAD);
    let (channels, events) = Channels::new();
    let reader = Reader {
        stream,
        requests,
        next: first_in_frames,
        channels: asking.is_some().then_some(channels),
        agent_messages: 0,
    };
    let how = tokio::select! {
        // The writer first: if the client has everything and closes, what was sent counts as sent.
        biased;
        how = writer.run(first, incoming, said) => how,
        how = reader.run() => how,
        () = ask_agent(asking, events, say) => How::Protocol,
    };
    writer.say_why(how).await;
    writer.told.log(client.peer);
    how
}

/// Runs the agent's side of the session, if there is one, for ever.
async fn ask_agent(
    asking: Option<Asking<'_>>,
    events: mpsc::Receiver<Event>,
    say: mpsc::Sender<HostMessage<'static>>,
) {
    match asking {
        Some(asking) => channels::run(asking, events, say).await,
        None => pending().await,
    }
}

/// Takes the client's messages apart.
struct Reader {
    stream: SplitStream<Socket>,
    requests: mpsc::Sender<Request>,
    /// The number of the next secret asked for.
    next: u32,
    /// Where agent messages go, if an agent was asked for.
    channels: Option<Channels>,
    /// How many of them there were.
    agent_messages: u32,
}

impl Reader {
    /// Waits when the writer is behind.
    async fn run(mut self) -> How {
        loop {
            let message = match timeout(IDLE, self.stream.next()).await {
                Err(_) => return How::Idle,
                Ok(None) => return How::Broken,
                Ok(Some(Err(error))) => return how_of(&error),
                Ok(Some(Ok(message))) => message,
            };
            let taken = match message {
                Message::Binary(payload) => self.take(&payload).await,
                // tungstenite answers pings itself, with the next write.
                Message::Ping(_) | Message::Pong(_) => Ok(()),
                Message::Close(_) => Err(How::Closed),
                Message::Text(_) | Message::Frame(_) => Err(How::Protocol),
            };
            if let Err(how) = taken {
                return how;
            }
        }
    }

    async fn take(&mut self, payload: &[u8]) -> Result<(), How> {
        let message = ClientMessage::decode(payload).map_err(|error| match error {
            WireError::OverLimit { what: "requests", .. } => How::TooManyRequests,
            WireError::OverLimit { .. } | WireError::NotCanonical(_) | WireError::Alphabet(_) => {
                How::Protocol
            }
        })?;
        let out_of_order = |OutOfOrder| How::Protocol;
        match (message, &mut self.channels) {
            (ClientMessage::Get { first, keys }, _) if first == self.next => {
                for key in keys {
                    if self.next >= MAX_REQUESTS {
                        return Err(How::TooManyRequests);
                    }
                    self.requests.send((self.next, key)).await.map_err(|_| How::Broken)?;
                    self.next += 1;
                }
                Ok(())
            }
            (ClientMessage::Agent { channel, message }, Some(channels)) => {
                self.agent_messages += 1;
                if self.agent_messages > MAX_AGENT_MESSAGES {
                    return Err(How::TooManyRequests);
                }
                channels.deliver(channel, message).await.map_err(out_of_order)
            }
            (ClientMessage::Close { channel }, Some(channels)) => {
                channels.close(channel).map_err(out_of_order)
            }
            (ClientMessage::ListAgain, Some(channels)) => channels.list_again().await.map_err(out_of_order),
            (ClientMessage::Get { .. }, _)
            | (ClientMessage::Agent { .. } | ClientMessage::Close { .. } | ClientMessage::ListAgain, None) => {
                Err(How::Protocol)
            }
        }
    }
}

/// Whether it was the connection that broke, or the peer that broke the rules of websockets.
// tungstenite's other errors are all about what the peer sent.
#[allow(clippy::wildcard_enum_match_arm)]
fn how_of(error: &WsError) -> How {
    match error {
        WsError::Io(_)
        | WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => How::Broken,
        _ => How::Protocol,
    }
}

/// A secret on its way out.
struct Outgoing<'a> {
    request: u32,
    secret: Arc<Secret>,
    record: Sending<'a>,
}

/// What a request came to.
enum Answer<'a> {
    Granted(Outgoing<'a>),
    Refused { request: u32, key: Key, reason: RefusalReason, detail: Untrusted },
}

struct Writer<'a> {
    shared: &'a Shared,
    client: Client,
    sink: SplitSink<Socket, Message>,
    /// Secrets that are being sent; they take turns, a chunk each.
    outgoing: VecDeque<Outgoing<'a>>,
    /// Secrets whose last chunk was written but not flushed yet.
    written: Vec<Sending<'a>>,
    /// Whether frames may still be in a buffer of ours.
    unflushed: bool,
    told: Told,
}

/// What a session came to, for one line in the host's messages: a hundred keys must not make a hundred lines.
#[derive(Default)]
struct Told {
    given: Names,
    refused: Names,
}

/// The first few of some keys, and how many there are.
#[derive(Default)]
struct Names {
    first: Vec<Key>,
    count: u64,
}

impl Names {
    const SHOWN: usize = 5;

    fn add(&mut self, key: Key) {
        if self.first.len() < Self::SHOWN {
            self.first.push(key);
        }
        self.count += 1;
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.first.iter().map(Key::as_str).collect();
        f.write_str(&names.join(", "))?;
        match self.count - self.first.len() as u64 {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl Told {
    fn log(&self, peer: SocketAddr) {
        if self.given.count > 0 {
            info!("{} went to {}", self.given, peer.ip());
        }
        if self.refused.count > 0 {
            warn!("{} was refused to {}", self.refused, peer.ip());
        }
    }
}

/// The connection takes no more.
struct Stopped(How);

impl<'a> Writer<'a> {
    fn new(shared: &'a Shared, client: Client, sink: SplitSink<Socket, Message>) -> Self {
        Self {
            shared,
            client,
            sink,
            outgoing: VecDeque::new(),
            written: Vec::new(),
            unflushed: false,
            told: Told::default(),
        }
    }

    async fn run(
        &mut self,
        first: VecDeque<Request>,
        incoming: mpsc::Receiver<Request>,
        said: mpsc::Receiver<HostMessage<'static>>,
    ) -> How {
        match self.write(first, incoming, said).await {
            Ok(never) => match never {},
            Err(Stopped(how)) => how,
        }
    }

    async fn write(
        &mut self,
        mut first: VecDeque<Request>,
        mut incoming: mpsc::Receiver<Request>,
        mut said: mpsc::Receiver<HostMessage<'static>>,
    ) -> Result<Infallible, Stopped> {
        let agents = self.shared.agents().ids();
        self.feed(&HostMessage::Welcome { session: self.client.session, agents }).await?;
        let mut answers = FuturesUnordered::new();
        let mut ping_at = Instant::now() + PING_AFTER;
        loop {
            while answers.len() < AT_ONCE
                && let Some((request, key)) = first.pop_front()
            {
                answers.push(answer(self.shared, self.client, request, key));
            }
            let room = answers.len() < AT_ONCE;
            tokio::select! {
                biased;
                Some(answer) = answers.next(), if !answers.is_empty() => self.begin(answer).await?,
                Some((request, key)) = incoming.recv(), if room => {
                    answers.push(answer(self.shared, self.client, request, key));
                }
                // The agent's side, which waits for its client rather than for a queue.
                Some(message) = said.recv() => self.feed(&message).await?,
                // In the middle of a long secret too: a client that only listens shows by its pongs that it lives.
                () = sleep_until(ping_at) => {
                    self.send(Message::Ping(Bytes::new())).await?;
                    ping_at = Instant::now() + PING_AFTER;
                }
                () = ready(()), if !self.outgoing.is_empty() => self.send_chunk().await?,
                // Only when there is nothing else to say; answers that are ready do not wait for a slow command.
                () = ready(()), if self.unflushed => {
                    self.flush().await?;
                    ping_at = Instant::now() + PING_AFTER;
                }
            }
        }
    }

    /// Tells a client that broke the rules that it did; whoever writes one wants to know.
    async fn say_why(&mut self, how: How) {
        let code = match how {
            How::Protocol => CloseCode::Protocol,
            How::TooManyRequests => CloseCode::Policy,
            How::Closed | How::Broken | How::Idle | How::Replaced => return,
        };
        let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::default() }));
        let _ = timeout(LAST_WORD, self.sink.send(close)).await;
    }

    async fn begin(&mut self, answer: Answer<'a>) -> Result<(), Stopped> {
        match answer {
            Answer::Granted(outgoing) => {
                self.told.given.add(outgoing.record.key().clone());
                let length = outgoing.secret.len() as u64;
                self.feed(&HostMessage::Length { request: outgoing.request, length }).await?;
                if length == 0 {
                    self.written.push(outgoing.record);
                } else {
                    self.outgoing.push_back(outgoing);
                }
                Ok(())
            }
            Answer::Refused { request, key, reason, detail } => {
                self.told.refused.add(key);
                self.feed(&HostMessage::Refused { request, reason, detail }).await
            }
        }
    }

    /// Sends the next chunk of the secret whose turn it is.
    async fn send_chunk(&mut self) -> Result<(), Stopped> {
        let Some(mut outgoing) = self.outgoing.pop_front() else { return Ok(()) };
        let rest = outgoing.secret.expose().get(outgoing.record.bytes..).unwrap_or_default();
        let (chunk, rest) = rest.split_at(rest.len().min(PART));
        let is_last = rest.is_empty();
        let message = HostMessage::Chunk { request: outgoing.request, bytes: chunk }.encode();
        outgoing.record.bytes += chunk.len();
        self.send(Message::binary(message)).await?;
        if is_last {
            self.written.push(outgoing.record);
        } else {
            self.outgoing.push_back(outgoing);
        }
        Ok(())
    }

    async fn feed(&mut self, message: &HostMessage<'_>) -> Result<(), Stopped> {
        self.send(Message::binary(message.encode())).await
    }

    /// Hands a frame to the connection's buffer; waits while that is full.
    async fn send(&mut self, message: Message) -> Result<(), Stopped> {
        self.unflushed = true;
        timeout(IDLE, self.sink.feed(message))
            .await
            .map_err(|_| Stopped(How::Idle))?
            .map_err(|_| Stopped(How::Broken))
    }

    async fn flush(&mut self) -> Result<(), Stopped> {
        timeout(IDLE, self.sink.flush())
            .await
            .map_err(|_| Stopped(How::Idle))?
            .map_err(|_| Stopped(How::Broken))?;
        self.unflushed = false;
        self.written.drain(..).for_each(Sending::complete);
        Ok(())
    }
}

/// Decides one request, and writes down the decision before anything of it leaves.
async fn answer(shared: &Shared, client: Client, request: u32, key: Key) -> Answer<'_> {
    let refused = match shared.store().read(client.session, &key).await {
        Ok(secret) => {
            match Sending::permit(shared.audit(), client.session, client.peer, key.clone(), secret.len()) {
                Ok(record) => {
                    debug!("{key} ({} bytes) goes to {}", secret.len(), client.peer);
                    shared.count_read(key);
                    return Answer::Granted(Outgoing { request, secret, record });
                }
                Err(error) => {
                    warn!("{key} is refused: the audit record cannot be written: {error}");
                    (RefusalReason::AuditFailed, Untrusted::default())
                }
            }
        }
        Err(refused) => {
            debug!("{key} is refused to {}: {}", client.peer, refused.reason.as_str());
            (refused.reason, refused.detail)
        }
    };
    let (reason, detail) = refused;
    note_refusal(shared.audit(), client, &key, reason);
    shared.count_refusal();
    Answer::Refused { request, key, reason, detail }
}

fn note_refusal(audit: &Audit, client: Client, key: &Key, reason: RefusalReason) {
    let (session, peer) = (Shown(client.session), client.peer);
    audit.note(&Record::SecretRefused {
        session,
        peer,
        verdict: "refused",
        reason: refusal_word(reason),
        claimed: Claimed { key: key.as_str() },
    });
}
