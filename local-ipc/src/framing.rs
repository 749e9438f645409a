//! Length-prefixed messages: 32 bits, big-endian, then that many bytes. The SSH agent protocol frames its messages so.

use std::io;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};

use crate::LocalStream;

/// Size of the read buffer: it holds the usual message, so that this is one read(2). Longer ones bypass it.
const BUFFER: usize = 4 << 10;

/// A stream of length-prefixed messages.
pub struct FramedStream<S = LocalStream> {
    stream: BufReader<S>,
    max_length: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> FramedStream<S> {
    /// Messages on `stream`, of 1 to `max_length` bytes. Longer ones are errors before anything of them is read.
    pub fn new(stream: S, max_length: usize) -> Self {
        Self { stream: BufReader::with_capacity(BUFFER, stream), max_length }
    }

    /// Reads the next message into `message`, in place of what was there. `false` if the peer has closed its sending half
    /// between two messages; it may still wait for answers.
    ///
    /// # Errors
    /// `InvalidData` for a length out of bounds, `UnexpectedEof` within a message, and those of the system.
    pub async fn read(&mut self, message: &mut Vec<u8>) -> io::Result<bool> {
        if self.stream.fill_buf().await?.is_empty() {
            return Ok(false);
        }
        let length = self.stream.read_u32().await? as usize;
        if length == 0 || length > self.max_length {
            let problem = format!("a message of {length} bytes (allowed: 1 to {})", self.max_length);
            return Err(io::Error::new(io::ErrorKind::InvalidData, problem));
        }
        message.clear();
        // Memory grows with what arrives: the length is only a claim.
        (&mut self.stream).take(length as u64).read_to_end(message).await?;
        if message.len() == length { Ok(true) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Writes `message` with its length in one write(2): the peer may be waiting for the whole of it.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn write(&mut self, message: &[u8]) -> io::Result<()> {
        let length = u32::try_from(message.len()).map_err(io::Error::other)?;
        self.stream.write_all(&[&length.to_be_bytes(), message].concat()).await
    }

    /// Whether the peer has sent bytes that no [`Self::read`] has returned yet, as far as they are in the buffer.
    pub fn has_unread(&self) -> bool {
        !self.stream.buffer().is_empty()
    }
}

impl FramedStream {
    /// Resolves when the peer has hung up; see [`LocalStream::hung_up`].
    pub async fn hung_up(&mut self) {
        self.stream.get_mut().hung_up().await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    const LIMIT: usize = 100_000;

    #[tokio::test(flavor = "current_thread")]
    async fn messages_arrive_whole_from_a_pipe_of_eight_bytes() {
        let (near, far) = duplex(8);
        let (mut near, mut far) = (FramedStream::new(near, LIMIT), FramedStream::new(far, LIMIT));
        let messages = [vec![1], vec![2; BUFFER], vec![3; LIMIT]];
        let send = async {
            for message in &messages {
                near.write(message).await.unwrap();
            }
            drop(near);
        };
        let receive = async {
            let mut message = Vec::new();
            for expected in &messages {
                assert!(far.read(&mut message).await.unwrap());
                assert!(message == *expected);
            }
            assert!(!far.read(&mut message).await.unwrap());
        };
        tokio::join!(send, receive);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn bad_lengths_and_cut_messages_are_errors() {
        for (bytes, kind) in [
            (&[0, 0, 0, 0][..], io::ErrorKind::InvalidData),
            (&[0xff, 0xff, 0xff, 0xff, 1], io::ErrorKind::InvalidData),
            (&[0, 1, 0x86, 0xa1, 1], io::ErrorKind::InvalidData),
            (&[0, 0, 0, 5, 1], io::ErrorKind::UnexpectedEof),
            (&[0, 0], io::ErrorKind::UnexpectedEof),
        ] {
            let (mut near, far) = duplex(8);
            near.write_all(bytes).await.unwrap();
            drop(near);
            let error = FramedStream::new(far, LIMIT).read(&mut Vec::new()).await.unwrap_err();
            assert_eq!(error.kind(), kind, "{bytes:?}");
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn bytes_after_a_message_are_reported_as_unread() {
        let (mut near, far) = duplex(64);
        near.write_all(&[0, 0, 0, 1, 7, 8]).await.unwrap();
        let mut far = FramedStream::new(far, LIMIT);
        far.read(&mut Vec::new()).await.unwrap();
        assert!(far.has_unread());
    }
}
