//! Decodes what the client sends, and passes it on: requests for secrets to the writer, agent messages to the agent.

use futures_util::StreamExt as _;
use futures_util::stream::SplitStream;
use proto::limits::{MAX_AGENT_MESSAGES, MAX_REQUESTS};
use proto::{ClientMessage, WireError};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::{IDLE_TIMEOUT, Request, SessionEnd};
use crate::agent::channels::{ChannelViolation, Channels};
use crate::net::upgrade::WebSocket;

pub(super) struct Reader {
    stream: SplitStream<WebSocket>,
    requests: mpsc::Sender<Request>,
    /// The number of the next request for a secret.
    next_request: u32,
    /// Where agent messages go, if the hello named an agent.
    channels: Option<Channels>,
    /// Agent messages so far.
    agent_messages: u32,
}

impl Reader {
    /// A reader that numbers requests from `next_request` on.
    pub(super) fn new(
        stream: SplitStream<WebSocket>,
        requests: mpsc::Sender<Request>,
        next_request: u32,
        channels: Option<Channels>,
    ) -> Self {
        Self { stream, requests, next_request, channels, agent_messages: 0 }
    }

    /// Reads until the connection ends. While the writer's queue is full, nothing is read.
    pub(super) async fn run(mut self) -> SessionEnd {
        loop {
            let message = match timeout(IDLE_TIMEOUT, self.stream.next()).await {
                Err(_) => return SessionEnd::Idle,
                Ok(None) => return SessionEnd::Broken,
                Ok(Some(Err(error))) => return end_of(&error),
                Ok(Some(Ok(message))) => message,
            };
            let handled = match message {
                Message::Binary(payload) => self.handle(&payload).await,
                // tungstenite answers pings itself, with the next write.
                Message::Ping(_) | Message::Pong(_) => Ok(()),
                Message::Close(_) => Err(SessionEnd::Closed),
                Message::Text(_) | Message::Frame(_) => Err(SessionEnd::ProtocolError),
            };
            if let Err(end) = handled {
                return end;
            }
        }
    }

    async fn handle(&mut self, payload: &[u8]) -> Result<(), SessionEnd> {
        let message = ClientMessage::decode(payload).map_err(|error| match error {
            WireError::OverLimit { what: "requests", .. } => SessionEnd::TooManyRequests,
            WireError::OverLimit { .. } | WireError::NotCanonical(_) | WireError::Alphabet(_) => {
                SessionEnd::ProtocolError
            }
        })?;
        let out_of_order = |ChannelViolation| SessionEnd::ProtocolError;
        match (message, &mut self.channels) {
            (ClientMessage::Get { first, keys }, _) if first == self.next_request => {
                for key in keys {
                    if self.next_request >= MAX_REQUESTS {
                        return Err(SessionEnd::TooManyRequests);
                    }
                    self.requests.send((self.next_request, key)).await.map_err(|_| SessionEnd::Broken)?;
                    self.next_request += 1;
                }
                Ok(())
            }
            (ClientMessage::Agent { channel, message }, Some(channels)) => {
                self.agent_messages += 1;
                if self.agent_messages > MAX_AGENT_MESSAGES {
                    return Err(SessionEnd::TooManyRequests);
                }
                channels.deliver(channel, message).await.map_err(out_of_order)
            }
            (ClientMessage::Close { channel }, Some(channels)) => {
                channels.close(channel).map_err(out_of_order)
            }
            (ClientMessage::ListAgain, Some(channels)) => channels.list_again().await.map_err(out_of_order),
            (ClientMessage::Get { .. }, _)
            | (ClientMessage::Agent { .. } | ClientMessage::Close { .. } | ClientMessage::ListAgain, None) => {
                Err(SessionEnd::ProtocolError)
            }
        }
    }
}

/// Whether the connection broke, or the peer violated the websocket protocol.
// tungstenite's other errors are all about what the peer sent.
#[allow(clippy::wildcard_enum_match_arm)]
fn end_of(error: &WsError) -> SessionEnd {
    match error {
        WsError::Io(_)
        | WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => SessionEnd::Broken,
        _ => SessionEnd::ProtocolError,
    }
}
