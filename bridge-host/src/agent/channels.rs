//! The channels of a session, on which its client uses the agent.
//!
//! The session's reader delivers the client's messages, and answers go to its writer. Both queues are short; a client
//! that breaks the rules of channels loses its connection.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::limits::MAX_BINDS;
use proto::limits::MAX_CHANNELS;
use proto::{HostMessage, Untrusted};
use tokio::sync::mpsc;

use super::access::AgentAccess;
use super::connection::AgentConnection;
use super::upstream::Listed;

/// Most messages that a client may send on a channel before it must wait for an answer: all binds and one request.
const MAX_UNANSWERED: usize = MAX_BINDS + 1;

/// What the session's reader passes on.
pub(crate) enum ChannelEvent {
    /// A channel with this number was opened; its messages come from the receiver.
    Open(u32, mpsc::Receiver<Vec<u8>>),
    /// The client asks whether the keys have changed.
    ListAgain,
}

/// The client broke the rules of channels: its connection must be closed.
pub(crate) struct ChannelViolation;

/// The reader's side of the channels of one connection.
pub(crate) struct Channels {
    open: HashMap<u32, mpsc::Sender<Vec<u8>>>,
    next: u32,
    events: mpsc::Sender<ChannelEvent>,
}

impl Channels {
    /// No channels yet, and the receiver of what happens on them, for [`run`].
    pub(crate) fn new() -> (Self, mpsc::Receiver<ChannelEvent>) {
        let (events, receiver) = mpsc::channel(MAX_CHANNELS);
        (Self { open: HashMap::new(), next: 0, events }, receiver)
    }

    /// Delivers a message of the client, which opens a channel if it has the next number.
    ///
    /// # Errors
    /// [`ChannelViolation`].
    pub(crate) async fn deliver(&mut self, number: u32, message: &[u8]) -> Result<(), ChannelViolation> {
        if number == self.next {
            if self.open.len() == MAX_CHANNELS {
                return Err(ChannelViolation);
            }
            let (sender, receiver) = mpsc::channel(MAX_UNANSWERED);
            self.events.send(ChannelEvent::Open(number, receiver)).await.map_err(|_| ChannelViolation)?;
            self.open.insert(number, sender);
            self.next = number.checked_add(1).ok_or(ChannelViolation)?;
        }
        let channel = self.open.get(&number).ok_or(ChannelViolation)?;
        channel.try_send(message.to_vec()).map_err(|_| ChannelViolation)
    }

    /// Closes a channel. What its client still waits for is cancelled.
    ///
    /// # Errors
    /// [`ChannelViolation`].
    pub(crate) fn close(&mut self, number: u32) -> Result<(), ChannelViolation> {
        self.open.remove(&number).map(drop).ok_or(ChannelViolation)
    }

    /// Has the agent listed again, and the client told if its keys have changed.
    ///
    /// # Errors
    /// [`ChannelViolation`].
    pub(crate) async fn list_again(&self) -> Result<(), ChannelViolation> {
        self.events.send(ChannelEvent::ListAgain).await.map_err(|_| ChannelViolation)
    }
}

/// Sends the client what it needs to use the agent, then answers on its channels. Returns when the client breaks their
/// rules.
pub(crate) async fn run(
    access: AgentAccess<'_>,
    mut events: mpsc::Receiver<ChannelEvent>,
    outgoing: mpsc::Sender<HostMessage<'static>>,
) {
    let agent = access.agent;
    let mut listed = agent.list().await;
    let git_keys = agent.git_keys(&listed.identities);
    for message in [
        HostMessage::Agent { known_hosts: agent.known_hosts(), git_keys },
        identities_message(&access, &listed),
    ] {
        if outgoing.send(message).await.is_err() {
            return;
        }
    }
    let mut channels = FuturesUnordered::new();
    let mut listing = FuturesUnordered::new();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(ChannelEvent::Open(number, messages)) => {
                    channels.push(serve_channel(access, number, messages, outgoing.clone()));
                }
                // One listing answers all requests for one that come meanwhile.
                Some(ChannelEvent::ListAgain) if listing.is_empty() => listing.push(agent.list()),
                Some(ChannelEvent::ListAgain) => {}
                None => return,
            },
            Some(relisted) = listing.next(), if !listing.is_empty() => {
                if relisted != listed {
                    listed = relisted;
                    if outgoing.send(identities_message(&access, &listed)).await.is_err() {
                        return;
                    }
                }
            }
            Some(ended) = channels.next(), if !channels.is_empty() => {
                if let Err(ChannelViolation) = ended {
                    return;
                }
            }
        }
    }
}

/// Records how many keys the client is shown, and makes the message.
fn identities_message(access: &AgentAccess<'_>, listed: &Listed) -> HostMessage<'static> {
    access.record_listing(listed.identities.len());
    HostMessage::Identities { fixed: listed.fixed, identities: listed.identities.clone() }
}

/// Serves one channel until its client closes it, which also cancels a question to a person that is open.
async fn serve_channel(
    access: AgentAccess<'_>,
    channel: u32,
    mut messages: mpsc::Receiver<Vec<u8>>,
    outgoing: mpsc::Sender<HostMessage<'static>>,
) -> Result<(), ChannelViolation> {
    let mut connection = AgentConnection::new(access);
    while let Some(message) = messages.recv().await {
        let reply = tokio::select! {
            biased;
            reply = connection.reply(&message) => reply,
            // Closed, or a second message before the answer to the first.
            early = messages.recv() => return early.map_or(Ok(()), |_| Err(ChannelViolation)),
        };
        // A client takes every bind for accepted. If it is not, the answer to a sign request says so.
        if reply.to_bind {
            continue;
        }
        let refusal = Untrusted::new(reply.refusal.unwrap_or_default());
        let answer = HostMessage::Answer { channel, answer: reply.message.into(), refusal };
        if outgoing.send(answer).await.is_err() {
            break;
        }
    }
    Ok(())
}
