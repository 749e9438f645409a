//! The channels of a session, on which its client uses the agent.
//!
//! The session's reader delivers the client's messages, and answers go to its writer. What waits in between is in memory
//! that the reader has reserved for it, the answer's included; a client that breaks the rules of channels loses its
//! connection.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::agent::number;
use proto::limits::{MAX_BINDS, MAX_CHANNELS};
use proto::{HostMessage, Untrusted};

use super::access::AgentAccess;
use super::agents::{Agent, Listing};
use super::connection::{AgentConnection, AgentReply};
use crate::memory::{MAX_SESSION, Reserved, SessionMemory};
use crate::net::frames::Payload;
use crate::queue::Queue;
use crate::session::outbox::{Outbox, Outgoing};

/// Most messages that a client may send on a channel before it must wait for an answer: all binds and one request.
const MAX_UNANSWERED: usize = MAX_BINDS + 1;
/// Bytes of an open channel: its queue, and the future that serves it.
const CHANNEL_SIZE: usize = 1 << 10;
/// Bytes reserved for the answer to a request, and for working on it, besides the request's own size. A signature by RSA
/// with 16,384 bits has 2 KiB; the reasons of refusals are shorter.
const ANSWER_SIZE: usize = 4 << 10;

/// What the session's reader passes on.
enum ChannelEvent {
    /// A channel with this number was opened.
    Open(u32, Arc<Channel>),
    /// The client asks whether the keys have changed.
    ListAgain,
}

/// One open channel.
struct Channel {
    /// Requests that are not answered, at most [`MAX_UNANSWERED`].
    requests: Queue<AgentRequest>,
    _size: Reserved,
}

/// A request, in the message that it came in.
struct AgentRequest {
    payload: Payload,
    /// Where it begins in the message; it is the last item.
    start: usize,
}

impl AgentRequest {
    fn bytes(&self) -> &[u8] {
        self.payload.bytes.get(self.start..).unwrap_or_default()
    }
}

/// The client broke the rules of channels: its connection must be closed.
pub(crate) struct ChannelViolation;

/// The channels of one connection of a session, between its reader and [`run`].
pub(crate) struct ChannelEvents(Queue<ChannelEvent>);

/// The reader's side of the channels of one connection.
pub(crate) struct Channels<'a> {
    agent: &'a Agent,
    memory: Arc<SessionMemory>,
    /// At most [`MAX_CHANNELS`].
    open: HashMap<u32, Arc<Channel>>,
    next: u32,
    events: Arc<ChannelEvents>,
}

impl<'a> Channels<'a> {
    /// No channels yet, and the events on them, for [`run`].
    pub(crate) fn new(agent: &'a Agent, memory: Arc<SessionMemory>) -> (Self, Arc<ChannelEvents>) {
        let events = Arc::new(ChannelEvents(Queue::default()));
        (Self { agent, memory, open: HashMap::new(), next: 0, events: Arc::clone(&events) }, events)
    }

    /// Delivers a message of the client to the channel `number`, which it opens if that is the next number. The agent's
    /// message is the last `length` bytes of `payload`. Waits for memory for the answer.
    ///
    /// # Errors
    /// [`ChannelViolation`].
    pub(crate) async fn deliver(
        &mut self,
        number: u32,
        mut payload: Payload,
        length: usize,
    ) -> Result<(), ChannelViolation> {
        if number == self.next {
            self.open().await?;
        }
        let channel = self.open.get(&number).ok_or(ChannelViolation)?;
        if channel.requests.len() >= MAX_UNANSWERED {
            return Err(ChannelViolation);
        }
        let start = payload.bytes.len().saturating_sub(length);
        let is_list = payload.bytes.get(start..) == Some(&[number::REQUEST_IDENTITIES]);
        payload.reserved.join(self.memory.reserve(self.size_of_answer(length, is_list)).await);
        channel.requests.push(AgentRequest { payload, start });
        Ok(())
    }

    /// What answering takes at most.
    fn size_of_answer(&self, length: usize, is_list: bool) -> usize {
        let keys = if is_list { self.agent.last_listing().identities_message.len() } else { 0 };
        // A list is read from the agent, decoded, and encoded again. A request is parsed, and written anew for the agent.
        (3 * keys + 2 * length + ANSWER_SIZE).min(MAX_SESSION / 2)
    }

