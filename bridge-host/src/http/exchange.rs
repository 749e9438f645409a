//! One request: judged, recorded, sent to its server with the credential, and answered.

use http_message::{BodyLength, RequestHead};
use http_policy::{Echo, Permitted, Refusal, RequestKind, Rule, Verdict, lfs};
use proto::Secret;
use proto::http::Origin;
use tokio::io::split;
use tokio::time::timeout;

use super::answer::{Connection, LocalAnswer};
use super::feed::{Progress, RequestBody, discard, feed};
use super::gateway::{Gateway, Notice};
use super::keep::tool_keeps;
use super::reader::AnswerReader;
use super::record::{self, Granted, Named, Requester};
use super::relay::{Asked, Relay, Relayed};
use super::session::HttpSession;
use super::stream_io::{AnswerStream, RequestStream, StreamEnd};
use super::tool::{ToolInput, ToolOutput};
use super::upstream::connect;
use super::upstream::pool::Repeatable;
use super::upstream::wire::Wire;

/// A tool that gets an answer while it sends its body may read it only when it has sent all: for this time the rest is read,
/// as nginx does (`lingering_time`). A connection that is closed at once is reset, and the answer lost.
const LINGER: std::time::Duration = std::time::Duration::from_secs(30);

/// What one request needs.
pub(super) struct Exchange<'a, I, O> {
    pub(super) gateway: &'a Gateway,
    pub(super) requester: &'a Requester,
    pub(super) session: &'a HttpSession,
    pub(super) input: &'a mut ToolInput<I>,
    pub(super) output: &'a mut ToolOutput<O>,
}

/// A request that is permitted and recorded, ready to be sent.
struct Outgoing<'a> {
    index: usize,
    rule: &'a Rule,
    method: String,
    kind: RequestKind,
    /// With the credential; for a batch call of git LFS, with the body too.
    head: Secret,
    body: RequestBody,
    repeatable: Repeatable,
    echo: Echo,
    expects_continue: bool,
}

