//! One connection to an agent: what policy says to each request, and what becomes of it.

use std::io;
use std::net::SocketAddr;
use std::time::SystemTime;

use proto::SessionId;
use proto::agent::{Identity, MAX_BINDS, Reader, SESSION_BIND, Writer, identities_answer, number};
use ssh_policy::{Connection, Permitted, Refusal, Refused, Verdict};
use tracing::{debug, warn};

use super::audit::question;
use super::grants::Grants;
use super::upstream::{UpstreamConnection, signature};
use super::{Agent, Keys};
use crate::prompt::Decision;
use crate::recorder::Recorder;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Who {
    /// A client, in a session.
    Client { session: SessionId, peer: SocketAddr },
    /// A process of this host's, at the socket of `--agent-socket`.
    Socket,
}

/// Who asks which agent.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) recorder: &'a Recorder,
    pub(crate) agent: &'a Agent,
    pub(crate) who: Who,
    /// What a person has permitted to this asker already.
    pub(crate) grants: &'a Grants,
}

/// An answer, and what its asker should know beside it.
pub(crate) struct Answered {
    /// The agent protocol's message.
    pub(crate) bytes: Vec<u8>,
    /// Why it is no.
    pub(crate) refusal: Option<String>,
    /// Whether this answers a session-bind.
    pub(crate) was_bind: bool,
}

/// One connection of an asker's.
pub(crate) struct AgentConnection<'a> {
    asking: Asking<'a>,
    judge: Connection,
    upstream: Option<UpstreamConnection>,
    /// Binds that policy accepted, for the agent behind: keys that are for certain servers only need them.
    binds: Vec<Vec<u8>>,
}

impl<'a> AgentConnection<'a> {
    /// Nothing was asked yet.
    pub(crate) fn new(asking: Asking<'a>) -> Self {
        Self { asking, judge: Connection::default(), upstream: None, binds: Vec::new() }
    }

    /// The answer to one message.
    pub(crate) async fn answer(&mut self, message: &[u8]) -> Answered {
        let was_bind = is_bind(message);
        Answered { was_bind, ..self.judged(message).await }
    }

    async fn judged(&mut self, message: &[u8]) -> Answered {
        let agent = self.asking.agent;
        let now = SystemTime::now();
        let mut verdict = self.judge.judge(&agent.rules.policy, &agent.offered(), message, now);
        // The key may have been added since the last look.
        if matches!(&verdict, Verdict::Refuse(refused) if refused.refusal == Refusal::KeyNotOffered)
            && let Some(offered) = agent.look_again().await
        {
            verdict = self.judge.judge(&agent.rules.policy, &offered, message, now);
        }
        match verdict {
            Verdict::List => self.list().await,
            Verdict::Bind { upstream } => {
                // A bind may be said again without end, and policy does not count that.
                if self.binds.len() < MAX_BINDS && self.binds.last() != Some(&upstream) {
                    self.binds.push(upstream);
                }
                // Connections of the agent's keep what they were told; a new one is told everything.
                self.upstream = None;
                answered(vec![number::SUCCESS])
            }
            Verdict::Sign(permitted) => self.sign(permitted).await,
            Verdict::Refuse(refused) => self.refuse(&refused),
        }
    }

    async fn list(&mut self) -> Answered {
        let agent = self.asking.agent;
        let identities = match &agent.keys {
            // Nobody may have looked at them yet.
            Keys::Here(_) => agent.list().await.identities,
            Keys::Behind(_) => match self.list_behind().await {
                Ok(identities) => agent.choose(identities),
                Err(error) => return self.failed(&error),
            },
        };
        self.asking.note_listing(identities.len());
        answered(identities_answer(&identities))
    }

    async fn sign(&mut self, permitted: Permitted) -> Answered {
        let Some(reserved) = self.asking.agent.rules.reserve_signature() else {
            return self.deny(
                &permitted,
                "signature-limit",
                "the limit of signatures is reached (--ssh-max-signatures)",
            );
        };
        if let Err((word, why)) = self.confirm(&permitted).await {
            return self.deny(&permitted, word, why);
        }
        if let Err(error) = self.asking.note_permitted(&permitted) {
            warn!("a signature is refused: the audit record cannot be written: {error}");
            self.asking.recorder.count_refusal();
            return refusal("the host cannot write its audit record");
        }
        let signed = match &self.asking.agent.keys {
            Keys::Here(files) => Ok(files.sign(&permitted.key.key, &permitted.data, permitted.flags)),
            Keys::Behind(_) => self.ask(&permitted.upstream).await.and_then(|answer| signature(&answer)),
        };
        match signed {
            Ok(Some(signature)) => {
                reserved.use_up();
                self.asking.tell_signed(&permitted);
                let mut answer = Writer::new(number::SIGN_RESPONSE);
                answer.string(&signature);
                answered(answer.finish())
            }
            Ok(None) => {
                self.asking.note_unsigned(&permitted, "declined");
                refusal("the agent on the host declined to sign")
            }
            Err(error) => {
                self.asking.note_unsigned(&permitted, "failed");
                self.failed(&error)
            }
        }
    }

