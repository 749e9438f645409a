//! The answer of a server, on its way to the tool.

use std::time::Duration;

use http_message::{AnswerHead, BodyLength, BodyReader, CHUNK_END, LAST_CHUNK, Version, chunk_head};
use http_policy::{Answered, Echo, RequestKind, Rule, Rules, lfs};
use tokio::io::AsyncRead;
use tokio::time::{Instant, sleep_until};

use super::answer::Connection;
use super::fault::ServerFault;
use super::feed::Progress;
use super::keep::server_keeps;
use super::reader::{AnswerReader, More};
use super::record::Granted;
use super::session::HttpSession;
use super::stream_io::{AnswerStream, StreamEnd};
use super::tool::ToolOutput;

/// What a tool waits for that has sent `Expect: 100-continue`.
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// Time for a server to begin its answer once it has the request. Registries that fetch from another one take minutes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);
/// A tool that waits for `100 Continue` gets it after this time, if the server says nothing: some never do. curl itself waits
/// for 1 s.
const CONTINUE_TIMEOUT: Duration = Duration::from_millis(800);
/// Most interim answers (1xx) to one request.
const MAX_INTERIM: u32 = 32;
/// Answers after which a server may have lost its place in the connection, or is the wrong one.
const CLOSING_STATUS: [u16; 3] = [400, 408, 421];

/// What is asked, as far as the answer depends on it.
pub(super) struct Asked<'a> {
    pub(super) rules: &'a Rules,
    pub(super) rule: &'a Rule,
    pub(super) method: &'a str,
    pub(super) kind: RequestKind,
    /// Finds the credential that was added.
    pub(super) echo: Echo,
    /// The version that the tool speaks.
    pub(super) version: Version,
    /// Whether the tool waits for `100 Continue`.
    pub(super) expects_continue: bool,
    /// Whether the tool's connection may stay open.
    pub(super) tool_keeps: bool,
}

/// What became of an answer.
#[derive(Debug)]
pub(super) enum Relayed {
    /// The tool has all of it.
    Complete {
        tool: Connection,
        /// For how long the server keeps the connection, if nothing stands against its use for another request.
        server: Option<Option<Duration>>,
    },
    /// The tool has nothing of it, and must not get it.
    Refused { reason: &'static str, text: String },
    /// The tool has nothing of it.
    Failed(ServerFault),
    /// The tool has a part of it.
    Cut(ServerFault),
}

/// How a body goes on to the tool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// With its length in the head, or ended by close.
    Bare,
    Chunked,
}

/// The way of one answer.
pub(super) struct Relay<'a, 'g, R, O> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) server: AnswerReader<R>,
    pub(super) output: &'a mut ToolOutput<O>,
    pub(super) progress: &'a Progress,
    pub(super) session: &'a HttpSession,
    pub(super) granted: &'a mut Granted<'g>,
}

impl<R: AsyncRead + Unpin, O: AnswerStream> Relay<'_, '_, R, O> {
    /// Passes the answer on as it arrives.
    ///
    /// # Errors
    /// How the stream ended.
    pub(super) async fn run(mut self) -> Result<Relayed, StreamEnd> {
        let head = match self.head().await? {
            Ok(head) => head,
            Err(fault) => return Ok(Relayed::Failed(fault)),
        };
        self.granted.status = Some(head.status);
        let length = match head.body(self.asked.method) {
            Ok(length) => length,
            Err(fault) => return Ok(Relayed::Failed(fault.into())),
        };
        let tool_has_sent_all = self.progress.tool_has_sent_all();
        if !tool_has_sent_all && head.status >= 300 {
            // RFC 9112, 9.5. What is sent on would only make the server's system reset the connection, answer and all.
            self.progress.stop();
        }
        let is_early = !self.progress.server_has_all();
        let server = server_keeps(&head).filter(|_| {
            !is_early && !CLOSING_STATUS.contains(&head.status) && length != BodyLength::UntilClose
        });
        let status = head.status;
        match self.asked.rule.answer(head, &self.asked.echo) {
            Answered::Refuse { reason, text } => Ok(Relayed::Refused { reason, text }),
            Answered::Forward { head, signed_url, is_plain } => {
                if let Some(url) = signed_url.filter(|_| self.session.may_tell_signed_url()) {
                    self.output.stream.signed_url(&url).await?;
                }
                let tool = if tool_has_sent_all && self.asked.tool_keeps {
                    Connection::Open
                } else {
                    Connection::Close
                };
                if self.asked.kind == RequestKind::LfsBatch && (200..300).contains(&status) {
                    return self.batch(head, length, (tool, server), is_plain).await;
                }
                self.forward(head, length, (tool, server), is_plain).await
            }
        }
    }

