//! One connection to the socket: an ssh process, usually.
//!
//! Which keys there are is known here, and that a session-bind arrived is all that its sender wants to hear, so
//! neither costs a round trip. Everything else is asked of the host.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use proto::agent::{MAX_BINDS, MAX_MESSAGE, Reader, SESSION_BIND, identities_answer, number};
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _,
    BufReader,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep};

use super::multiplexer::{Command, Listing, Slot};

/// Keys that were listed this recently are not asked for again.
const FRESH: Duration = Duration::from_secs(1);

/// How often a client that waits is looked at: the system tells of a close only whoever reads.
const WATCH: Duration = Duration::from_millis(250);
/// Holds the usual request; longer ones pass by it.
const BUFFER: usize = 4 << 10;

/// What all conversations of one link know.
pub(crate) struct Known {
    /// The keys.
    pub(crate) listing: Rc<RefCell<Listing>>,
    /// When they were last asked for.
    pub(crate) listed: RefCell<Instant>,
    /// The way to the link.
    pub(crate) link: mpsc::Sender<Command>,
}

/// What a message is, as far as that is this side's business.
#[derive(Debug, PartialEq, Eq)]
enum Kind {
    List,
    Bind,
    Sign,
    /// Something that the host is going to refuse; so many bytes of it say what it is. The rest may be a private key
    /// or a passphrase, and stays here.
    Other(usize),
}

/// A client's connection.
pub(crate) trait Caller: AsyncRead + AsyncWrite + Unpin {
    /// Whether it is closed in both directions, so that nobody waits for an answer. A client that only stopped sending
    /// still does.
    fn has_hung_up(&self) -> bool;
}

/// Answers one client until it hangs up.
///
/// # Errors
/// The connection's, or a message over the limit.
pub(crate) async fn converse(known: &Known, slot: Slot, stream: impl Caller) -> io::Result<()> {
    // A whole request is one read then.
    let ended = answer_all(known, slot, &mut BufReader::with_capacity(BUFFER, stream)).await;
    // Waits where the queue is full: the host counts channels that are open.
    let _ = known.link.send(Command::Close { slot }).await;
    ended
}

async fn answer_all(known: &Known, slot: Slot, stream: &mut BufReader<impl Caller>) -> io::Result<()> {
    let mut talk = Talk { known, slot, binds: 0 };
    let mut message = Vec::new();
    while read(stream, &mut message).await? {
        let answer = tokio::select! {
            biased;
            answer = talk.answer(&mut message) => answer,
            // A person who is asked about this at the host need not be any more.
            () = hung_up(stream.get_ref()) => return Ok(()),
        };
        let length = u32::try_from(answer.len()).map_err(io::Error::other)?;
        // One write: the client may be waiting for the whole of it.
        stream.write_all(&[&length.to_be_bytes(), &answer[..]].concat()).await?;
    }
    Ok(())
}

async fn hung_up(caller: &impl Caller) {
    while !caller.has_hung_up() {
        sleep(WATCH).await;
    }
}

/// Reads one message; `false` at a proper end. A client that only stopped sending still gets its answers.
async fn read(stream: &mut (impl AsyncBufRead + Unpin), message: &mut Vec<u8>) -> io::Result<bool> {
    if stream.fill_buf().await?.is_empty() {
        return Ok(false);
    }
    let mut head = [0; 4];
    stream.read_exact(&mut head).await?;
    let length = u32::from_be_bytes(head) as usize;
    if length == 0 || length > MAX_MESSAGE {
        return Err(io::ErrorKind::InvalidData.into());
    }
    message.clear();
    // Grows with what arrives; the length is only a claim.
    stream.take(length as u64).read_to_end(message).await?;
    if message.len() == length { Ok(true) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

struct Talk<'a> {
    known: &'a Known,
    slot: Slot,
    binds: usize,
}

impl Talk<'_> {
    async fn answer(&mut self, message: &mut Vec<u8>) -> Vec<u8> {
        match kind(message) {
            Kind::List if self.binds == 0 || self.known.listing.borrow().fixed => {
                self.refresh();
                identities_answer(&self.known.listing.borrow().identities)
            }
            Kind::List | Kind::Sign => self.ask(std::mem::take(message)).await,
            Kind::Bind if self.binds == MAX_BINDS => vec![number::FAILURE],
            Kind::Bind => {
                self.binds += 1;
                let bind = Command::Bind { slot: self.slot, message: std::mem::take(message) };
                // Without a link there is nobody to sign either.
                let _ = self.known.link.send(bind).await;
                vec![number::SUCCESS]
            }
            Kind::Other(length) => {
                message.truncate(length);
                self.ask(std::mem::take(message)).await
            }
        }
    }

    async fn ask(&self, message: Vec<u8>) -> Vec<u8> {
        let (reply, answer) = oneshot::channel();
        let ask = Command::Ask { slot: self.slot, message, reply };
        match self.known.link.send(ask).await {
            Ok(()) => answer.await.unwrap_or_else(|_| vec![number::FAILURE]),
            Err(_) => vec![number::FAILURE],
        }
    }

    /// Asks for news, for whoever comes next; a queue that is full has more urgent things.
    fn refresh(&self) {
        let mut listed = self.known.listed.borrow_mut();
        if listed.elapsed() > FRESH {
            *listed = Instant::now();
            let _ = self.known.link.try_send(Command::ListAgain);
        }
    }
}

fn kind(message: &[u8]) -> Kind {
    let mut reader = Reader::new(message);
    match reader.u8() {
        Ok(number::REQUEST_IDENTITIES) if reader.rest().is_empty() => Kind::List,
        // With the byte that is one too many: without it, it would be another message.
        Ok(number::REQUEST_IDENTITIES) => Kind::Other(2),
        Ok(number::SIGN_REQUEST) => Kind::Sign,
        Ok(number::EXTENSION) => match reader.string() {
            Ok(SESSION_BIND) => Kind::Bind,
            Ok(_) => Kind::Other(message.len() - reader.rest().len()),
            Err(_) => Kind::Other(1),
        },
        Ok(_) | Err(_) => Kind::Other(1),
    }
}

#[cfg(test)]
mod tests {
    use proto::agent::Writer;

    use super::*;

    #[test]
    fn of_a_message_that_changes_the_agent_only_the_number_travels() {
        let mut add = Writer::new(17);
        add.string(b"ssh-ed25519").string(b"private");
        assert_eq!(kind(&add.finish()), Kind::Other(1));
        let mut extension = Writer::new(number::EXTENSION);
        extension.string(b"query").string(b"private");
        assert_eq!(kind(&extension.finish()), Kind::Other(1 + 4 + 5));
        assert_eq!(kind(&[number::REQUEST_IDENTITIES]), Kind::List);
        assert_eq!(kind(&[number::REQUEST_IDENTITIES, 0, 0]), Kind::Other(2));
    }

    #[tokio::test]
    async fn lengths_are_checked_before_anything_is_read() {
        let mut message = Vec::new();
        for bad in [&[0, 0, 0, 0][..], &[0xff, 0xff, 0xff, 0xff, 1], &[0, 0, 0, 5, 1], &[0, 0]] {
            assert!(read(&mut &bad[..], &mut message).await.is_err(), "{bad:?}");
        }
        assert!(matches!(read(&mut &[][..], &mut message).await, Ok(false)));
    }
}
