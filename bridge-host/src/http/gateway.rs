//! The gateway of a bridge: what all its HTTP requests share, and the loop over the requests of one stream.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_message::RequestHead;
use proto::http::{Origin, RuledOrigin};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::warn;

use super::answer::Connection;
use super::credentials::HttpCredentials;
use super::exchange::Exchange;
use super::pace::Pace;
use super::record::Requester;
use super::session::{HttpSession, HttpSessions};
use super::stream_io::{AnswerStream, RequestStream, StreamEnd};
use super::tool::{ToolInput, ToolOutput};
use super::upstream::proxy::HostProxies;
use crate::recorder::Recorder;

/// Time for the rest of a request's head, once its first byte is there.
const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// Batch calls of git LFS at once: each holds up to 5 MiB, its answer parsed besides.
const MAX_BATCHES: usize = 2;

/// What all HTTP requests of a bridge share.
pub(crate) struct Gateway {
    pub(super) credentials: HttpCredentials,
    /// The names of the rules, in their order.
    names: Vec<String>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) proxies: HostProxies,
    pub(super) pace: Pace,
    pub(super) batches: Semaphore,
    sessions: HttpSessions,
    requests: AtomicU64,
    /// What the host's terminal has shown.
    shown: Mutex<BTreeSet<(Option<usize>, Notice)>>,
}

/// What the host's terminal shows once for each rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Notice {
    /// A request is not permitted.
    Refused,
    /// A request was permitted, and there is no answer of its server that can go on.
    Failed,
}

impl Gateway {
    pub(crate) fn new(credentials: HttpCredentials, recorder: Arc<Recorder>) -> Self {
        let names: Vec<String> = credentials.rules().iter().map(ToString::to_string).collect();
        for name in &names {
            recorder.count_http(name, |_| {});
        }
        Self {
            credentials,
            names,
            recorder,
            proxies: HostProxies::from_env(),
            pace: Pace::new(),
            batches: Semaphore::new(MAX_BATCHES),
            sessions: HttpSessions::new(),
            requests: AtomicU64::new(0),
            shown: Mutex::default(),
        }
    }

    /// The origins that have rules.
    pub(crate) fn origins(&self) -> Vec<RuledOrigin> {
        self.credentials.rules().origins()
    }

    /// Closes connections that were idle for too long. To be called every few seconds.
    pub(crate) fn close_old(&self) {
        self.sessions.close_old();
    }

    /// The number of the next request, from 1.
    pub(super) fn next_number(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The name of a rule, as records and messages have it.
    pub(super) fn name(&self, rule: usize) -> Option<&str> {
        self.names.get(rule).map(String::as_str)
    }

    /// Shows on the host's terminal what happened under a rule for the first time.
    pub(super) fn notify(&self, rule: Option<usize>, notice: Notice, text: &str) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.insert((rule, notice)) {
            drop(shown);
            warn!("HTTP: {text}");
        }
    }
}

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
