//! A client in line: it gets `waiting` until it has a place, and leaves the line when its connection ends.
//!
//! The client may send requests already. They are read into a small buffer, because the end of a connection shows only
//! behind what was sent before it, and belong to the session afterwards.

use std::io::{self, Cursor};
use std::time::Duration;

use proto::HostMessage;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use super::registry::{Attachment, Ticket};

/// How long a client waits at most.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Time between two `waiting` messages.
const REPORT_INTERVAL: Duration = Duration::from_secs(5);
/// Time for a client to read a message of a few bytes, or the frame that ends its connection.
const READ_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes of a client in line that are read ahead. 1,024 clients make 4 MB of it.
const MAX_READ_AHEAD: usize = 4 << 10;

/// Why a client in line got no place.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoPlace {
    /// It closed the connection, or reads nothing.
    Left,
    /// It waited for [`LONGEST_WAIT`], or a redial needed its position in the line.
    Busy,
}

/// Waits until the client has a place. Returns it, and what the client has sent meanwhile.
///
/// # Errors
/// [`NoPlace`]. Then the caller closes the connection.
pub(crate) async fn wait_for_place(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    mut ticket: Ticket,
) -> Result<(Attachment, Vec<u8>), NoPlace> {
    let begun = Instant::now();
    let mut report_at = begun;
    let mut sent = Vec::new();
    loop {
        tokio::select! {
            biased;
            place = ticket.place() => return place.map(|attachment| (attachment, sent)).ok_or(NoPlace::Busy),
            () = sleep_until(begun + LONGEST_WAIT) => return Err(NoPlace::Busy),
            () = sleep_until(report_at) => {
                let message = frame(OpCode::Data(Data::Binary), &HostMessage::Waiting.encode());
                write(stream, &message).await.map_err(|_| NoPlace::Left)?;
                report_at += REPORT_INTERVAL;
            }
            read = read_ahead(stream, &mut sent), if sent.len() < MAX_READ_AHEAD => {
                if !read.is_ok_and(|length| length > 0) || closes(&sent) {
                    return Err(NoPlace::Left);
                }
            }
        }
    }
}

/// Sends a close frame, and waits until the client has read it.
pub(crate) async fn close(mut stream: impl AsyncRead + AsyncWrite + Unpin, code: CloseCode) {
    let exchange = async {
        write(&mut stream, &frame(OpCode::Control(Control::Close), &u16::from(code).to_be_bytes())).await?;
        stream.shutdown().await?;
        while stream.read(&mut [0; 1024]).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(READ_TIMEOUT, exchange).await;
}

async fn write(stream: &mut (impl AsyncWrite + Unpin), frame: &[u8]) -> io::Result<()> {
    let write = async {
        stream.write_all(frame).await?;
        stream.flush().await
    };
    timeout(READ_TIMEOUT, write).await?
}

/// Cancel safe.
async fn read_ahead(stream: &mut (impl AsyncRead + Unpin), sent: &mut Vec<u8>) -> io::Result<usize> {
    let mut buffer = [0; 1024];
    let room = buffer.len().min(MAX_READ_AHEAD - sent.len());
    let length = stream.read(buffer.get_mut(..room).unwrap_or_default()).await?;
    sent.extend_from_slice(buffer.get(..length).unwrap_or_default());
    Ok(length)
}

fn frame(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // Writing to a Vec cannot fail.
    let _ = FrameHeader { opcode, ..FrameHeader::default() }.format(payload.len() as u64, &mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// Whether there is a close frame in what a client has sent. What is not a frame is left to the session's reader.
fn closes(sent: &[u8]) -> bool {
    let mut frames = Cursor::new(sent);
    while let Ok(Some((header, length))) = FrameHeader::parse(&mut frames) {
        if header.opcode == OpCode::Control(Control::Close) {
            return true;
        }
        frames.set_position(frames.position().saturating_add(length));
    }
    false
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proto::{Hello, Purpose, SessionId};
    use tokio::io::{DuplexStream, duplex};

    use super::*;
    use crate::limits::BridgeLimits;
    use crate::session::registry::{Entry, SessionRegistry};

    const WAITING: [u8; 5] = [0x82, 3, 0x81, 0x18, 0x19];

    fn hello(id: u8) -> Hello {
        Hello { session: SessionId([id; 16]), ..Hello::without_session(Purpose::Session) }
    }

    /// Sessions with one place, which is taken, and a client in line.
    fn full() -> (Attachment, Ticket) {
        let limits = BridgeLimits { sessions: 1, waiting: 9, ..BridgeLimits::default() };
        let sessions = Arc::new(SessionRegistry::new(None, &limits));
        let Ok(Entry::Admitted(place)) = sessions.admit(&hello(1)) else { panic!("no place") };
        let Ok(Entry::InLine(ticket)) = sessions.admit(&hello(2)) else { panic!("not in line") };
        (place, ticket)
    }

    fn masked(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        let header = FrameHeader { opcode, mask: Some([0; 4]), ..FrameHeader::default() };
        let mut bytes = Vec::new();
        header.format(payload.len() as u64, &mut bytes).unwrap();
        [&bytes, payload].concat()
    }

    fn pair() -> (DuplexStream, DuplexStream) {
        duplex(64 << 10)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_in_line_hears_so_every_5_s_and_waits_60_s() {
        let (_place, ticket) = full();
        let (mut client, mut bridge) = pair();
        let begun = Instant::now();
        assert_eq!(wait_for_place(&mut bridge, ticket).await.err(), Some(NoPlace::Busy));
        assert_eq!(begun.elapsed().as_secs(), 60);
        close(bridge, CloseCode::Again).await;
        let mut received = Vec::new();
        client.read_to_end(&mut received).await.unwrap();
        let close = [0x88, 2, 0x03, 0xf5];
        assert_eq!(received, [WAITING.repeat(12), close.to_vec()].concat());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_ends_the_wait_and_nothing_that_was_sent_is_lost() {
        let (place, ticket) = full();
        let (mut client, mut bridge) = pair();
        let request = masked(OpCode::Data(Data::Binary), &[7; 10_000]);
        client.write_all(&request).await.unwrap();
        let waiting = async {
            let (_, sent) = wait_for_place(&mut bridge, ticket).await.unwrap();
            let mut rest = vec![0; request.len() - sent.len()];
            bridge.read_exact(&mut rest).await.unwrap();
            assert_eq!(sent.len(), MAX_READ_AHEAD);
            assert_eq!([sent, rest].concat(), request);
        };
        let leaving = async {
            let mut first = WAITING;
            client.read_exact(&mut first).await.unwrap();
            assert_eq!(first, WAITING);
            drop(place);
        };
        tokio::join!(waiting, leaving);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_closes_leaves_the_line_at_once() {
        let get = masked(OpCode::Data(Data::Binary), b"get");
        let close = masked(OpCode::Control(Control::Close), &[0x03, 0xe8]);
        for (sent, drops) in [(Vec::new(), true), (get.clone(), true), ([get, close].concat(), false)] {
            let (_place, ticket) = full();
            let (mut client, mut bridge) = pair();
            client.write_all(&sent).await.unwrap();
            if drops {
                client.shutdown().await.unwrap();
            }
            let begun = Instant::now();
            assert_eq!(wait_for_place(&mut bridge, ticket).await.err(), Some(NoPlace::Left));
            assert_eq!(begun.elapsed(), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_leaves_the_line() {
        let (_place, ticket) = full();
        let (_client, mut bridge) = duplex(WAITING.len() + 1);
        assert_eq!(wait_for_place(&mut bridge, ticket).await.err(), Some(NoPlace::Left));
    }
}
