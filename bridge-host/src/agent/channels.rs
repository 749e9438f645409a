//! The agent in one session: its keys, and the channels on which a client asks it.
//!
//! The session's reader hands over what the client says; what is to be said goes to its writer. Both queues are short,
//! and a client that does not keep to the rules finds its connection closed.

use std::collections::HashMap;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use proto::agent::MAX_BINDS;
use proto::limits::MAX_CHANNELS;
use proto::{HostMessage, Untrusted};
use tokio::sync::mpsc;

use super::connection::{AgentConnection, Asking};
use super::upstream::Listed;

/// Messages that a channel's client can have sent before it must wait for an answer.
const AHEAD: usize = MAX_BINDS + 1;

/// What the session's reader has for the agent.
pub(crate) enum Event {
    /// A channel was opened; its messages arrive there.
    Open(u32, mpsc::Receiver<Vec<u8>>),
    /// The client wants to know of new keys.
    ListAgain,
}

/// The client broke the rules of channels.
pub(crate) struct OutOfOrder;

/// The channels of one connection, as its reader knows them.
pub(crate) struct Channels {
    open: HashMap<u32, mpsc::Sender<Vec<u8>>>,
    next: u32,
    events: mpsc::Sender<Event>,
}

impl Channels {
    /// None yet. What happens is told to whoever has the receiver.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Event>) {
        let (events, receiver) = mpsc::channel(MAX_CHANNELS);
        (Self { open: HashMap::new(), next: 0, events }, receiver)
    }

    /// Takes a message of the client's.
    ///
    /// # Errors
    /// [`OutOfOrder`].
    pub(crate) async fn deliver(&mut self, number: u32, message: &[u8]) -> Result<(), OutOfOrder> {
        if number == self.next {
            if self.open.len() == MAX_CHANNELS {
                return Err(OutOfOrder);
            }
            let (sender, receiver) = mpsc::channel(AHEAD);
            self.events.send(Event::Open(number, receiver)).await.map_err(|_| OutOfOrder)?;
            self.open.insert(number, sender);
            self.next = number.checked_add(1).ok_or(OutOfOrder)?;
        }
        let channel = self.open.get(&number).ok_or(OutOfOrder)?;
        channel.try_send(message.to_vec()).map_err(|_| OutOfOrder)
    }

    /// The client waits for nothing on this channel any more.
    ///
    /// # Errors
    /// [`OutOfOrder`].
    pub(crate) fn close(&mut self, number: u32) -> Result<(), OutOfOrder> {
        self.open.remove(&number).map(drop).ok_or(OutOfOrder)
    }

    /// The client wants to know of new keys.
    ///
    /// # Errors
    /// [`OutOfOrder`].
    pub(crate) async fn list_again(&self) -> Result<(), OutOfOrder> {
        self.events.send(Event::ListAgain).await.map_err(|_| OutOfOrder)
    }
}

/// Says what comes with the agent, then answers what is asked on its channels. Returns when the client broke their rules.
pub(crate) async fn run(
    asking: Asking<'_>,
    mut events: mpsc::Receiver<Event>,
    say: mpsc::Sender<HostMessage<'static>>,
) {
    let agent = asking.agent;
    let mut listed = agent.list().await;
    let git_keys = agent.git_keys(&listed.identities);
    for message in
        [HostMessage::Agent { known_hosts: agent.known_hosts(), git_keys }, announce(&asking, &listed)]
    {
        if say.send(message).await.is_err() {
            return;
        }
    }
    let mut channels = FuturesUnordered::new();
    let mut listing = FuturesUnordered::new();
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(Event::Open(number, messages)) => {
                    channels.push(answer_all(asking, number, messages, say.clone()));
                }
                // One look at a time is enough for all who ask.
                Some(Event::ListAgain) if listing.is_empty() => listing.push(agent.list()),
                Some(Event::ListAgain) => {}
                None => return,
            },
            Some(now) = listing.next(), if !listing.is_empty() => {
                if now != listed {
                    listed = now;
                    if say.send(announce(&asking, &listed)).await.is_err() {
                        return;
                    }
                }
            }
            Some(ended) = channels.next(), if !channels.is_empty() => {
                if let Err(OutOfOrder) = ended {
                    return;
                }
            }
        }
    }
}

/// Writes down which keys a client is shown, and says it.
fn announce(asking: &Asking<'_>, listed: &Listed) -> HostMessage<'static> {
    asking.note_listing(listed.identities.len());
    HostMessage::Identities { fixed: listed.fixed, identities: listed.identities.clone() }
}

/// One channel, until its client closes it. What it still waits for then is given up, a question to a person included.
async fn answer_all(
    asking: Asking<'_>,
    channel: u32,
    mut messages: mpsc::Receiver<Vec<u8>>,
    say: mpsc::Sender<HostMessage<'static>>,
) -> Result<(), OutOfOrder> {
    let mut connection = AgentConnection::new(asking);
    while let Some(message) = messages.recv().await {
        let answered = tokio::select! {
            biased;
            answered = connection.answer(&message) => answered,
            // Closed, or a message too early.
            early = messages.recv() => return early.map_or(Ok(()), |_| Err(OutOfOrder)),
        };
        // A client takes a bind for accepted, and learns of the contrary when it wants a signature.
        if answered.was_bind {
            continue;
        }
        let refusal = Untrusted::new(answered.refusal.unwrap_or_default());
        let answer = HostMessage::Answer { channel, answer: answered.bytes.into(), refusal };
        if say.send(answer).await.is_err() {
            break;
        }
    }
    Ok(())
}
