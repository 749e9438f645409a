//! One request: judged, recorded, sent to its server with the credential, and answered.

use std::time::Duration;

use http_message::{BodyLength, RequestHead};
use http_policy::{Echo, Permitted, Refusal, RequestKind, Rule, Verdict, lfs};
use proto::Secret;
use proto::http::Origin;
use tokio::time::timeout;

use super::answer::{Connection, LocalAnswer};
use super::feed::{RequestBody, discard};
use super::gateway::{Gateway, Notice};
use super::keep::tool_keeps;
use super::outgoing::Outgoing;
use super::record::{self, Granted, Named, Requester};
use super::relay::CONTINUE;
use super::session::HttpSession;
use super::stream_io::{AnswerStream, RequestStream, StreamEnd};
use super::tool::{ToolInput, ToolOutput};
use super::upstream::pool::Repeatable;

/// A tool that gets an answer while it sends its body may read it only when it has sent all: for this time the rest is read,
/// as nginx does (`lingering_time`). A connection that is closed at once is reset, and the answer lost.
const LINGER: Duration = Duration::from_secs(30);
/// Time for the body of a batch call of git LFS, of at most 1 MiB.
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);

/// What one request needs.
pub(super) struct Exchange<'a, I, O> {
    pub(super) gateway: &'a Gateway,
    pub(super) requester: &'a Requester,
    pub(super) session: &'a HttpSession,
    pub(super) input: &'a mut ToolInput<I>,
    pub(super) output: &'a mut ToolOutput<O>,
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
        // A request whose body cannot be framed is refused, and the connection ends with it.
        let mut body = RequestBody::new(head.body().unwrap_or(BodyLength::None));
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
        // If the tool waits for `100 Continue`, the rest of its body may never come.
        let connection = if body.has_ended() { keeps } else { Connection::Close };
        self.output.push(&answer.write(method, connection)).await?;
        self.output.flush().await?;
        self.linger(body).await?;
        Ok(connection)
    }

    /// Reads what the tool still sends of a body whose answer it has.
    pub(super) async fn linger(&mut self, body: &mut RequestBody) -> Result<(), StreamEnd> {
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
        let Permitted { head: mut outgoing, body: kind, expects_continue, .. } = permitted;
        // Held until the answer is complete.
        let _slot = match kind {
            RequestKind::Plain => None,
            RequestKind::LfsBatch => Some(self.while_tool_waits(gateway.batches.acquire()).await?),
        };
        let mut batch = Vec::new();
        if kind == RequestKind::LfsBatch {
            batch = match self.read_batch(rule, expects_continue, &mut body).await? {
                Ok(batch) => batch,
                Err(error) => {
                    self.record_refused(number, named, Some(index), "lfs");
                    let text = format!("the batch call of git LFS under the rule {rule} is refused: {error}");
                    let refusal = Refusal { rule: Some(index), status: error.status(), reason: "lfs", text };
                    return self.refuse(&refusal, &head.method, keeps, &mut body).await;
                }
            };
            outgoing.headers.remove("Transfer-Encoding");
            outgoing.headers.remove("Content-Length");
            outgoing.headers.push("Content-Length", batch.len().to_string());
        } else if expects_continue {
            outgoing.headers.push("Expect", "100-continue");
        }
        let added = match rule.authorize(&mut outgoing, &ready.secret) {
            Ok(added) => added,
            Err(error) => {
                self.record_refused(number, named, Some(index), "credential");
                let text = format!("the credential of the rule {rule} cannot be used: {error}");
                return self.fail(index, "credential", text, &head.method, keeps, &mut body).await;
            }
        };
        let name = gateway.name(index).unwrap_or_default();
        let permit = Granted::permit(&gateway.recorder, self.requester, number, name, named);
        let mut granted = match permit {
            Ok(granted) => granted,
            Err(error) => {
                tracing::error!("cannot write an audit record: {error}");
                let text = "the host cannot write its audit record, so no request leaves it".to_owned();
                return self.fail(index, "audit-failed", text, &head.method, keeps, &mut body).await;
            }
        };
        granted.sent = batch.len() as u64;
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
            version: head.version,
            expects_continue: expects_continue && kind == RequestKind::Plain,
            keeps,
        };
        self.send(outgoing, granted).await
    }

    /// Answers 502, for a reason that is not the tool's.
    pub(super) async fn fail(
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
    async fn read_batch(
        &mut self,
        rule: &Rule,
        expects_continue: bool,
        body: &mut RequestBody,
    ) -> Result<Result<Vec<u8>, lfs::LfsError>, StreamEnd> {
        if expects_continue {
            self.output.push(CONTINUE).await?;
            self.output.flush().await?;
        }
        // Few are read at once: one that does not come must not keep others waiting.
        let whole = timeout(BATCH_TIMEOUT, body.whole(self.input, lfs::MAX_BATCH_REQUEST));
        Ok(match whole.await.unwrap_or(Err(StreamEnd::Cut))? {
            Some(bytes) => lfs::request(rule, &bytes),
            None => Err(lfs::LfsError::LargeRequest),
        })
    }

    /// Runs `work` while the tool has only to wait for its answer, and notices if it does not.
    pub(super) async fn while_tool_waits<T>(
        &mut self,
        work: impl Future<Output = T>,
    ) -> Result<T, StreamEnd> {
        tokio::select! {
            biased;
            done = work => Ok(done),
            end = self.input.read_ahead() => Err(end),
        }
    }
}