impl<I: RequestStream, O: AnswerStream> Exchange<'_, I, O> {
    /// Serves the request with this head, which was taken from the input. Returns whether the tool's connection stays open;
    /// all that the tool gets was sent.
    ///
    /// # Errors
    /// How the stream ended.
    pub(super) async fn run(&mut self, origin: &Origin, head: &RequestHead) -> Result<Connection, StreamEnd> {
        let number = self.gateway.next_number();
        let named = Named::new(origin, Some(head));
        // What cannot be framed is refused, and the connection ends with it.
        let mut body = RequestBody::new(head.body().unwrap_or(BodyLength::Chunked));
        let keeps =
            if tool_keeps(head) && head.body().is_ok() { Connection::Open } else { Connection::Close };
        let permitted = match self.gateway.credentials.rules().judge(origin, head) {
            Verdict::Forward(permitted) => permitted,
            Verdict::Refuse(refusal) => {
                self.record_refused(number, &named, refusal.rule, refusal.reason);
                return self.refuse(&refusal, &head.method, keeps, &mut body).await;
            }
        };
        let index = permitted.rule;
        let Some(rule) = self.gateway.credentials.rules().get(index) else {
            return Err(StreamEnd::Cut);
        };
        self.forward(rule, permitted, (number, &named), (keeps, head)).await
    }

    /// Says why a request that could not be read is refused. The tool's connection ends with it.
    ///
    /// # Errors
    /// How the stream ended.
    pub(super) async fn refuse_unreadable(
        &mut self,
        origin: &Origin,
        error: http_message::MessageError,
    ) -> Result<(), StreamEnd> {
        let number = self.gateway.next_number();
        self.record_refused(number, &Named::new(origin, None), None, "malformed");
        let refusal = Refusal {
            rule: None,
            status: error.status(),
            reason: "malformed",
            text: format!("invalid request to {}: {error}", origin.short()),
        };
        // Nothing says where the request ends.
        let mut rest = RequestBody::new(BodyLength::None);
        self.refuse(&refusal, "GET", Connection::Close, &mut rest).await.map(drop)
    }

    fn record_refused(&self, number: u64, named: &Named, rule: Option<usize>, reason: &'static str) {
        let name = rule.and_then(|rule| self.gateway.name(rule));
        record::refused(&self.gateway.recorder, self.requester, number, (name, reason), named);
    }

    async fn refuse(
        &mut self,
        refusal: &Refusal,
        method: &str,
        keeps: Connection,
        body: &mut RequestBody,
    ) -> Result<Connection, StreamEnd> {
        self.tell(refusal.rule, refusal.reason, &refusal.text, Notice::Refused).await?;
        let answer = LocalAnswer { status: refusal.status, text: refusal.text.clone() };
        self.answer(&answer, method, keeps, body).await
    }

    /// Tells people on both sides, once under each rule and for each reason.
    async fn tell(
        &mut self,
        rule: Option<usize>,
        reason: &'static str,
        text: &str,
        notice: Notice,
    ) -> Result<(), StreamEnd> {
        self.gateway.notify(rule, notice, text);
        if self.session.is_first(rule, reason) {
            self.output.stream.refusal(text).await?;
        }
        Ok(())
    }

    /// Gives an answer of ours.
    async fn answer(
        &mut self,
        answer: &LocalAnswer,
        method: &str,
        keeps: Connection,
        body: &mut RequestBody,
    ) -> Result<Connection, StreamEnd> {
        // Of a body that is still to come nobody knows whether it will, if the tool waits for `100 Continue`.
        let connection = if body.has_ended() { keeps } else { Connection::Close };
        self.output.push(&answer.write(method, connection)).await?;
        self.output.flush().await?;
        self.linger(body).await?;
        Ok(connection)
    }

    /// Reads what the tool still sends of a body whose answer it has.
    async fn linger(&mut self, body: &mut RequestBody) -> Result<(), StreamEnd> {
        match timeout(LINGER, discard(self.input, body)).await {
            // Broken framing comes too late to matter: the connection ends.
            Ok(Ok(()) | Err(StreamEnd::Cut)) | Err(_) => Ok(()),
            Ok(Err(end)) => Err(end),
        }
    }

    async fn forward(
        &mut self,
        rule: &Rule,
        permitted: Permitted,
        (number, named): (u64, &Named),
        (keeps, head): (Connection, &RequestHead),
    ) -> Result<Connection, StreamEnd> {
        let index = permitted.rule;
        let mut body = RequestBody::new(head.body().unwrap_or(BodyLength::None));
        let gateway = self.gateway;
        self.while_tool_waits(gateway.pace.turn()).await?;
        let ready = self.while_tool_waits(gateway.credentials.credential(index)).await?;
        let ready = match ready {
            Ok(ready) => ready,
            Err(error) => {
                self.record_refused(number, named, Some(index), "credential");
                let text = format!("there is no credential for the rule {rule}: {}", error.for_client());
                return self.fail(index, "credential", text, &head.method, keeps, &mut body).await;
            }
        };
        let Ok(mut granted) = Granted::permit(
            &gateway.recorder,
            self.requester,
            number,
            gateway.name(index).unwrap_or_default(),
            named,
        )
        .inspect_err(|error| tracing::error!("cannot write an audit record: {error}")) else {
            let text = "the host cannot write its audit record, so no request leaves it".to_owned();
            return self.fail(index, "audit-failed", text, &head.method, keeps, &mut body).await;
        };
        let _batch = match permitted.body {
            RequestKind::Plain => None,
            RequestKind::LfsBatch => Some(self.while_tool_waits(gateway.batches.acquire()).await?),
        };
        let Permitted { head: mut outgoing, body: kind, expects_continue, .. } = permitted;
        let mut batch = Vec::new();
        if kind == RequestKind::LfsBatch {
            if expects_continue {
                self.output.push(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
                self.output.flush().await?;
            }
            match self.whole_batch(rule, &mut body).await? {
                Ok(written) => batch = written,
                Err(error) => {
                    granted.failed("lfs", false);
                    let refusal = Refusal {
                        rule: Some(index),
                        status: error.status(),
                        reason: "lfs",
                        text: format!("the batch call of git LFS under the rule {rule} is refused: {error}"),
                    };
                    return self.refuse(&refusal, &head.method, keeps, &mut body).await;
                }
            }
            granted.sent = batch.len() as u64;
            outgoing.headers.remove("Transfer-Encoding");
            outgoing.headers.remove("Content-Length");
            outgoing.headers.push("Content-Length", batch.len().to_string());
        } else if expects_continue {
            outgoing.headers.push("Expect", "100-continue");
        }
        let added = match rule.authorize(&mut outgoing, &ready.secret) {
            Ok(added) => added,
            Err(error) => {
                granted.failed("credential", false);
                let text = format!("the credential of the rule {rule} cannot be used: {error}");
                return self.fail(index, "credential", text, &head.method, keeps, &mut body).await;
            }
        };
        let is_repeatable = matches!(head.method.as_str(), "GET" | "HEAD") && body.has_ended();
        let outgoing = Outgoing {
            index,
            rule,
            method: head.method.clone(),
            kind,
            head: Secret::new([outgoing.write(), batch].concat()),
            body,
            repeatable: if is_repeatable { Repeatable::Yes } else { Repeatable::No },
            echo: if added { ready.echo.fresh() } else { Echo::none() },
            expects_continue: expects_continue && kind == RequestKind::Plain,
        };
        self.send(outgoing, granted, (keeps, head)).await
    }

    /// Answers 502, for a reason that is not the tool's.
    async fn fail(
        &mut self,
        rule: usize,
        reason: &'static str,
        text: String,
        method: &str,
        keeps: Connection,
        body: &mut RequestBody,
    ) -> Result<Connection, StreamEnd> {
        self.tell(Some(rule), reason, &text, Notice::Failed).await?;
        self.answer(&LocalAnswer::bad_gateway(text), method, keeps, body).await
    }

    /// The body of a batch call, read whole and written anew.
    async fn whole_batch(
        &mut self,
        rule: &Rule,
        body: &mut RequestBody,
    ) -> Result<Result<Vec<u8>, lfs::LfsError>, StreamEnd> {
        match body.whole(self.input, lfs::MAX_BATCH_REQUEST).await? {
            Some(bytes) => Ok(lfs::request(rule, &bytes)),
            None => Ok(Err(lfs::LfsError::LargeRequest)),
        }
    }

    /// Runs `work` while the tool has only to wait for its answer, and notices if it does not.
    async fn while_tool_waits<T>(&mut self, work: impl Future<Output = T>) -> Result<T, StreamEnd> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            end = self.input.read_ahead() => Err(end),
        }
    }

    /// Sends the request, a second time if a kept connection turns out to be closed, and passes the answer on.
    async fn send(
        &mut self,
        mut outgoing: Outgoing<'_>,
        mut granted: Granted<'_>,
        (keeps, head): (Connection, &RequestHead),
    ) -> Result<Connection, StreamEnd> {
        let gateway = self.gateway;
        let Some(server) = gateway.credentials.server(outgoing.index) else { return Err(StreamEnd::Cut) };
        let mut kept = self.session.pool.take(outgoing.index, outgoing.repeatable).await;
        loop {
            let is_kept = kept.is_some();
            let mut wire = match kept.take() {
                Some(wire) => wire,
                None => {
                    let opening = Box::pin(connect::open(server, &gateway.proxies));
                    match self.while_tool_waits(opening).await? {
                        Ok(wire) => wire,
                        Err(error) => {
                            granted.failed(error.word(), false);
                            let text =
                                format!("cannot reach {} from the host: {error}", server.origin.short());
                            let (rule, word) = (outgoing.index, error.word());
                            return self
                                .fail(rule, word, text, &outgoing.method, keeps, &mut outgoing.body)
                                .await;
                        }
                    }
                }
            };
            let progress = Progress::new(&outgoing.body);
            let relayed =
                self.exchange(&mut outgoing, &mut wire, &progress, &mut granted, (keeps, head)).await?;
            match relayed {
                Relayed::Complete { tool, server } => {
                    granted.completed();
                    drop(granted);
                    if let Some(keeps) = server {
                        self.session.pool.put(outgoing.index, wire, keeps);
                    }
                    if tool == Connection::Close {
                        self.linger(&mut outgoing.body).await?;
                    }
                    return Ok(tool);
                }
                Relayed::Failed(fault)
                    if is_kept
                        && fault == super::fault::ServerFault::NoAnswer
                        && outgoing.repeatable == Repeatable::Yes => {}
                Relayed::Failed(fault) => {
                    granted.failed(fault.word(), false);
                    let text = format!("{} gave no answer that can go on: {fault}", server.origin.short());
                    let (rule, word) = (outgoing.index, fault.word());
                    return self.fail(rule, word, text, &outgoing.method, keeps, &mut outgoing.body).await;
                }
                Relayed::Refused { reason, text } => {
                    granted.failed(reason, false);
                    let rule = outgoing.index;
                    return self.fail(rule, reason, text, &outgoing.method, keeps, &mut outgoing.body).await;
                }
                Relayed::Cut(fault) => {
                    granted.failed(fault.word(), true);
                    return Err(StreamEnd::Cut);
                }
            }
        }
    }

    /// Runs both directions until the answer is complete.
    async fn exchange(
        &mut self,
        outgoing: &mut Outgoing<'_>,
        wire: &mut Wire,
        progress: &Progress,
        granted: &mut Granted<'_>,
        (keeps, head): (Connection, &RequestHead),
    ) -> Result<Relayed, StreamEnd> {
        let (read, write) = split(wire);
        let asked = Asked {
            rules: self.gateway.credentials.rules(),
            rule: outgoing.rule,
            method: &outgoing.method,
            kind: outgoing.kind,
            echo: outgoing.echo.fresh(),
            version: head.version,
            expects_continue: outgoing.expects_continue,
            tool_keeps: keeps == Connection::Open,
        };
        let already_sent = granted.sent;
        let relay = Relay {
            asked: &asked,
            server: AnswerReader::new(read),
            output: self.output,
            progress,
            session: self.session,
            granted,
        };
        let relayed = tokio::select! {
            biased;
            end = feed(self.input, &outgoing.head, &mut outgoing.body, write, progress) => Err(end),
            relayed = relay.run() => relayed,
        };
        granted.sent = already_sent + progress.sent();
        relayed
    }
}
