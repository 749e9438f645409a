//! One connection to the agent socket, usually from an ssh process.
//!
//! The list of keys is known here, and the sender of a session-bind waits only for an acknowledgement, so neither costs a
//! round trip. Everything else is sent to the host.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use local_ipc::{FramedStream, LocalStream};
use proto::agent::{Reader, SESSION_BIND, identities_answer, number};
use proto::limits::{MAX_BINDS, MAX_MESSAGE};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::multiplexer::{ClientId, Command, Listing};

/// Minimum time between two requests to the host for a fresh list of keys.
const LISTING_REFRESH: Duration = Duration::from_secs(1);

/// Most bytes of session-binds that are kept for one client. OpenSSH's are some 300 to 2000 bytes each.
const MAX_BIND_BYTES: usize = 64 << 10;

/// What all connections to the socket share.
pub(crate) struct AgentState {
    pub(crate) listing: Rc<RefCell<Listing>>,
    /// When the list was last requested.
    pub(crate) listed_at: RefCell<Instant>,
    pub(crate) multiplexer: mpsc::Sender<Command>,
}

/// What to do with a message.
#[derive(Debug, PartialEq, Eq)]
enum MessageKind {
    List,
    /// A session-bind; what says so has this many bytes.
    Bind(usize),
    Sign,
    /// A request that the host will refuse. Only this many bytes, which say what it is, are sent: the rest may be a private
    /// key or a passphrase.
    Other(usize),
}

/// Answers one client until it hangs up.
///
/// # Errors
/// Those of the connection, or a message over the limit.
pub(crate) async fn serve_client(state: &AgentState, id: ClientId, stream: LocalStream) -> io::Result<()> {
    let ended = answer_requests(state, id, FramedStream::new(stream, MAX_MESSAGE)).await;
    // Waits while the queue is full: the host counts open channels, so this must not get lost.
    let _ = state.multiplexer.send(Command::Close { id }).await;
    ended
}

async fn answer_requests(state: &AgentState, id: ClientId, mut stream: FramedStream) -> io::Result<()> {
    let mut client = AgentClient { state, id, binds: 0, bind_bytes: 0 };
    let mut message = Vec::new();
    while stream.read(&mut message).await? {
        let answer = tokio::select! {
            biased;
            answer = client.answer(&mut message) => answer,
            // The host then withdraws a question to a person.
            () = stream.hung_up() => return Ok(()),
        };
        stream.write(&answer).await?;
    }
    Ok(())
}

struct AgentClient<'a> {
    state: &'a AgentState,
    id: ClientId,
    binds: usize,
    bind_bytes: usize,
}

impl AgentClient<'_> {
    async fn answer(&mut self, message: &mut Vec<u8>) -> Vec<u8> {
        match classify(message) {
            MessageKind::List if self.binds == 0 || self.state.listing.borrow().fixed => {
                self.refresh_listing();
                identities_answer(&self.state.listing.borrow().identities)
            }
            MessageKind::List | MessageKind::Sign => self.ask_host(std::mem::take(message)).await,
            MessageKind::Bind(_) if self.binds == MAX_BINDS => vec![number::FAILURE],
            MessageKind::Bind(name) => {
                if self.bind_bytes + message.len() > MAX_BIND_BYTES {
                    // Not a valid bind any more, so that the bridge signs nothing for this client.
                    message.truncate(name);
                }
                self.binds += 1;
                self.bind_bytes += message.len();
                let bind = Command::Bind { id: self.id, message: std::mem::take(message) };
                // If the multiplexer has ended, signature requests fail, too.
                let _ = self.state.multiplexer.send(bind).await;
                vec![number::SUCCESS]
            }
            MessageKind::Other(length) => {
                message.truncate(length);
                self.ask_host(std::mem::take(message)).await
            }
        }
    }

    async fn ask_host(&self, message: Vec<u8>) -> Vec<u8> {
        let (reply, answer) = oneshot::channel();
        let ask = Command::Ask { id: self.id, message, reply };
        match self.state.multiplexer.send(ask).await {
            Ok(()) => answer.await.unwrap_or_else(|_| vec![number::FAILURE]),
            Err(_) => vec![number::FAILURE],
        }
    }

    /// Requests a fresh list for later clients. If the queue is full, more urgent requests are waiting.
    fn refresh_listing(&self) {
        let mut listed_at = self.state.listed_at.borrow_mut();
        if listed_at.elapsed() > LISTING_REFRESH {
            *listed_at = Instant::now();
            let _ = self.state.multiplexer.try_send(Command::ListAgain);
        }
    }
}

fn classify(message: &[u8]) -> MessageKind {
    let mut reader = Reader::new(message);
    match reader.u8() {
        Ok(number::REQUEST_IDENTITIES) if reader.rest().is_empty() => MessageKind::List,
        // With one of the excess bytes: without it, the host would see a valid message.
        Ok(number::REQUEST_IDENTITIES) => MessageKind::Other(2),
        Ok(number::SIGN_REQUEST) => MessageKind::Sign,
        Ok(number::EXTENSION) => match reader.string() {
            Ok(SESSION_BIND) => MessageKind::Bind(message.len() - reader.rest().len()),
            Ok(_) => MessageKind::Other(message.len() - reader.rest().len()),
            Err(_) => MessageKind::Other(1),
        },
        Ok(_) | Err(_) => MessageKind::Other(1),
    }
}

#[cfg(test)]
mod tests {
    use proto::agent::Writer;

    use super::*;

    #[test]
    fn the_name_is_left_of_a_bind_that_is_too_long() {
        let mut bind = Writer::new(number::EXTENSION);
        bind.string(SESSION_BIND).string(&[0; MAX_BIND_BYTES]);
        assert_eq!(classify(&bind.finish()), MessageKind::Bind(1 + 4 + SESSION_BIND.len()));
    }

    #[test]
    fn of_a_message_that_changes_the_agent_only_the_number_is_sent() {
        let mut add = Writer::new(17);
        add.string(b"ssh-ed25519").string(b"private");
        assert_eq!(classify(&add.finish()), MessageKind::Other(1));
        let mut extension = Writer::new(number::EXTENSION);
        extension.string(b"query").string(b"private");
        assert_eq!(classify(&extension.finish()), MessageKind::Other(1 + 4 + 5));
        assert_eq!(classify(&[number::REQUEST_IDENTITIES]), MessageKind::List);
        assert_eq!(classify(&[number::REQUEST_IDENTITIES, 0, 0]), MessageKind::Other(2));
    }
}
