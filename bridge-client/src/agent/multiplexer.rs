//! The session while COMMAND runs: requests go out on channels, answers come in, and when the connection breaks it is
//! dialled again. A request is never sent twice: whoever waited for its answer is told that there is none.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use proto::agent::{AgentId, Identity};
use proto::{ClientMessage, Hello, HostMessage, Purpose, SessionId, Untrusted};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

use crate::connect::connection::{Connection, decode};
use crate::connect::dial::Dialer;
use crate::connect::error::{ConnectError, SessionError};

/// Requests that wait for the connection to take them; who has more to ask waits.
const QUEUE: usize = 64;
/// Wait before the first redial; doubled for each further one.
const BACK_OFF: Duration = Duration::from_millis(100);
/// The longest wait between two redials.
const MAX_BACK_OFF: Duration = Duration::from_secs(5);
/// How long the end of a conversation may wait for something more urgent to travel with.
const LINGER: Duration = Duration::from_millis(200);
/// The bridge forgets a session whose connection broke this long ago.
const GRACE: Duration = Duration::from_secs(60);

/// The keys that the agent offers, as far as is known here.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// Whether every server may be offered all of them.
    pub(crate) fixed: bool,
    /// The keys.
    pub(crate) identities: Vec<Identity>,
}

/// Which conversation something is about.
pub(crate) type Slot = u64;

/// What a conversation wants of the link.
pub(crate) enum Command {
    /// Says to which server the client talks; travels with the next request.
    Bind { slot: Slot, message: Vec<u8> },
    /// Wants the agent's answer. The sender is dropped if there will be none.
    Ask { slot: Slot, message: Vec<u8>, reply: oneshot::Sender<Vec<u8>> },
    /// Has ended.
    Close { slot: Slot },
    /// Wants to know of new keys.
    ListAgain,
}

/// One conversation, as the link knows it.
#[derive(Default)]
struct Talk {
    binds: Vec<Vec<u8>>,
    /// How many binds this connection's host has.
    told: usize,
    /// Its channel on this connection.
    channel: Option<u32>,
    reply: Option<oneshot::Sender<Vec<u8>>>,
}

/// The session.
pub(crate) struct Link<'a> {
    dialer: &'a Dialer,
    session: SessionId,
    agent: AgentId,
    listing: Rc<RefCell<Listing>>,
    commands: mpsc::Receiver<Command>,
    talks: HashMap<Slot, Talk>,
    channels: HashMap<u32, Slot>,
    next_channel: u32,
    /// When what was put behind has to be sent at last.
    flush_at: Option<Instant>,
    last_refusal: Untrusted,
}

/// Why a connection is not used any more.
enum Lost {
    /// All conversations have ended, and there will be no more.
    Done,
    /// It broke, or the bridge said something that is not in the protocol.
    Broken(ConnectError),
}

impl From<SessionError> for Lost {
    fn from(error: SessionError) -> Self {
        Self::Broken(error.into())
    }
}

impl<'a> Link<'a> {
    /// The session `session`, whose keys are in `listing`. Conversations send their wishes to what is returned beside
    /// it.
    pub(crate) fn new(
        dialer: &'a Dialer,
        session: SessionId,
        agent: AgentId,
        listing: Rc<RefCell<Listing>>,
    ) -> (Self, mpsc::Sender<Command>) {
        let (sender, commands) = mpsc::channel(QUEUE);
        let link = Self {
            dialer,
            session,
            agent,
            listing,
            commands,
            talks: HashMap::new(),
            channels: HashMap::new(),
            next_channel: 0,
            flush_at: None,
            last_refusal: Untrusted::default(),
        };
        (link, sender)
    }

    /// Carries requests and answers until no conversation is left that could have one, over `connection` and those
    /// that replace it. The connection is handed back for a proper end, if there is one then.
    pub(crate) async fn run(mut self, mut connection: Connection) -> Option<Connection> {
        loop {
            match self.carry(&mut connection).await {
                Lost::Done => return Some(connection),
                Lost::Broken(error) => {
                    warn!("the connection to the bridge broke ({error}); dialling again");
                    connection = self.redial().await?;
                }
            }
        }
    }

    async fn carry(&mut self, connection: &mut Connection) -> Lost {
        loop {
            let flush_at = self.flush_at;
            let step = tokio::select! {
                biased;
                payload = connection.next() => match payload {
                    Ok(payload) => self.take(&payload),
                    Err(error) => Err(error.into()),
                },
                command = self.commands.recv() => match command {
                    Some(command) => self.send(connection, command).await,
                    None => Err(Lost::Done),
                },
                () = sleep_until(flush_at.unwrap_or_else(Instant::now)), if flush_at.is_some() => {
                    self.flush_at = None;
                    connection.flush().await.map_err(Lost::from)
                }
            };
            if let Err(lost) = step {
                return lost;
            }
        }
    }

