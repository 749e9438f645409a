//! Multiplexes the clients of the agent socket over the session's one connection: each client has a channel. When the
//! connection breaks, the bridge is redialled. A request is never sent twice: if its connection breaks, its client gets a
//! failure.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use proto::agent::Identity;
use proto::{ClientMessage, Hello, HostMessage};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{Instrument as _, debug, debug_span, warn};

use crate::connect::connection::{BridgeConnection, decode};
use crate::connect::dial::Dialer;
use crate::connect::error::{ConnectError, SessionError};
use crate::connect::retry::{Backoff, FIRST_REDIAL, LAST_REDIAL, LASTING, SESSION_GRACE};

/// Most requests that wait to be queued on the connection; further clients wait in turn. Each client of the socket waits for
/// the answer to its request, so that at most [`MAX_CHANNELS`](proto::limits::MAX_CHANNELS) requests are here, on the
/// connection, or with an answer on its way back: 16 MiB each.
const QUEUE: usize = 64;
/// How long a message that is not urgent may wait for an urgent one to share its packet.
const FLUSH_DELAY: Duration = Duration::from_millis(200);

/// The keys that the agent offers, as the host last listed them.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Whether the list is the same for every server.
    pub(crate) fixed: bool,
    pub(crate) identities: Vec<Identity>,
}

/// Number of a client of the agent socket, in order of acceptance.
pub(crate) type ClientId = u64;

/// A client's command to the multiplexer.
pub(crate) enum Command {
    /// Names the server that the client talks to. It is sent together with the client's next request.
    Bind { id: ClientId, message: Vec<u8> },
    /// Asks the agent. `reply` is dropped if there will be no answer.
    Ask { id: ClientId, message: Vec<u8>, reply: oneshot::Sender<Vec<u8>> },
    /// The client has hung up.
    Close { id: ClientId },
    /// Asks the host for a fresh list of keys.
    ListAgain,
}

#[derive(Default)]
struct ClientState {
    binds: Vec<Vec<u8>>,
    /// How many of `binds` were sent on the present connection.
    binds_sent: usize,
    /// The client's channel on the present connection.
    channel: Option<u32>,
    reply: Option<oneshot::Sender<Vec<u8>>>,
}

pub(crate) struct Multiplexer<'a> {
    dialer: &'a Dialer,
    /// The hello that continues the session.
    hello: Hello,
    listing: Rc<RefCell<Listing>>,
    commands: mpsc::Receiver<Command>,
    clients: HashMap<ClientId, ClientState>,
    channels: HashMap<u32, ClientId>,
    next_channel: u32,
    /// When messages that are not urgent have to be sent.
    flush_at: Option<Instant>,
    backoff: Backoff,
}

/// Why a connection is no longer used.
enum Disconnect {
    /// The socket is closed and all its clients have ended.
    Finished,
    /// The connection broke, or the bridge violated the protocol.
    Broken(ConnectError),
}

impl From<SessionError> for Disconnect {
    fn from(error: SessionError) -> Self {
        Self::Broken(error.into())
    }
}

impl<'a> Multiplexer<'a> {
    /// A multiplexer for the session of `hello` that keeps `listing` up to date, and the queue for its clients' commands.
    pub(crate) fn new(
        dialer: &'a Dialer,
        hello: Hello,
        listing: Rc<RefCell<Listing>>,
    ) -> (Self, mpsc::Sender<Command>) {
        let (sender, commands) = mpsc::channel(QUEUE);
        let multiplexer = Self {
            dialer,
            hello,
            listing,
            commands,
            clients: HashMap::new(),
            channels: HashMap::new(),
            next_channel: 0,
            flush_at: None,
            backoff: Backoff::new(FIRST_REDIAL, LAST_REDIAL),
        };
        (multiplexer, sender)
    }

    /// Carries requests and answers over `connection`, and over those that replace it, until the queue is closed. Returns
    /// the connection, if there is one then, to be closed properly.
    pub(crate) async fn run(self, connection: BridgeConnection) -> Option<BridgeConnection> {
        // At the level of `-v`, which shows the session's id in front of each message.
        let span = debug_span!("session", session = %self.hello.session);
        self.run_session(connection).instrument(span).await
    }

    async fn run_session(mut self, mut connection: BridgeConnection) -> Option<BridgeConnection> {
        loop {
            let began = Instant::now();
            match self.use_connection(&mut connection).await {
                Disconnect::Finished => return Some(connection),
                Disconnect::Broken(error) => {
                    warn!("the connection to the bridge broke ({error}); dialling again");
                    if began.elapsed() > LASTING {
                        self.backoff = Backoff::new(FIRST_REDIAL, LAST_REDIAL);
                    }
                    connection = self.redial().await?;
                }
            }
        }
    }

    async fn use_connection(&mut self, connection: &mut BridgeConnection) -> Disconnect {
        loop {
            let flush_at = self.flush_at;
            let step = tokio::select! {
                biased;
                payload = connection.next() => match payload {
                    Ok(payload) => self.receive(&payload),
                    Err(error) => Err(error.into()),
                },
                // While the bridge does not read, clients wait; this side reads on.
                command = self.commands.recv(), if connection.has_room() => match command {
                    Some(command) => {
                        self.send(connection, command);
                        Ok(())
                    }
                    None => Err(Disconnect::Finished),
                },
                () = sleep_until(flush_at.unwrap_or_else(Instant::now)), if flush_at.is_some() => {
                    self.flush_at = None;
                    connection.flush();
                    Ok(())
                }
            };
            if let Err(lost) = step {
                return lost;
            }
        }
    }

