//! Sends what a client asked for: secrets in chunks that take turns, the agent's messages, and pings.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, SplitSink};
use futures_util::{SinkExt as _, StreamExt as _};
use proto::HostMessage;
use proto::limits::CHUNK;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use super::decide::{Decision, Granted, decide};
use super::keys::RequestedKeys;
use super::{Client, IDLE_TIMEOUT, Request, SessionEnd};
use crate::audit::Sending;
use crate::net::upgrade::WebSocket;
use crate::state::BridgeState;

/// A quiet connection is pinged after this long, which keeps NAT entries alive and finds dead peers.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// Time for sending the close frame with the reason why the connection ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Most requests of one connection that are decided at once: each may run a command.
const MAX_PENDING_DECISIONS: usize = 16;
/// Bytes of a secret in one chunk. With its headers it is what rustls takes at once (64 KiB). And it is far from whole
/// pages: buffers of whole pages lie so that a copy from one to the next is up to 20 times slower on AMD's Zen 3, with
/// a C library before 2.39 (glibc bug 30994).
const CHUNK_SIZE: usize = 63 << 10;
const _: () = assert!(CHUNK_SIZE <= CHUNK);

pub(super) struct Writer<'a> {
    state: &'a BridgeState,
    client: Client,
    sink: SplitSink<WebSocket, Message>,
    /// Secrets that are being sent; they take turns, one chunk each.
    outgoing: VecDeque<Granted<'a>>,
    /// Secrets whose last chunk was written but not flushed yet.
    unflushed: Vec<Sending<'a>>,
    /// Whether frames may still be in a buffer of this process.
    needs_flush: bool,
    keys: RequestedKeys,
}

impl<'a> Writer<'a> {
    pub(super) fn new(state: &'a BridgeState, client: Client, sink: SplitSink<WebSocket, Message>) -> Self {
        Self {
            state,
            client,
            sink,
            outgoing: VecDeque::new(),
            unflushed: Vec::new(),
            needs_flush: false,
            keys: RequestedKeys::default(),
        }
    }

    /// Answers `first`, then the `requests` that the reader passes on, and sends the agent's messages, until the
    /// connection takes no more.
    pub(super) async fn run(
        &mut self,
        first: VecDeque<Request>,
        requests: mpsc::Receiver<Request>,
        agent_messages: mpsc::Receiver<HostMessage<'static>>,
    ) -> SessionEnd {
        match self.write(first, requests, agent_messages).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn write(
        &mut self,
        mut first: VecDeque<Request>,
        mut requests: mpsc::Receiver<Request>,
        mut agent_messages: mpsc::Receiver<HostMessage<'static>>,
    ) -> Result<Infallible, SessionEnd> {
        let agents = self.state.agents.ids();
        self.send(&HostMessage::Welcome { agents }).await?;
        let mut decisions = FuturesUnordered::new();
        let mut ping_at = Instant::now() + PING_INTERVAL;
        loop {
            while decisions.len() < MAX_PENDING_DECISIONS
                && let Some((request, key)) = first.pop_front()
            {
                decisions.push(decide(self.state, self.client, request, key));
            }
            let has_room = decisions.len() < MAX_PENDING_DECISIONS;
            tokio::select! {
                biased;
                Some(decision) = decisions.next(), if !decisions.is_empty() => self.start(decision).await?,
                Some((request, key)) = requests.recv(), if has_room => {
                    decisions.push(decide(self.state, self.client, request, key));
                }
                // Needs no limit: on each channel the agent answers one message before it takes the next.
                Some(message) = agent_messages.recv() => self.send(&message).await?,
                // During a long secret too: a client that only reads shows by its pongs that it is alive.
                () = sleep_until(ping_at) => {
                    self.feed(Message::Ping(Bytes::new())).await?;
                    ping_at = Instant::now() + PING_INTERVAL;
                }
                () = ready(()), if !self.outgoing.is_empty() => self.send_chunk().await?,
                // Only when there is nothing else to send; answers that are ready do not wait for a slow command.
                () = ready(()), if self.needs_flush => {
                    self.flush().await?;
                    ping_at = Instant::now() + PING_INTERVAL;
                }
            }
        }
    }

    /// Sends a close frame with the reason to a client that violated the protocol or a limit, which helps developers of
    /// clients. Then logs the keys.
    pub(super) async fn close(&mut self, end: SessionEnd) {
        let code = match end {
            SessionEnd::ProtocolError => Some(CloseCode::Protocol),
            SessionEnd::TooManyRequests => Some(CloseCode::Policy),
            SessionEnd::Closed
            | SessionEnd::Broken
            | SessionEnd::Idle
            | SessionEnd::Replaced
            | SessionEnd::BridgeEnded => None,
        };
        if let Some(code) = code {
            let close = Message::Close(Some(CloseFrame { code, reason: Utf8Bytes::default() }));
            let _ = timeout(CLOSE_TIMEOUT, self.sink.send(close)).await;
        }
        self.keys.log();
    }

    /// Sends the head of an answer; a secret's bytes follow chunk by chunk.
    async fn start(&mut self, decision: Decision<'a>) -> Result<(), SessionEnd> {
        match decision {
            Decision::Granted(granted) => {
                self.keys.granted.add(granted.sending.key().clone());
                let length = granted.secret.len() as u64;
                self.send(&HostMessage::Length { request: granted.request, length }).await?;
                if length == 0 {
                    self.unflushed.push(granted.sending);
                } else {
                    self.outgoing.push_back(granted);
                }
                Ok(())
            }
            Decision::Refused { request, key, reason, detail } => {
                self.keys.refused.add(key);
                self.send(&HostMessage::Refused { request, reason, detail }).await
            }
        }
    }

    /// Sends the next chunk of the secret whose turn it is.
    async fn send_chunk(&mut self) -> Result<(), SessionEnd> {
        let Some(mut granted) = self.outgoing.pop_front() else { return Ok(()) };
        let rest = granted.secret.expose().get(granted.sending.bytes..).unwrap_or_default();
        let (chunk, rest) = rest.split_at(rest.len().min(CHUNK_SIZE));
        let is_last = rest.is_empty();
        let message = HostMessage::Chunk { request: granted.request, bytes: chunk }.encode();
        granted.sending.bytes += chunk.len();
        self.feed(Message::binary(message)).await?;
        if is_last {
            self.unflushed.push(granted.sending);
        } else {
            self.outgoing.push_back(granted);
        }
        Ok(())
    }

    async fn send(&mut self, message: &HostMessage<'_>) -> Result<(), SessionEnd> {
        self.feed(Message::binary(message.encode())).await
    }

    /// Hands a frame to the connection's buffer; waits while that is full.
    async fn feed(&mut self, message: Message) -> Result<(), SessionEnd> {
        self.needs_flush = true;
        timeout(IDLE_TIMEOUT, self.sink.feed(message))
            .await
            .map_err(|_| SessionEnd::Idle)?
            .map_err(|_| SessionEnd::Broken)
    }

    async fn flush(&mut self) -> Result<(), SessionEnd> {
        timeout(IDLE_TIMEOUT, self.sink.flush())
            .await
            .map_err(|_| SessionEnd::Idle)?
            .map_err(|_| SessionEnd::Broken)?;
        self.needs_flush = false;
        self.unflushed.drain(..).for_each(Sending::complete);
        Ok(())
    }
}
