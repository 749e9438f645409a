//! A request on its way: to its server, on a kept connection or a new one, while the answer comes back.

use tokio::io::split;

use super::answer::Connection;
use super::exchange::Exchange;
use super::fault::ServerFault;
use super::feed::{Progress, feed};
use super::outgoing::Outgoing;
use super::reader::AnswerReader;
use super::record::Granted;
use super::relay::{Asked, Relay, Relayed};
use super::stream_io::{AnswerStream, RequestStream, StreamEnd};
use super::upstream::connect;
use super::upstream::pool::Repeatable;
use super::upstream::wire::Wire;

impl<I: RequestStream, O: AnswerStream> Exchange<'_, I, O> {
    /// Sends the request, a second time if a kept connection turns out to be closed, and passes the answer on.
    pub(super) async fn send(
        &mut self,
        mut outgoing: Outgoing<'_>,
        mut granted: Granted<'_>,
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
                                .fail(rule, word, text, &outgoing.method, outgoing.keeps, &mut outgoing.body)
                                .await;
                        }
                    }
                }
            };
            let progress = Progress::new(&outgoing.body);
            let relayed = self.exchange(&mut outgoing, &mut wire, &progress, &mut granted).await?;
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
                        && fault == ServerFault::NoAnswer
                        && outgoing.repeatable == Repeatable::Yes => {}
                Relayed::Failed(fault) => {
                    granted.failed(fault.word(), false);
                    let text = format!("{} gave no answer that can go on: {fault}", server.origin.short());
                    let (rule, word) = (outgoing.index, fault.word());
                    return self
                        .fail(rule, word, text, &outgoing.method, outgoing.keeps, &mut outgoing.body)
                        .await;
                }
                Relayed::Refused { reason, text } => {
                    granted.failed(reason, false);
                    let rule = outgoing.index;
                    return self
                        .fail(rule, reason, text, &outgoing.method, outgoing.keeps, &mut outgoing.body)
                        .await;
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
    ) -> Result<Relayed, StreamEnd> {
        let (read, write) = split(wire);
        let asked = Asked {
            rules: self.gateway.credentials.rules(),
            rule: outgoing.rule,
            method: &outgoing.method,
            kind: outgoing.kind,
            echo: outgoing.echo.fresh(),
            version: outgoing.version,
            expects_continue: outgoing.expects_continue,
            tool_keeps: outgoing.keeps == Connection::Open,
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
