//! The requests of one stream, one after the other.

use std::sync::Arc;
use std::time::Duration;

use http_message::RequestHead;
use proto::http::Origin;
use tokio::time::timeout;

use super::answer::Connection;
use super::exchange::Exchange;
use super::gateway::Gateway;
use super::record::Requester;
use super::session::HttpSession;
use super::stream_io::{AnswerStream, RequestStream, StreamEnd};
use super::tool::{ToolInput, ToolOutput};

/// Time for the rest of a request's head, once its first byte is there.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Serves the requests of one stream, one after the other, until it ends.
pub(crate) async fn serve(
    gateway: &Gateway,
    requester: &Requester,
    input: impl RequestStream,
    output: impl AnswerStream,
) -> StreamEnd {
    let mut stream = Stream {
        gateway,
        requester,
        session: gateway.sessions.join(requester.session),
        input: ToolInput::new(input),
        output: ToolOutput::new(output),
    };
    match stream.run().await {
        Ok(()) => match stream.output.stream.finished().await {
            Ok(()) => StreamEnd::Finished,
            Err(end) => end,
        },
        Err(end) => end,
    }
}

struct Stream<'a, I, O> {
    gateway: &'a Gateway,
    requester: &'a Requester,
    session: Arc<HttpSession>,
    input: ToolInput<I>,
    output: ToolOutput<O>,
}

/// What comes next on a stream.
enum Next {
    Request(RequestHead),
    Unreadable(http_message::MessageError),
}

impl<I: RequestStream, O: AnswerStream> Stream<'_, I, O> {
    /// Serves requests until a tool's connection has to end with its answer.
    async fn run(&mut self) -> Result<(), StreamEnd> {
        let mut origin = None;
        loop {
            let (of, next) = self.next(origin).await?;
            let mut exchange = Exchange {
                gateway: self.gateway,
                requester: self.requester,
                session: &self.session,
                input: &mut self.input,
                output: &mut self.output,
            };
            match next {
                Next::Unreadable(error) => return exchange.refuse_unreadable(&of, error).await,
                // Boxed: its state is large, and a stream is idle for most of its life.
                Next::Request(head) => match Box::pin(exchange.run(&of, &head)).await? {
                    Connection::Close => return Ok(()),
                    Connection::Open => {}
                },
            }
            if self.input.buffer.is_empty() {
                self.output.stream.idle(self.input.received).await?;
            }
            origin = Some(of);
        }
    }

    /// Waits for the head of the next request, of the tool's connection to `origin` or a new one.
    async fn next(&mut self, mut origin: Option<Origin>) -> Result<(Origin, Next), StreamEnd> {
        while self.input.buffer.is_empty() {
            self.input.rest();
            self.output.rest();
            // For as long as the tool, or the client, wants.
            if let Some(connected) = self.input.next_request().await? {
                origin = Some(connected);
            }
        }
        // A stream begins with the origin.
        let origin = origin.ok_or(StreamEnd::ProtocolError)?;
        let head = async {
            loop {
                match RequestHead::parse(&self.input.buffer) {
                    Ok(Some((head, length))) => {
                        self.input.consume(length);
                        return Ok(Next::Request(head));
                    }
                    Ok(None) => self.input.more().await?,
                    Err(error) => return Ok(Next::Unreadable(error)),
                }
            }
        };
        let next = timeout(HEAD_TIMEOUT, head).await.unwrap_or(Err(StreamEnd::Cut))?;
        Ok((origin, next))
    }
}
