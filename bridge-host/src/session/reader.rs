//! Decodes what the client sends, and passes it on: requests for secrets to the writer, agent messages to the agent.

use std::io::Cursor;
use std::sync::Arc;

use proto::limits::{MAX_AGENT_MESSAGES, MAX_REQUESTS};
use proto::{ClientMessage, Key, WireError};
use tokio::io::{Chain, ReadHalf};
use tokio::task::yield_now;
use tokio::time::timeout;

use super::outbox::{Outbox, Outgoing};
use super::wanted::WantedKeys;
use super::{IDLE_TIMEOUT, SessionEnd};
use crate::agent::channels::{ChannelViolation, Channels};
use crate::memory::SessionMemory;
use crate::net::frames::{FrameReader, Incoming, Payload, ReadError};
use crate::net::upgrade::Upgraded;
use crate::queue::Queue;

/// After so many frames the other sessions have a turn: one read from the socket may hold hundreds.
const FRAMES: u32 = 64;
/// And after every message of this size, in bytes: it takes as long as many small ones.
const LARGE: usize = 4 << 10;

/// What was read of a connection already, and the connection.
type Stream = Chain<Cursor<Vec<u8>>, ReadHalf<Upgraded>>;

pub(super) struct Reader<'a> {
    frames: FrameReader<Stream>,
    requests: &'a Queue<WantedKeys>,
    outbox: &'a Outbox,
    /// The number of the next request for a secret.
    next_request: u32,
    /// Where agent messages go, if the hello named an agent.
    channels: Option<Channels<'a>>,
    /// Agent messages so far.
    agent_messages: u32,
}

/// What a message of the client asks for, apart from its payload.
enum Request {
    Get(Vec<Key>),
    /// For this channel; the message of the agent protocol is the end of the payload, of this length.
    Agent(u32, usize),
    Close(u32),
    ListAgain,
}

impl<'a> Reader<'a> {
    /// A reader that numbers requests from `next_request` on.
    pub(super) fn new(
        stream: Stream,
        memory: Arc<SessionMemory>,
        requests: &'a Queue<WantedKeys>,
        outbox: &'a Outbox,
        next_request: u32,
        channels: Option<Channels<'a>>,
    ) -> Self {
        let frames = FrameReader::new(stream, memory);
        Self { frames, requests, outbox, next_request, channels, agent_messages: 0 }
    }

    /// Reads until the connection ends. While something waits for the writer, nothing is read.
    pub(super) async fn run(mut self) -> SessionEnd {
        let mut frames = 0u32;
        loop {
            frames = frames.wrapping_add(1);
            if frames.is_multiple_of(FRAMES) {
                yield_now().await;
            }
            self.requests.empty().await;
            self.outbox.empty().await;
            let incoming = match timeout(IDLE_TIMEOUT, self.frames.next()).await {
                Err(_) => return SessionEnd::Idle,
                Ok(Err(ReadError::Broken)) => return SessionEnd::Broken,
                Ok(Err(ReadError::Protocol)) => return SessionEnd::ProtocolError,
                Ok(Ok(incoming)) => incoming,
            };
            let handled = match incoming {
                Incoming::Message(payload) => {
                    let is_large = payload.bytes.len() >= LARGE;
                    let handled = self.handle(payload).await;
                    if is_large {
                        yield_now().await;
                    }
                    handled
                }
                Incoming::Ping(payload) => {
                    self.outbox.push(Outgoing::Pong(payload));
                    Ok(())
                }
                Incoming::Pong => Ok(()),
                Incoming::Close => Err(SessionEnd::Closed),
            };
            if let Err(end) = handled {
                return end;
            }
        }
    }

    async fn handle(&mut self, payload: Payload) -> Result<(), SessionEnd> {
        let out_of_order = |ChannelViolation| SessionEnd::ProtocolError;
        match (self.decode(&payload.bytes)?, &mut self.channels) {
            (Request::Get(keys), _) => {
                let first = self.next_request;
                self.next_request += keys.len() as u32; // `decode` has checked the sum
                self.requests.push(WantedKeys::pack(first, &keys, payload.reserved));
                Ok(())
            }
            (Request::Agent(channel, length), Some(channels)) => {
                self.agent_messages += 1;
                if self.agent_messages > MAX_AGENT_MESSAGES {
                    return Err(SessionEnd::TooManyRequests);
                }
                channels.deliver(channel, payload, length).await.map_err(out_of_order)
            }
            (Request::Close(channel), Some(channels)) => channels.close(channel).map_err(out_of_order),
            (Request::ListAgain, Some(channels)) => {
                drop(payload);
                channels.list_again().await;
                Ok(())
            }
            (Request::Agent(..) | Request::Close(_) | Request::ListAgain, None) => {
                Err(SessionEnd::ProtocolError)
            }
        }
    }

    fn decode(&self, payload: &[u8]) -> Result<Request, SessionEnd> {
        let message = ClientMessage::decode(payload).map_err(|error| match error {
            WireError::OverLimit { what: "requests", .. } => SessionEnd::TooManyRequests,
            WireError::OverLimit { .. } | WireError::NotCanonical(_) | WireError::Alphabet(_) => {
                SessionEnd::ProtocolError
            }
        })?;
        match message {
            ClientMessage::Get { first, .. } if first != self.next_request => Err(SessionEnd::ProtocolError),
            ClientMessage::Get { first, keys }
                if u64::from(first) + keys.len() as u64 > MAX_REQUESTS.into() =>
            {
                Err(SessionEnd::TooManyRequests)
            }
            ClientMessage::Get { keys, .. } => Ok(Request::Get(keys)),
            ClientMessage::Agent { channel, message } => Ok(Request::Agent(channel, message.len())),
            ClientMessage::Close { channel } => Ok(Request::Close(channel)),
            ClientMessage::ListAgain => Ok(Request::ListAgain),
        }
    }
}
