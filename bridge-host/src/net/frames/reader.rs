//! Reads what a client sends. No byte of a message is read before there is memory for it.

use std::io;
use std::sync::Arc;

use proto::limits::{MAX_FRAME, MAX_STREAM_FRAME};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::memory::{Reserved, SessionMemory};

/// Longest header: two bytes, a length of eight, and the mask.
const MAX_HEADER: usize = 14;
/// Longest payload of a control frame (RFC 6455, 5.5).
const MAX_CONTROL: usize = 125;
/// Bytes that are read at once. A buffer grows into its reservation in such steps, so that what a client only announces
/// is not touched.
const STEP: usize = 16 << 10;

/// Reads frames from the client's direction of a connection.
pub(crate) struct FrameReader<R> {
    stream: R,
    memory: Arc<SessionMemory>,
    /// Largest message, in bytes.
    limit: usize,
    /// The fragments so far of a message that is not complete.
    fragments: Option<Payload>,
}

/// What a client sent.
pub(crate) enum Incoming {
    /// A whole binary message.
    Message(Payload),
    /// A ping, with its payload.
    Ping(Vec<u8>),
    Pong,
    Close,
}

/// The bytes of a message, and the memory reserved for them.
pub(crate) struct Payload {
    pub(crate) bytes: Vec<u8>,
    pub(crate) reserved: Reserved,
}

/// Why nothing more can be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The connection ended, or broke.
    Broken,
    /// The client violated RFC 6455, sent text, or a message over the limit.
    Protocol,
}

impl From<io::Error> for ReadError {
    fn from(_: io::Error) -> Self {
        Self::Broken
    }
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R, memory: Arc<SessionMemory>) -> Self {
        Self { stream, memory, limit: MAX_FRAME, fragments: None }
    }

    /// As [`Self::new`], for a stream, whose messages are shorter.
    pub(crate) fn of_stream(stream: R, memory: Arc<SessionMemory>) -> Self {
        Self { limit: MAX_STREAM_FRAME, ..Self::new(stream, memory) }
    }

    /// The connection. What follows on it is no frame, unless the last call of [`Self::next`] was ready.
    pub(crate) fn into_inner(self) -> R {
        self.stream
    }

    /// Reads up to the next whole message or control frame. Waits until the session has memory for it. If the future is
    /// dropped, the connection cannot be read any more.
    ///
    /// # Errors
    /// [`ReadError`].
    pub(crate) async fn next(&mut self) -> Result<Incoming, ReadError> {
        loop {
            let (header, length) = self.header().await?;
            let (false, false, false, Some(mask)) = (header.rsv1, header.rsv2, header.rsv3, header.mask)
            else {
                return Err(ReadError::Protocol);
            };
            let payload = match (header.opcode, self.fragments.take()) {
                (OpCode::Control(control), fragments) => {
                    self.fragments = fragments;
                    if !header.is_final || length > MAX_CONTROL {
                        return Err(ReadError::Protocol);
                    }
                    return self.control(control, length, mask).await;
                }
                (OpCode::Data(Data::Binary), None) => {
                    // A stream has no memory for a second, larger buffer.
                    let is_whole = header.is_final || self.limit > MAX_STREAM_FRAME;
                    let first = self.allocate(if is_whole { length } else { self.limit }).await;
                    self.data(first, length, mask).await?
                }
                (OpCode::Data(Data::Continue), Some(fragments)) => self.data(fragments, length, mask).await?,
                (OpCode::Data(_), _) => return Err(ReadError::Protocol),
            };
            if header.is_final {
                return Ok(Incoming::Message(payload));
            }
            self.fragments = Some(payload);
        }
    }

    /// The next frame's header, and the length of its payload.
    async fn header(&mut self) -> Result<(FrameHeader, usize), ReadError> {
        let mut bytes = [0; MAX_HEADER];
        let mut read = 0;
        let mut needed = 2;
        loop {
            let (Some(missing), Some(_)) = (bytes.get_mut(read..needed), needed.checked_sub(read)) else {
                return Err(ReadError::Protocol);
            };
            self.stream.read_exact(missing).await?;
            read = needed;
            let [_, second, ..] = bytes;
            needed =
                2 + match second & 0x7f {
                    126 => 2,
                    127 => 8,
                    _ => 0,
                } + if second & 0x80 == 0 { 0 } else { 4 };
            if read == needed {
                break;
            }
        }
        let header = bytes.get(..read).map(|bytes| FrameHeader::parse(&mut io::Cursor::new(bytes)));
        let Some(Ok(Some((header, length)))) = header else { return Err(ReadError::Protocol) };
        // Tells a message over the limit from the end of the connection before anything of it is read.
        match usize::try_from(length) {
            Ok(length) if length <= self.limit => Ok((header, length)),
            Ok(_) | Err(_) => Err(ReadError::Protocol),
        }
    }

    async fn control(
        &mut self,
        control: Control,
        length: usize,
        mask: [u8; 4],
    ) -> Result<Incoming, ReadError> {
        let mut payload = vec![0; length];
        self.stream.read_exact(&mut payload).await?;
        unmask(&mut payload, mask);
        match control {
            Control::Ping => Ok(Incoming::Ping(payload)),
            Control::Pong => Ok(Incoming::Pong),
            // A code has two bytes.
            Control::Close if length != 1 => Ok(Incoming::Close),
            Control::Close | Control::Reserved(_) => Err(ReadError::Protocol),
        }
    }

    /// Reads the payload of a data frame behind the `fragments` before it.
    async fn data(&mut self, fragments: Payload, length: usize, mask: [u8; 4]) -> Result<Payload, ReadError> {
        let before = fragments.bytes.len();
        let whole = before + length;
        if whole > self.limit {
            return Err(ReadError::Protocol);
        }
        let mut payload = if whole <= fragments.bytes.capacity() {
            fragments
        } else {
            // Twice the size, or a message in fragments of one byte would be copied for each of them.
            self.grown(fragments, whole.max(2 * before).min(self.limit)).await
        };
        let mut at = before;
        while at < whole {
            let end = whole.min(at + STEP);
            payload.bytes.resize(end, 0);
            let part = payload.bytes.get_mut(at..end).unwrap_or_default();
            self.stream.read_exact(part).await?;
            self.memory.moved(part.len());
            at = end;
        }
        unmask(payload.bytes.get_mut(before..).unwrap_or_default(), mask);
        Ok(payload)
    }

    async fn allocate(&self, capacity: usize) -> Payload {
        let reserved = self.memory.reserve(capacity).await;
        Payload { bytes: Vec::with_capacity(capacity), reserved }
    }

    async fn grown(&self, smaller: Payload, capacity: usize) -> Payload {
        let mut larger = self.allocate(capacity).await;
        larger.bytes.extend_from_slice(&smaller.bytes);
        larger
    }
}

