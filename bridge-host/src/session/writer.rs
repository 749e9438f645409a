//! Sends what a client asked for: secrets in chunks that take turns, the agent's messages, and pings.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::HostMessage;
use proto::limits::CHUNK;
use tokio::io::WriteHalf;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::decide::{Decision, Granted, decide};
use super::keys::RequestedKeys;
use super::outbox::{Outbox, Outgoing};
use super::wanted::WantedKeys;
use super::{Client, IDLE_TIMEOUT, SessionEnd};
use crate::audit::Sending;
use crate::memory::SessionMemory;
use crate::net::frames::{FrameWriter, WriteError};
use crate::net::upgrade::Upgraded;
use crate::queue::Queue;
use crate::state::BridgeState;

/// A quiet connection is pinged after this long, which keeps NAT entries alive and finds dead peers.
const PING_INTERVAL: Duration = Duration::from_secs(30);
/// Time for sending the close frame with the reason why the connection ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Most requests of one connection that are decided or answered at once: each may run a command, and each takes some
/// hundred bytes until its secret is sent. Further ones stay packed.
const MAX_PENDING: usize = 16;
/// After so many steps the other sessions have a turn. A step may write an audit record, and thousands of requests can be
/// answered before the socket is full.
const STEPS: u32 = 4;
/// Most secrets that were sent whole and wait for a flush to be recorded as such.
const MAX_UNFLUSHED: usize = 16;
/// Bytes of a secret in one chunk. With its headers it is what rustls takes at once (64 KiB). And it is far from whole
/// pages: buffers of whole pages lie so that a copy from one to the next is up to 20 times slower on AMD's Zen 3, with
/// a C library before 2.39 (glibc bug 30994).
const CHUNK_SIZE: usize = 63 << 10;
const _: () = assert!(CHUNK_SIZE <= CHUNK);

pub(super) struct Writer<'a> {
    state: &'a BridgeState,
    client: Client,
    frames: FrameWriter<WriteHalf<Upgraded>>,
    /// Secrets that are being sent, at most [`MAX_PENDING`]; they take turns, one chunk each.
    outgoing: VecDeque<Granted<'a>>,
    /// Secrets whose last chunk was written but not flushed yet, at most [`MAX_UNFLUSHED`].
    unflushed: Vec<Sending<'a>>,
    keys: RequestedKeys,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        state: &'a BridgeState,
        client: Client,
        stream: WriteHalf<Upgraded>,
        memory: Arc<SessionMemory>,
    ) -> Self {
        Self {
            state,
            client,
            frames: FrameWriter::new(stream, memory),
            outgoing: VecDeque::new(),
            unflushed: Vec::new(),
            keys: RequestedKeys::default(),
        }
    }

    /// Answers the `requests` that the reader passes on, and sends what is in the `outbox`, until the connection takes no
    /// more.
    pub(super) async fn run(&mut self, requests: &Queue<WantedKeys>, outbox: &Outbox) -> SessionEnd {
        match self.write(requests, outbox).await {
            Ok(never) => match never {},
            Err(end) => end,
        }
    }

    async fn write(
        &mut self,
        requests: &Queue<WantedKeys>,
        outbox: &Outbox,
    ) -> Result<Infallible, SessionEnd> {
        let agents = self.state.agents.ids();
        self.send(&HostMessage::Welcome { agents }).await?;
        if self.client.http {
            in_time(self.frames.message(&self.state.origins_message, &[])).await?;
        }
        let mut wanted: Option<WantedKeys> = None;
        let mut decisions = FuturesUnordered::new();
        let mut ping_at = Instant::now() + PING_INTERVAL;
        let mut steps = 0u32;
        loop {
            steps = steps.wrapping_add(1);
            if steps.is_multiple_of(STEPS) {
                yield_now().await;
            }
            while decisions.len() + self.outgoing.len() < MAX_PENDING
                && let Some(keys) = &mut wanted
            {
                match keys.next() {
                    Some((request, key)) => decisions.push(decide(self.state, self.client, request, key)),
                    None => wanted = None,
                }
            }
            tokio::select! {
                biased;
                Some(decision) = decisions.next(), if !decisions.is_empty() => self.start(decision).await?,
                next = requests.next(), if wanted.is_none() => wanted = next,
                Some(message) = outbox.next() => self.send_outgoing(message).await?,
                // During a long secret too: a client that only reads shows by its pongs that it is alive.
                () = sleep_until(ping_at) => {
                    in_time(self.frames.ping()).await?;
                    ping_at = Instant::now() + PING_INTERVAL;
                }
                () = ready(()), if self.unflushed.len() >= MAX_UNFLUSHED => self.flush().await?,
                () = ready(()), if !self.outgoing.is_empty() => self.send_chunk().await?,
                // Only when there is nothing else to send; answers that are ready do not wait for a slow command.
                () = ready(()), if self.frames.needs_flush() || !self.unflushed.is_empty() => {
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
            | SessionEnd::Stalled
            | SessionEnd::Replaced
            | SessionEnd::BridgeEnded => None,
        };
        if let Some(code) = code {
            let _ = timeout(CLOSE_TIMEOUT, self.frames.close(code)).await;
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

    /// Sends the next chunk of the secret whose turn it is, without a copy of it.
    async fn send_chunk(&mut self) -> Result<(), SessionEnd> {
        let Some(mut granted) = self.outgoing.pop_front() else { return Ok(()) };
        let rest = granted.secret.expose().get(granted.sending.bytes..).unwrap_or_default();
        let (chunk, rest) = rest.split_at(rest.len().min(CHUNK_SIZE));
        let is_last = rest.is_empty();
        granted.sending.bytes += chunk.len();
        let head = HostMessage::chunk_head(granted.request, chunk.len());
        in_time(self.frames.message(&head, chunk)).await?;
        if is_last {
            self.unflushed.push(granted.sending);
        } else {
            self.outgoing.push_back(granted);
        }
        Ok(())
    }

    async fn send_outgoing(&mut self, message: Outgoing) -> Result<(), SessionEnd> {
        match message {
            Outgoing::Shared(message) => in_time(self.frames.message(&message, &[])).await,
            Outgoing::Answer(message, _reserved) => in_time(self.frames.message(&message, &[])).await,
            Outgoing::Pong(payload) => in_time(self.frames.pong(&payload)).await,
        }
    }

    async fn send(&mut self, message: &HostMessage<'_>) -> Result<(), SessionEnd> {
        in_time(self.frames.message(&message.encode(), &[])).await
    }

    async fn flush(&mut self) -> Result<(), SessionEnd> {
        in_time(self.frames.flush()).await?;
        self.unflushed.drain(..).for_each(Sending::complete);
        Ok(())
    }
}

async fn in_time(write: impl Future<Output = Result<(), WriteError>>) -> Result<(), SessionEnd> {
    match timeout(IDLE_TIMEOUT, write).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(WriteError)) => Err(SessionEnd::Broken),
        Err(_) => Err(SessionEnd::Idle),
    }
}
