//! What a server sends: the heads of its answers, and the bytes after them.

use std::io;
use std::time::Duration;

use futures_util::FutureExt as _;
use http_message::AnswerHead;
use proto::limits::STREAM_CHUNK;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use super::fault::ServerFault;

/// Time for the rest of a head, once its first byte is there.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// A server that sends nothing of a body for this long is not waited for.
const BODY_TIMEOUT: Duration = Duration::from_secs(300);

/// The answers on one connection to a server.
pub(super) struct AnswerReader<R> {
    stream: R,
    /// What is not consumed yet: at most a head and a piece.
    buffer: Vec<u8>,
    /// When the first byte of a head that is not complete was there.
    head_begun: Option<Instant>,
}

/// More of a body.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum More {
    Bytes,
    /// The server has closed the connection properly.
    End,
}

impl<R: AsyncRead + Unpin> AnswerReader<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new(), head_begun: None }
    }

    /// The next head, of an interim answer too. Loses nothing if it is dropped before it is ready.
    ///
    /// # Errors
    /// [`ServerFault`].
    pub(super) async fn head(&mut self) -> Result<AnswerHead, ServerFault> {
        loop {
            if let Some((head, length)) = AnswerHead::parse(&self.buffer)? {
                self.buffer.drain(..length);
                self.head_begun = (!self.buffer.is_empty()).then(Instant::now);
                return Ok(head);
            }
            let read = match self.head_begun {
                None => self.fill().await,
                Some(begun) => {
                    let fill = timeout_at(begun + HEAD_TIMEOUT, self.fill());
                    fill.await.map_err(|_| ServerFault::SlowHead)?
                }
            };
            match read {
                Ok(1..) => _ = self.head_begun.get_or_insert_with(Instant::now),
                Ok(0) | Err(_) if self.buffer.is_empty() => return Err(ServerFault::NoAnswer),
                Ok(0) | Err(_) => return Err(ServerFault::Cut),
            }
        }
    }

    /// Bytes of a body that are there.
    pub(super) fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    /// Removes the first `count` bytes.
    pub(super) fn consume(&mut self, count: usize) {
        self.buffer.drain(..count.min(self.buffer.len()));
    }

    /// Reads more of a body, if it is there already.
    pub(super) fn more_now(&mut self) -> Option<Result<More, ServerFault>> {
        self.fill().now_or_never().map(of_body)
    }

    /// Waits for more of a body.
    ///
    /// # Errors
    /// [`ServerFault`]; an end of a TLS connection that anyone on the path can cause is one.
    pub(super) async fn more(&mut self) -> Result<More, ServerFault> {
        match timeout(BODY_TIMEOUT, self.fill()).await {
            Ok(read) => of_body(read),
            Err(_) => Err(ServerFault::Stalled(BODY_TIMEOUT.as_secs())),
        }
    }

    /// Reads once.
    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(STREAM_CHUNK);
        (&mut self.stream).take(STREAM_CHUNK as u64).read_buf(&mut self.buffer).await
    }
}

fn of_body(read: io::Result<usize>) -> Result<More, ServerFault> {
    match read {
        Ok(0) => Ok(More::End),
        Ok(_) => Ok(More::Bytes),
        Err(_) => Err(ServerFault::Cut),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncWriteExt as _, duplex};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_head_that_drips_and_a_body_that_stalls_are_given_up() {
        let (near, mut far) = duplex(64);
        let dripping = async {
            far.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ").await.unwrap();
            loop {
                tokio::time::sleep(Duration::from_secs(7)).await;
                far.write_all(b"x").await.unwrap();
            }
        };
        let begun = Instant::now();
        let mut reader = AnswerReader::new(near);
        tokio::select! {
            head = reader.head() => assert_eq!(head, Err(ServerFault::SlowHead)),
            () = dripping => {}
        }
        assert_eq!(begun.elapsed().as_secs(), HEAD_TIMEOUT.as_secs());
        let begun = Instant::now();
        while reader.more_now().is_some() {}
        assert_eq!(reader.more().await, Err(ServerFault::Stalled(BODY_TIMEOUT.as_secs())));
        assert_eq!(begun.elapsed().as_secs(), BODY_TIMEOUT.as_secs());
    }
}