    /// Queues `command` on `connection`, and those that are behind it. The end of a client is not worth a packet of its own: it would
    /// wake the bridge at the moment when the next ssh process needs the processor.
    fn send(&mut self, connection: &mut BridgeConnection, command: Command) {
        let mut is_urgent = false;
        let mut next = Some(command);
        while let Some(command) = next {
            match command {
                Command::Bind { id, message } => self.clients.entry(id).or_default().binds.push(message),
                Command::Ask { id, message, reply } => {
                    let client = self.clients.entry(id).or_default();
                    let channel = *client.channel.get_or_insert_with(|| {
                        self.channels.insert(self.next_channel, id);
                        self.next_channel += 1;
                        self.next_channel - 1
                    });
                    for bind in client.binds.iter().skip(client.binds_sent) {
                        connection.queue(&ClientMessage::Agent { channel, message: bind });
                    }
                    client.binds_sent = client.binds.len();
                    client.reply = Some(reply);
                    is_urgent = true;
                    connection.queue(&ClientMessage::Agent { channel, message: &message });
                }
                Command::Close { id } => {
                    let client = self.clients.remove(&id).unwrap_or_default();
                    if let Some(channel) = client.channel {
                        // The host may be asking a person on its behalf, and withdraws the question.
                        is_urgent |= client.reply.is_some();
                        self.channels.remove(&channel);
                        self.flush_at.get_or_insert_with(|| Instant::now() + FLUSH_DELAY);
                        connection.queue(&ClientMessage::Close { channel });
                    }
                }
                Command::ListAgain => {
                    self.flush_at.get_or_insert_with(|| Instant::now() + FLUSH_DELAY);
                    connection.queue(&ClientMessage::ListAgain);
                }
            }
            next = if connection.has_room() { self.commands.try_recv().ok() } else { None };
        }
        if is_urgent {
            self.flush_at = None;
            connection.flush();
        }
    }

    fn receive(&mut self, payload: &[u8]) -> Result<(), Disconnect> {
        let protocol = |what| Err(SessionError::Protocol(what).into());
        match decode(payload)? {
            HostMessage::Answer { channel, answer, refusal } => {
                if !refusal.is_empty() {
                    warn!("refused: {refusal}");
                }
                let Some(client) = self.channels.get(&channel).and_then(|id| self.clients.get_mut(id)) else {
                    // The client of a channel that was used has hung up meanwhile.
                    return if channel < self.next_channel {
                        Ok(())
                    } else {
                        protocol("an answer on an unknown channel")
                    };
                };
                match client.reply.take() {
                    // The client may have hung up.
                    Some(reply) => {
                        let _ = reply.send(answer.into_owned());
                        Ok(())
                    }
                    None => protocol("an agent's answer without a request"),
                }
            }
            HostMessage::Identities { fixed, identities } => {
                *self.listing.borrow_mut() = Listing { fixed, identities };
                Ok(())
            }
            // Repeated after a redial; the first one counts.
            HostMessage::Agent { .. } => Ok(()),
            HostMessage::Origins { .. } if self.hello.http => Ok(()),
            HostMessage::Welcome { .. }
            | HostMessage::Waiting
            | HostMessage::Origins { .. }
            | HostMessage::Length { .. }
            | HostMessage::Chunk { .. }
            | HostMessage::Refused { .. }
            | HostMessage::Offers { .. }
            | HostMessage::Ending => protocol("an answer to a question that was not asked"),
        }
    }

    /// Redials until the session is resumed, or can no longer be. In that case requests fail until the queue is closed.
    async fn redial(&mut self) -> Option<BridgeConnection> {
        for client in self.clients.values_mut() {
            // Dropping `reply` tells a waiting client that there is no answer.
            *client = ClientState { binds: std::mem::take(&mut client.binds), ..ClientState::default() };
        }
        self.channels.clear();
        self.next_channel = 0;
        self.flush_at = None;
        let broken_at = Instant::now();
        // Requests made while there is no connection. They are sent on the next one, or fail if an attempt to redial does.
        let mut held = Vec::new();
        loop {
            let at = Instant::now() + self.backoff.next();
            while held.is_empty() {
                tokio::select! {
                    () = sleep_until(at) => break,
                    command = self.commands.recv() => self.hold(command?, &mut held),
                }
            }
            match self.dialer.resume(&self.hello).await {
                Ok(mut connection) => {
                    debug!("session resumed");
                    for command in held {
                        self.send(&mut connection, command);
                    }
                    return Some(connection);
                }
                Err(error) if error.is_final() || broken_at.elapsed() > SESSION_GRACE => {
                    warn!("the bridge can no longer be reached: requests to the SSH agent fail from now on");
                    debug!("{error}");
                    break;
                }
                Err(error) => debug!("cannot reconnect yet: {error}"),
            }
            held.clear();
        }
        drop(held);
        while self.commands.recv().await.is_some() {}
        None
    }

    fn hold(&mut self, command: Command, held: &mut Vec<Command>) {
        match command {
            Command::Bind { id, message } => self.clients.entry(id).or_default().binds.push(message),
            ask @ Command::Ask { .. } => held.push(ask),
            Command::Close { id } => drop(self.clients.remove(&id)),
            Command::ListAgain => {}
        }
    }
}
