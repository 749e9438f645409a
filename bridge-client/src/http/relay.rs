//! Passes the requests of one connection of a tool to the bridge, and the answers back. What is in them is not looked at: the
//! bridge says where answers end.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Poll, ready};

use proto::http::Origin;
use proto::limits::STREAM_CHUNK;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::notices::Notices;
use super::pool::{Opener, Pool, Stream};
use super::reply::Reply;
use super::signed_urls::SignedUrls;
use super::slots::Slot;
use crate::connect::error::SessionError;
use crate::connect::stream::Answer;

/// What all connections of tools share.
pub(crate) struct Relay<O: Opener> {
    pub(crate) pool: Pool<O>,
    pub(crate) notices: Notices,
    pub(crate) signed_urls: SignedUrls,
    /// What is read from any tool comes in here first, so that no connection that waits needs a buffer.
    scratch: RefCell<Vec<u8>>,
}

/// How a tool's connection has to end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Properly: no answer is missing.
    Complete,
    /// By a reset: an answer may be cut, or missing although its request may have been served.
    Reset,
    /// With this answer: no request in progress.
    Reply(Reply),
    /// At once: the tool has ended it.
    Gone,
}

/// Makes of a tool's bytes what is sent to the bridge.
pub(crate) trait Requests {
    fn pass(&mut self, bytes: &[u8]) -> Passed;
}

#[derive(Debug, Default)]
pub(crate) struct Passed {
    pub(crate) bytes: Vec<u8>,
    /// What comes after `bytes` is not passed on, and gets this answer.
    pub(crate) refused: Option<Reply>,
}

/// Passes on everything.
pub(crate) struct Verbatim;

impl Requests for Verbatim {
    fn pass(&mut self, bytes: &[u8]) -> Passed {
        Passed { bytes: bytes.to_vec(), refused: None }
    }
}

/// Bytes for the tool that it has not taken yet.
struct Outgoing<B> {
    bytes: Option<B>,
    written: usize,
    unflushed: bool,
}

enum Event {
    /// Everything so far is on its way.
    Written,
    /// Not empty.
    Read(Vec<u8>),
    End,
}

impl<O: Opener> Relay<O> {
    pub(crate) fn new(opener: O) -> Self {
        Self {
            pool: Pool::new(opener),
            notices: Notices::default(),
            signed_urls: SignedUrls::default(),
            scratch: RefCell::new(vec![0; STREAM_CHUNK]),
        }
    }

    /// Serves `tool`, whose requests are for `origin`, until one side ends.
    pub(crate) async fn serve(
        &self,
        tool: &mut (impl AsyncRead + AsyncWrite + Unpin),
        origin: &Origin,
        requests: &mut impl Requests,
        slot: &Slot,
    ) -> Ending {
        loop {
            // Between requests, no stream is needed.
            slot.set_evictable(true);
            let first = tokio::select! {
                event = self.read(tool) => event,
                () = slot.evicted() => return Ending::Complete,
            };
            slot.set_evictable(false);
            let first = match first {
                Ok(Event::Read(bytes)) => requests.pass(&bytes),
                Ok(Event::End | Event::Written) => return Ending::Complete,
                Err(_) => return Ending::Gone,
            };
            let ended = match (first.bytes.is_empty(), first.refused) {
                (true, Some(reply)) => return Ending::Reply(reply),
                (true, None) => continue,
                (false, refused) => self.exchange(tool, origin, requests, first.bytes, refused).await,
            };
            if let Some(ending) = ended {
                return ending;
            }
        }
    }