    /// The head of the final answer. Interim ones go no further, but for a `100 Continue` that the tool waits for.
    async fn head(&mut self) -> Result<Result<AnswerHead, ServerFault>, StreamEnd> {
        let begun = Instant::now();
        let mut waits_for_continue = self.asked.expects_continue;
        let mut interim = 0;
        loop {
            let silent_until = self.progress.last_sent() + ANSWER_TIMEOUT;
            let head = tokio::select! {
                head = self.server.head() => head,
                () = sleep_until(begun + CONTINUE_TIMEOUT), if waits_for_continue => {
                    waits_for_continue = false;
                    self.say_continue().await?;
                    continue;
                }
                () = sleep_until(silent_until) => {
                    if !self.progress.tool_has_sent_all() || self.progress.last_sent() + ANSWER_TIMEOUT > silent_until {
                        // The body is still on its way, with time limits of its own.
                        tokio::time::sleep(Duration::from_secs(1)).await;
                        continue;
                    }
                    return Ok(Err(ServerFault::Silent(ANSWER_TIMEOUT.as_secs())));
                }
            };
            match head {
                Ok(AnswerHead { status: 101, .. }) | Ok(AnswerHead { status: 200.., .. }) | Err(_) => {
                    return Ok(head);
                }
                Ok(AnswerHead { status, .. }) => {
                    interim += 1;
                    if interim > MAX_INTERIM {
                        return Ok(Err(ServerFault::Interim(MAX_INTERIM)));
                    }
                    if status == 100 && std::mem::take(&mut waits_for_continue) {
                        self.say_continue().await?;
                    }
                }
            }
        }
    }

    async fn say_continue(&mut self) -> Result<(), StreamEnd> {
        self.output.push(CONTINUE).await?;
        self.output.flush().await
    }

    /// Sends `head`, with the fields of our own connection, and then the body.
    async fn forward(
        mut self,
        mut head: AnswerHead,
        length: BodyLength,
        (mut tool, server): (Connection, Option<Option<Duration>>),
        is_plain: bool,
    ) -> Result<Relayed, StreamEnd> {
        let mut framing = Framing::Bare;
        match length {
            BodyLength::None if head.status == 204 => head.headers.remove("Content-Length"),
            BodyLength::None | BodyLength::Known(_) => {}
            BodyLength::Chunked | BodyLength::UntilClose => {
                head.headers.remove("Content-Length");
                match self.asked.version {
                    Version::Http11 => {
                        head.headers.push("Transfer-Encoding", "chunked");
                        framing = Framing::Chunked;
                    }
                    // The end of the connection is the end of the body.
                    Version::Http10 => tool = Connection::Close,
                }
            }
        }
        self.send_head(head, tool).await?;
        let mut echo = if is_plain { self.asked.echo.fresh() } else { Echo::none() };
        let mut reader = BodyReader::new(length);
        let mut ended = length.is_empty();
        while !ended {
            let mut chunk = Vec::new();
            let mut consumed = 0;
            loop {
                let part = match reader.read(self.server.buffer().get(consumed..).unwrap_or_default()) {
                    Ok(part) => part,
                    Err(fault) => return self.cut(fault.into()).await,
                };
                consumed += part.consumed;
                ended = part.end;
                let bytes = echo.overwrite(part.data);
                self.granted.received += bytes.len() as u64;
                match framing {
                    Framing::Bare => self.output.push(&bytes).await?,
                    Framing::Chunked => chunk.extend_from_slice(&bytes),
                }
                if ended || part.consumed == 0 {
                    break;
                }
            }
            self.server.consume(consumed);
            self.push_chunk(&chunk).await?;
            if ended {
                break;
            }
            let more = match self.server.more_now() {
                Some(more) => more,
                None => {
                    self.output.flush().await?;
                    self.server.more().await
                }
            };
            match more {
                Ok(More::Bytes) => {}
                Ok(More::End) if reader.may_close() => ended = true,
                Ok(More::End) => return self.cut(ServerFault::Cut).await,
                Err(fault) => return self.cut(fault).await,
            }
        }
        let rest = echo.finish();
        self.granted.received += rest.len() as u64;
        match framing {
            Framing::Bare => self.output.push(&rest).await?,
            Framing::Chunked => {
                self.push_chunk(&rest).await?;
                self.output.push(LAST_CHUNK).await?;
            }
        }
        self.output.flush().await?;
        let server = server.filter(|_| self.server.buffer().is_empty());
        Ok(Relayed::Complete { tool, server })
    }