    /// Asks a person, where one has to be asked.
    async fn confirm(&self, permitted: &Permitted) -> Result<(), (&'static str, &'static str)> {
        let Some(confirmer) = &self.asking.agent.rules.confirmer else { return Ok(()) };
        if self.asking.grants.has(permitted) {
            return Ok(());
        }
        match confirmer.confirm(&question(permitted, self.asking.who)).await {
            Decision::Allowed => {
                self.asking.grants.add(permitted);
                Ok(())
            }
            Decision::Refused => Err(("not-confirmed", "the person at the host said no")),
            Decision::TimedOut => Err(("confirmation-timed-out", "the person at the host did not answer")),
            Decision::NoWayToAsk => Err(("no-way-to-ask", "nobody can be asked at the host (--ssh-confirm)")),
            Decision::TooManyPending => {
                Err(("too-many-questions", "too many questions wait at the host already"))
            }
        }
    }

    /// One request to the agent behind; on a new connection if it was started anew since the last one.
    async fn ask(&mut self, message: &[u8]) -> io::Result<Vec<u8>> {
        let was_open = self.upstream.is_some();
        match self.upstream().await?.call(message).await {
            Err(error) if was_open && is_hang_up(&error) => {
                debug!("the agent {} has hung up meanwhile: {error}", self.asking.agent.id);
                self.upstream = None;
                self.upstream().await?.call(message).await
            }
            answer => answer,
        }
    }

    /// As [`Self::ask`], for its keys: nobody has to attend to that, so it may not take long.
    async fn list_behind(&mut self) -> io::Result<Vec<Identity>> {
        let was_open = self.upstream.is_some();
        match self.upstream().await?.list().await {
            Err(error) if was_open && is_hang_up(&error) => {
                debug!("the agent {} has hung up meanwhile: {error}", self.asking.agent.id);
                self.upstream = None;
                self.upstream().await?.list().await
            }
            listed => listed,
        }
    }

    async fn upstream(&mut self) -> io::Result<&mut UpstreamConnection> {
        let Keys::Behind(upstream) = &self.asking.agent.keys else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let connection = match self.upstream.take() {
            Some(connection) => connection,
            None => {
                let mut connection = upstream.connect().await?;
                for bind in &self.binds {
                    // Windows' agents close the connection at it.
                    if connection.bind(bind).await.is_err() {
                        connection = upstream.connect().await?;
                        break;
                    }
                }
                connection
            }
        };
        Ok(self.upstream.insert(connection))
    }

    fn failed(&mut self, error: &io::Error) -> Answered {
        // What it may still say there would be taken for its answer to the next request.
        self.upstream = None;
        warn!("the agent {} does not answer: {error}", self.asking.agent.id);
        refusal("the agent on the host does not answer")
    }

    fn refuse(&self, refused: &Refused) -> Answered {
        self.asking.note_refused(refused);
        refusal(refused.refusal.to_string())
    }

    fn deny(&self, permitted: &Permitted, word: &'static str, why: &'static str) -> Answered {
        self.asking.note_denied(permitted, word, why);
        refusal(why)
    }
}

fn answered(bytes: Vec<u8>) -> Answered {
    Answered { bytes, refusal: None, was_bind: false }
}

fn refusal(why: impl Into<String>) -> Answered {
    Answered { refusal: Some(why.into()), ..answered(vec![number::FAILURE]) }
}

fn is_bind(message: &[u8]) -> bool {
    let mut reader = Reader::new(message);
    reader.u8() == Ok(number::EXTENSION) && reader.string() == Ok(SESSION_BIND)
}

/// Whether the other end closed the connection, rather than answered something odd.
fn is_hang_up(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    [BrokenPipe, ConnectionReset, UnexpectedEof].contains(&error.kind())
}