    /// Passes on requests that begin with `first`, until the bridge has answered them all. `None` if the tool may make more.
    async fn exchange(
        &self,
        tool: &mut (impl AsyncRead + AsyncWrite + Unpin),
        origin: &Origin,
        requests: &mut impl Requests,
        mut first: Vec<u8>,
        mut refused: Option<Reply>,
    ) -> Option<Ending> {
        let lease = {
            let mut lease = std::pin::pin!(self.pool.lease());
            loop {
                let may_read = first.len() < STREAM_CHUNK && refused.is_none();
                tokio::select! {
                    biased;
                    lease = &mut lease => break lease,
                    // A tool that has gone needs no stream.
                    event = self.read(tool), if may_read => match event {
                        Ok(Event::Read(bytes)) => {
                            let passed = requests.pass(&bytes);
                            first.extend(passed.bytes);
                            refused = passed.refused;
                        }
                        Ok(Event::End | Event::Written) | Err(_) => return Some(Ending::Gone),
                    },
                }
            }
        };
        let mut lease = match lease {
            Ok(lease) => lease,
            Err(error) => {
                let text = format!("the request was not sent: {}", error.text());
                self.notices.failed(text.lines().next().unwrap_or_default());
                return Some(Ending::Reply(Reply::new(502, text)));
            }
        };
        lease.stream.connect(origin);
        lease.stream.send(&first);
        drop(first);
        let mut outgoing = Outgoing { bytes: None, written: 0, unflushed: false };
        loop {
            let is_clear = outgoing.bytes.is_none() && !outgoing.unflushed;
            let may_read = refused.is_none() && lease.stream.has_room();
            tokio::select! {
                answer = drive(&mut lease.stream, is_clear) => match answer {
                    Ok(Answer::Bytes(bytes)) => outgoing.bytes = Some(bytes),
                    Ok(Answer::Idle) => {
                        lease.release();
                        return refused.map(Ending::Reply);
                    }
                    Ok(Answer::Finished) => return Some(Ending::Complete),
                    Ok(Answer::Refusal(text)) => self.notices.refused(text),
                    Ok(Answer::SignedUrl(url)) => self.signed_urls.add(url),
                    Ok(Answer::Room) => {}
                    Err(error) => {
                        self.notices.failed(format_args!("a request to {origin} was cut: {error}"));
                        return Some(Ending::Reset);
                    }
                },
                event = self.transfer(tool, &mut outgoing, may_read) => match event {
                    Ok(Event::Read(bytes)) => {
                        let passed = requests.pass(&bytes);
                        refused = passed.refused;
                        if !passed.bytes.is_empty() {
                            lease.stream.send(&passed.bytes);
                        }
                    }
                    Ok(Event::Written) => {}
                    // Its request is complete only if the bridge says so. A tool that ends its side alone is not known.
                    Ok(Event::End) | Err(_) => return Some(Ending::Gone),
                },
            }
        }
    }

    async fn read(&self, tool: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<Event> {
        let mut nothing = Outgoing::<Vec<u8>> { bytes: None, written: 0, unflushed: false };
        self.transfer(tool, &mut nothing, true).await
    }

    /// Writes what is outgoing, and reads if it `may_read`, until one of both has happened.
    async fn transfer<B: AsRef<[u8]>>(
        &self,
        tool: &mut (impl AsyncRead + AsyncWrite + Unpin),
        outgoing: &mut Outgoing<B>,
        may_read: bool,
    ) -> io::Result<Event> {
        poll_fn(|context| {
            if let Poll::Ready(written) = outgoing.poll_write(tool, context) {
                return Poll::Ready(written.map(|()| Event::Written));
            }
            if !may_read {
                return Poll::Pending;
            }
            let mut scratch = self.scratch.borrow_mut();
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut *tool).poll_read(context, &mut buffer) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => Poll::Ready(Ok(Event::End)),
                Poll::Ready(Ok(())) => Poll::Ready(Ok(Event::Read(buffer.filled().to_vec()))),
            }
        })
        .await
    }
}

impl<B: AsRef<[u8]>> Outgoing<B> {
    /// Ready once all of it is on its way; not ready if there is nothing.
    fn poll_write(
        &mut self,
        tool: &mut (impl AsyncWrite + Unpin),
        context: &mut std::task::Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.bytes.is_none() && !self.unflushed {
            return Poll::Pending;
        }
        while let Some(bytes) = &self.bytes {
            let rest = bytes.as_ref().get(self.written..).unwrap_or_default();
            if rest.is_empty() {
                self.bytes = None;
                self.written = 0;
                break;
            }
            match Pin::new(&mut *tool).poll_write(context, rest) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(written)) => {
                    self.written += written;
                    self.unflushed = true;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        ready!(Pin::new(tool).poll_flush(context))?;
        self.unflushed = false;
        Poll::Ready(Ok(()))
    }
}

/// Receives what is next, or if that must wait only sends what is queued. Returns also when there is room for requests again:
/// until then, nothing is read from the tool.
async fn drive(stream: &mut impl Stream, may_receive: bool) -> Result<Answer, SessionError> {
    if may_receive {
        return stream.next().await;
    }
    let is_full = !stream.has_room();
    stream.flushed().await?;
    if is_full { Ok(Answer::Room) } else { pending().await }
}