    /// Sends what `command`, and all that wait behind it, ask for. The end of a conversation alone is not worth a packet
    /// of its own: it would wake the bridge when the next ssh process needs the processor.
    async fn send(&mut self, connection: &mut Connection, command: Command) -> Result<(), Lost> {
        let mut is_urgent = false;
        let mut next = Some(command);
        while let Some(command) = next {
            match command {
                Command::Bind { slot, message } => self.talks.entry(slot).or_default().binds.push(message),
                Command::Ask { slot, message, reply } => {
                    let talk = self.talks.entry(slot).or_default();
                    let channel = *talk.channel.get_or_insert_with(|| {
                        self.channels.insert(self.next_channel, slot);
                        self.next_channel += 1;
                        self.next_channel - 1
                    });
                    for bind in talk.binds.iter().skip(talk.told) {
                        connection.feed(&ClientMessage::Agent { channel, message: bind }).await?;
                    }
                    talk.told = talk.binds.len();
                    talk.reply = Some(reply);
                    is_urgent = true;
                    connection.feed(&ClientMessage::Agent { channel, message: &message }).await?;
                }
                Command::Close { slot } => {
                    let talk = self.talks.remove(&slot).unwrap_or_default();
                    if let Some(channel) = talk.channel {
                        // What it waits for may keep a person busy.
                        is_urgent |= talk.reply.is_some();
                        self.channels.remove(&channel);
                        self.flush_at.get_or_insert_with(|| Instant::now() + LINGER);
                        connection.feed(&ClientMessage::Close { channel }).await?;
                    }
                }
                Command::ListAgain => {
                    self.flush_at.get_or_insert_with(|| Instant::now() + LINGER);
                    connection.feed(&ClientMessage::ListAgain).await?;
                }
            }
            next = self.commands.try_recv().ok();
        }
        if is_urgent {
            self.flush_at = None;
            connection.flush().await?;
        }
        Ok(())
    }

    fn take(&mut self, payload: &[u8]) -> Result<(), Lost> {
        let protocol = |what| Err(SessionError::Protocol(what).into());
        match decode(payload)? {
            HostMessage::Answer { channel, answer, refusal } => {
                if !refusal.is_empty() && refusal != self.last_refusal {
                    warn!("refused: {refusal}");
                    self.last_refusal = refusal;
                }
                // A channel that was closed meanwhile: nobody waits.
                let Some(talk) = self.channels.get(&channel).and_then(|slot| self.talks.get_mut(slot)) else {
                    return if channel < self.next_channel {
                        Ok(())
                    } else {
                        protocol("an answer to nobody")
                    };
                };
                match talk.reply.take() {
                    // It may have given up.
                    Some(reply) => {
                        let _ = reply.send(answer.into_owned());
                        Ok(())
                    }
                    None => protocol("an agent's answer that nobody asked for"),
                }
            }
            HostMessage::Identities { fixed, identities } => {
                *self.listing.borrow_mut() = Listing { fixed, identities };
                Ok(())
            }
            // After a redial; the first one counts.
            HostMessage::Welcome { .. } | HostMessage::Agent { .. } => Ok(()),
            HostMessage::Length { .. }
            | HostMessage::Chunk { .. }
            | HostMessage::Refused { .. }
            | HostMessage::Offers { .. }
            | HostMessage::Ending => protocol("an answer to a question that was not asked"),
        }
    }

    /// Dials until the session is continued, or cannot be any more. Then requests are refused, until nobody is left
    /// to make any.
    async fn redial(&mut self) -> Option<Connection> {
        for talk in self.talks.values_mut() {
            // Whoever waits learns by the sender's end that there is no answer.
            *talk = Talk { binds: std::mem::take(&mut talk.binds), ..Talk::default() };
        }
        self.channels.clear();
        self.next_channel = 0;
        self.flush_at = None;
        let broken = Instant::now();
        let mut wait = BACK_OFF;
        // Asked while there is no connection; sent on the next one, or given up when it does not come.
        let mut held = Vec::new();
        loop {
            let at = Instant::now() + wait;
            wait = (wait * 2).min(MAX_BACK_OFF);
            while held.is_empty() {
                tokio::select! {
                    () = sleep_until(at) => break,
                    command = self.commands.recv() => self.hold(command?, &mut held),
                }
            }
            match self.dial().await {
                Ok(mut connection) => {
                    debug!("the session goes on");
                    for command in held {
                        // If it breaks at once, the next read says so.
                        let _ = self.send(&mut connection, command).await;
                    }
                    return Some(connection);
                }
                Err(error) if is_final(&error) || broken.elapsed() > GRACE => {
                    warn!(
                        "the bridge cannot be reached any more: requests to the SSH agent fail from now on"
                    );
                    debug!("{error}");
                    break;
                }
                Err(error) => debug!("no bridge yet: {error}"),
            }
            held.clear();
        }
        drop(held);
        while self.commands.recv().await.is_some() {}
        None
    }

    fn hold(&mut self, command: Command, held: &mut Vec<Command>) {
        match command {
            Command::Bind { slot, message } => self.talks.entry(slot).or_default().binds.push(message),
            ask @ Command::Ask { .. } => held.push(ask),
            Command::Close { slot } => drop(self.talks.remove(&slot)),
            Command::ListAgain => {}
        }
    }

    async fn dial(&self) -> Result<Connection, ConnectError> {
        let stream = self.dialer.dial().await?;
        let hello = Hello {
            purpose: Purpose::Session,
            resume: Some(self.session),
            keys: Vec::new(),
            agent: Some(self.agent.clone()),
        };
        Ok(Connection::open(stream, &hello).await?)
    }
}

/// Whether trying again is of no use.
fn is_final(error: &ConnectError) -> bool {
    matches!(error, ConnectError::Session(SessionError::Refused(_) | SessionError::UnknownClient))
}