    async fn open(&mut self) -> Result<(), ChannelViolation> {
        if self.open.len() == MAX_CHANNELS {
            return Err(ChannelViolation);
        }
        let size = self.memory.reserve(CHANNEL_SIZE).await.keep();
        let channel = Arc::new(Channel { requests: Queue::default(), _size: size });
        self.event(ChannelEvent::Open(self.next, Arc::clone(&channel))).await;
        self.open.insert(self.next, channel);
        self.next = self.next.checked_add(1).ok_or(ChannelViolation)?;
        Ok(())
    }

    /// Closes a channel. What its client still waits for is cancelled.
    ///
    /// # Errors
    /// [`ChannelViolation`].
    pub(crate) fn close(&mut self, number: u32) -> Result<(), ChannelViolation> {
        let channel = self.open.remove(&number).ok_or(ChannelViolation)?;
        channel.requests.close();
        Ok(())
    }

    /// Has the agent listed again, and the client told if its keys have changed.
    pub(crate) async fn list_again(&self) {
        self.event(ChannelEvent::ListAgain).await;
    }

    /// Passes `event` on. Waits while [`MAX_CHANNELS`] events wait already: the agent may take long for its first answer.
    async fn event(&self, event: ChannelEvent) {
        self.events.0.shorter_than(MAX_CHANNELS).await;
        self.events.0.push(event);
    }
}

/// Sends the client what it needs to use the agent, then answers on its channels. Returns when the client breaks their
/// rules.
pub(crate) async fn run(
    access: AgentAccess<'_>,
    events: &ChannelEvents,
    outbox: &Outbox,
    memory: &Arc<SessionMemory>,
) {
    let agent = access.agent;
    let mut listing = agent.list().await;
    outbox.push(Outgoing::Shared(Arc::clone(&listing.agent_message)));
    send_identities(&access, &listing, outbox);
    let mut channels = FuturesUnordered::new();
    let mut listings = FuturesUnordered::new();
    loop {
        tokio::select! {
            event = events.0.next() => match event {
                Some(ChannelEvent::Open(number, channel)) => {
                    channels.push(serve_channel(access, number, channel, outbox, memory));
                }
                // One listing answers all requests for one that come meanwhile.
                Some(ChannelEvent::ListAgain) if listings.is_empty() => listings.push(agent.list()),
                Some(ChannelEvent::ListAgain) => {}
                None => return,
            },
            Some(relisted) = listings.next(), if !listings.is_empty() => {
                if !Arc::ptr_eq(&relisted, &listing) {
                    listing = relisted;
                    send_identities(&access, &listing, outbox);
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

/// Records how many keys the client is shown, and queues the message.
fn send_identities(access: &AgentAccess<'_>, listing: &Listing, outbox: &Outbox) {
    access.record_listing(listing.identities.len());
    outbox.push(Outgoing::Shared(Arc::clone(&listing.identities_message)));
}

/// Serves one channel until its client closes it, which also cancels a question to a person that is open.
async fn serve_channel(
    access: AgentAccess<'_>,
    number: u32,
    channel: Arc<Channel>,
    outbox: &Outbox,
    memory: &Arc<SessionMemory>,
) -> Result<(), ChannelViolation> {
    let mut connection = AgentConnection::new(access);
    // For the binds that the connection keeps.
    let mut kept: Option<Reserved> = None;
    while let Some(request) = channel.requests.next().await {
        // Boxed, so that a channel without a request is small.
        let reply = tokio::select! {
            biased;
            reply = Box::pin(connection.reply(request.bytes())) => reply,
            // Closed, or a second message before the answer to the first.
            early = channel.requests.next() => return early.map_or(Ok(()), |_| Err(ChannelViolation)),
        };
        let mut reserved = request.payload.reserved;
        drop(request.payload.bytes);
        // A client takes every bind for accepted. If it is not, the answer to a sign request says so.
        if reply.to_bind {
            let size = connection.size_of_binds();
            if kept.as_ref().map_or(0, Reserved::bytes) < size {
                // The old reservation is of no use any more, and the new one must not wait for it.
                drop(kept.take());
                drop(reserved);
                kept = Some(memory.reserve(size).await.keep());
            }
            continue;
        }
        let AgentReply { message, refusal, .. } = reply;
        let refusal = Untrusted::new(refusal.unwrap_or_default());
        let answer = HostMessage::Answer { channel: number, answer: message.into(), refusal }.encode();
        if answer.len() > reserved.bytes() {
            // The keys have changed since the request was read, or a signature is of an unknown kind.
            drop(reserved);
            reserved = memory.reserve(answer.len()).await;
        }
        reserved.shrink_to(answer.len());
        outbox.push(Outgoing::Answer(answer, reserved));
    }
    Ok(())
}