    /// Sends what there is: a tool can continue a download where it was cut.
    async fn cut(self, fault: ServerFault) -> Result<Relayed, StreamEnd> {
        self.output.flush().await?;
        Ok(Relayed::Cut(fault))
    }

    /// Sends one chunk, unless it is empty: that would be the last one.
    async fn push_chunk(&mut self, chunk: &[u8]) -> Result<(), StreamEnd> {
        if chunk.is_empty() {
            return Ok(());
        }
        self.output.push(&chunk_head(chunk.len())).await?;
        self.output.push(chunk).await?;
        self.output.push(CHUNK_END).await
    }

    async fn send_head(&mut self, mut head: AnswerHead, tool: Connection) -> Result<(), StreamEnd> {
        head.version = Version::Http11;
        if tool == Connection::Close {
            head.headers.push("Connection", "close");
        }
        self.output.push(&head.write()).await
    }

    /// The answer to a batch call of git LFS: parsed whole, and written anew.
    async fn batch(
        mut self,
        mut head: AnswerHead,
        length: BodyLength,
        (tool, server): (Connection, Option<Option<Duration>>),
        is_plain: bool,
    ) -> Result<Relayed, StreamEnd> {
        if !is_plain {
            return Ok(Relayed::Failed(ServerFault::Encoded));
        }
        let body = match self.whole(length).await {
            Ok(body) => body,
            Err(fault) => return Ok(Relayed::Failed(fault)),
        };
        let body = match lfs::answer(self.asked.rules, &self.asked.echo, &body) {
            Ok(body) => body,
            Err(error) => {
                return Ok(Relayed::Refused {
                    reason: "lfs",
                    text: format!("the answer to the batch call of git LFS cannot go on: {error}"),
                });
            }
        };
        head.headers.remove("Content-Length");
        head.headers.push("Content-Length", body.len().to_string());
        self.send_head(head, tool).await?;
        self.granted.received += body.len() as u64;
        self.output.push(&body).await?;
        self.output.flush().await?;
        let server = server.filter(|_| self.server.buffer().is_empty());
        Ok(Relayed::Complete { tool, server })
    }

    /// All of a body; one byte more than is allowed if it is too large.
    async fn whole(&mut self, length: BodyLength) -> Result<Vec<u8>, ServerFault> {
        let mut reader = BodyReader::new(length);
        let mut body = Vec::new();
        while body.len() <= lfs::MAX_BATCH_ANSWER {
            let part = reader.read(self.server.buffer())?;
            body.extend_from_slice(part.data);
            let (consumed, end) = (part.consumed, part.end);
            self.server.consume(consumed);
            if end {
                break;
            }
            if consumed == 0 {
                match self.server.more().await? {
                    More::Bytes => {}
                    More::End if reader.may_close() => break,
                    More::End => return Err(ServerFault::Cut),
                }
            }
        }
        Ok(body)
    }
}