/// Eight bytes at a time: this crate is built for size, so the compiler does not do that by itself.
fn unmask(bytes: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = bytes.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    rest.iter_mut().zip(mask.into_iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::MemoryPool;

    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    fn frame(is_final: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader { is_final, opcode, mask: Some(MASK), ..FrameHeader::default() };
        let mut bytes = Vec::new();
        header.format(payload.len() as u64, &mut bytes).unwrap();
        let at = bytes.len();
        bytes.extend_from_slice(payload);
        unmask(&mut bytes[at..], MASK);
        bytes
    }

    fn binary(is_final: bool, payload: &[u8]) -> Vec<u8> {
        frame(is_final, OpCode::Data(Data::Binary), payload)
    }

    fn more(is_final: bool, payload: &[u8]) -> Vec<u8> {
        frame(is_final, OpCode::Data(Data::Continue), payload)
    }

    fn ping(payload: &[u8]) -> Vec<u8> {
        frame(true, OpCode::Control(Control::Ping), payload)
    }

    /// What `bytes` are read as, up to the first error.
    fn read(bytes: &[u8]) -> (Vec<String>, ReadError) {
        read_with(bytes, |bytes, pool| FrameReader::new(bytes, pool.session()))
    }

    /// As [`read`], of a stream.
    fn read_stream(bytes: &[u8]) -> (Vec<String>, ReadError) {
        read_with(bytes, |bytes, pool| FrameReader::of_stream(bytes, pool.stream()))
    }

    fn read_with(
        bytes: &[u8],
        reader: impl for<'b> Fn(&'b [u8], &Arc<MemoryPool>) -> FrameReader<&'b [u8]>,
    ) -> (Vec<String>, ReadError) {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
            let pool = MemoryPool::new(64 << 20, 1, 0);
            let mut reader = reader(bytes, &pool);
            let mut all = Vec::new();
            loop {
                match reader.next().await {
                    Ok(Incoming::Message(payload)) => {
                        let bytes = &payload.bytes;
                        let shown =
                            bytes.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
                        all.push(format!("message {} {shown}", bytes.len()));
                    }
                    Ok(Incoming::Ping(payload)) => all.push(format!("ping {}", payload.len())),
                    Ok(Incoming::Pong) => all.push("pong".to_owned()),
                    Ok(Incoming::Close) => all.push("close".to_owned()),
                    Err(error) => break (all, error),
                }
            }
        })
    }

    #[test]
    fn messages_and_fragments_are_read() {
        let long = vec![0x5a; 70_000];
        let bytes = [
            binary(true, &[1, 2, 3, 4, 5]),
            binary(true, &[]),
            binary(false, &[6]),
            ping(&[9; 125]),
            more(false, &[]),
            more(false, &[7]),
            more(true, &long),
            frame(true, OpCode::Control(Control::Pong), &[]),
            binary(true, &vec![1; MAX_FRAME]),
            frame(true, OpCode::Control(Control::Close), &[3, 0xe8]),
        ]
        .concat();
        let (all, end) = read(&bytes);
        assert!(matches!(end, ReadError::Broken));
        assert_eq!(
            all,
            [
                "message 5 0102030405",
                "message 0 ",
                "ping 125",
                "message 70002 06075a5a5a5a5a5a",
                "pong",
                "message 1048576 0101010101010101",
                "close"
            ]
        );
    }

    #[test]
    fn a_violation_of_the_rfc_is_an_error() {
        let unmasked = vec![0x82, 1, 0];
        let reserved_bit = [&[0xc2][..], &binary(true, &[1])[1..]].concat();
        let too_long = [&[0x82, 0xff][..], &(MAX_FRAME as u64 + 1).to_be_bytes(), &MASK].concat();
        let huge = [&[0x82, 0xff][..], &u64::MAX.to_be_bytes(), &MASK].concat();
        for (what, bytes) in [
            ("text", frame(true, OpCode::Data(Data::Text), b"a")),
            ("a continuation of nothing", more(true, &[1])),
            ("a message within another", [binary(false, &[1]), binary(true, &[2])].concat()),
            ("an unmasked frame", unmasked),
            ("a reserved bit", reserved_bit),
            ("a reserved opcode", [&[0x83][..], &binary(true, &[1])[1..]].concat()),
            ("a reserved control opcode", [&[0x8b][..], &binary(true, &[1])[1..]].concat()),
            ("a long ping", ping(&[0; 126])),
            ("a ping in fragments", frame(false, OpCode::Control(Control::Ping), &[])),
            ("half a close code", frame(true, OpCode::Control(Control::Close), &[3])),
            ("a frame over the limit", too_long),
            ("a frame of the highest length", huge),
            ("fragments over the limit", [binary(false, &vec![0; MAX_FRAME]), more(true, &[1])].concat()),
        ] {
            let (all, end) = read(&bytes);
            assert!(all.is_empty() && matches!(end, ReadError::Protocol), "{what}: {all:?}");
        }
        for end in 1..8 {
            assert!(matches!(read(&binary(true, &[1, 2, 3])[..end]).1, ReadError::Broken));
        }
    }

    #[test]
    fn messages_of_a_stream_are_shorter() {
        let longest = vec![0x5a; MAX_STREAM_FRAME];
        let in_fragments: Vec<u8> = longest[1..].iter().flat_map(|&byte| more(false, &[byte])).collect();
        let bytes = [binary(true, &longest), binary(false, &[1]), in_fragments, more(true, &[])].concat();
        let (all, end) = read_stream(&bytes);
        assert!(matches!(end, ReadError::Broken));
        assert_eq!(all, ["message 16390 5a5a5a5a5a5a5a5a", "message 16390 015a5a5a5a5a5a5a"]);
        for bytes in [
            binary(true, &[&longest[..], &[1]].concat()),
            [binary(false, &longest), more(true, &[1])].concat(),
            [binary(false, &[1]), more(true, &longest)].concat(),
        ] {
            let (all, end) = read_stream(&bytes);
            assert!(all.is_empty() && matches!(end, ReadError::Protocol), "{all:?}");
        }
    }
}
