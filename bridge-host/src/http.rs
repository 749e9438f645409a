//! HTTP requests of clients to which this host adds a credential.

use std::net::SocketAddr;

use proto::SessionId;

pub(crate) mod stream;
#[expect(dead_code, reason = "the gateway uses all of it")]
mod stream_io;

use stream_io::{AnswerStream, RequestStream, StreamEnd, StreamInput};

/// Who sends requests on a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requester {
    pub(crate) session: SessionId,
    pub(crate) peer: SocketAddr,
}

/// What serves the streams of all sessions.
#[derive(Default)]
pub(crate) struct Gateway;

/// Serves one stream. Without rules, which are to come, it is never reached.
async fn serve(
    _gateway: &Gateway,
    requester: &Requester,
    mut input: impl RequestStream,
    mut output: impl AnswerStream,
) -> StreamEnd {
    loop {
        match input.next().await {
            Err(end) => return end,
            Ok(StreamInput::Connect(origin)) => {
                tracing::debug!("{} {}: {origin}", requester.peer, requester.session)
            }
            Ok(StreamInput::Bytes(bytes)) => {
                tracing::debug!("{} bytes", bytes.len());
                let answered =
                    output.bytes(b"HTTP/1.1 501 Not Implemented\r\nConnection: close\r\n\r\n").await;
                return match answered.and(output.finished().await) {
                    Ok(()) => StreamEnd::Finished,
                    Err(end) => end,
                };
            }
        }
    }
}
