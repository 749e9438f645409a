//! Fetches secrets over one session, and dials again when its connection breaks.

use std::time::Duration;

use proto::agent::{AgentId, GitKey, KnownHost};
use proto::limits::MAX_KEYS_PER_GET;
use proto::{Hello, HostMessage, Key, Purpose, RefusalReason, SessionId};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::agent::{AgentOffer, Listing};
use crate::connect::connection::{Connection, decode};
use crate::connect::dial::Dialer;
use crate::connect::error::{ConnectError, SessionError};
use crate::connect::pin::PinnedStream;
use crate::delivery::sink::Sink;

pub(crate) mod error;

use error::{FetchError, RefusedSecret, RefusedSecrets};

/// How often a broken session is continued before that is an error.
const REDIALS: u32 = 5;
/// Wait before the first redial; doubled for each further one.
const BACK_OFF: Duration = Duration::from_millis(100);
/// After this long without an answer, people are told what is waited for.
const QUIET: Duration = Duration::from_secs(1);

/// How far one secret has come.
#[derive(Default)]
struct Progress {
    length: Option<u64>,
    got: u64,
    refused: bool,
}

impl Progress {
    fn is_answered(&self) -> bool {
        self.refused || self.length.is_some()
    }

    fn is_complete(&self) -> bool {
        self.length == Some(self.got)
    }
}

/// A session in which everything wanted has arrived.
pub(crate) struct Fetched {
    /// Its connection; whoever needs it no more closes it.
    pub(crate) connection: Connection,
    /// Its name.
    pub(crate) session: SessionId,
    /// All agents that the bridge offers.
    pub(crate) agents: Vec<AgentId>,
    /// What comes with the agent that was wanted, if the bridge offers it.
    pub(crate) agent: Option<AgentOffer>,
}

/// Fetches `keys`, which must be different from each other, and what comes with `agent`, in one session.
///
/// # Errors
/// [`FetchError::Refused`] with all that are refused, after every one was answered; else whatever ended the session.
pub(crate) async fn fetch(
    dialer: &Dialer,
    keys: &[Key],
    agent: Option<&AgentId>,
    delivery: &mut impl Sink,
) -> Result<Fetched, FetchError> {
    let mut fetching = Fetching {
        keys,
        agent,
        agents: Vec::new(),
        hosts: None,
        listing: None,
        progress: keys.iter().map(|_| Progress::default()).collect(),
        refused: Vec::new(),
        session: None,
        delivery,
    };
    let mut redials = 0;
    loop {
        let stream = dialer.dial().await?;
        match fetching.converse(stream).await {
            Err(FetchError::Connect(ConnectError::Session(SessionError::Broken(why))))
                if fetching.session.is_some() && redials < REDIALS =>
            {
                warn!("the connection to the bridge broke ({why}); dialling again");
                sleep(BACK_OFF * (1 << redials)).await;
                redials += 1;
            }
            Err(error) => return Err(error),
            Ok(connection) => {
                let session = fetching.session.ok_or(SessionError::Protocol("no welcome"))?;
                let agent = fetching
                    .hosts
                    .zip(fetching.listing)
                    .map(|((known_hosts, git_keys), listing)| AgentOffer { known_hosts, git_keys, listing });
                return Ok(Fetched { connection, session, agents: fetching.agents, agent });
            }
        }
    }
}

struct Fetching<'a, D> {
    keys: &'a [Key],
    agent: Option<&'a AgentId>,
    agents: Vec<AgentId>,
    hosts: Option<(Vec<KnownHost>, Vec<GitKey>)>,
    listing: Option<Listing>,
    progress: Vec<Progress>,
    refused: Vec<RefusedSecret>,
    session: Option<SessionId>,
    delivery: &'a mut D,
}

impl<D: Sink> Fetching<'_, D> {
    async fn converse(&mut self, stream: PinnedStream) -> Result<Connection, FetchError> {
        // A redial asks again for what is not complete; `open` maps request numbers to keys.
        let open: Vec<usize> = (0..self.keys.len()).filter(|index| self.is_open(*index)).collect();
        let wanted: Vec<Key> = open.iter().filter_map(|index| self.keys.get(*index).cloned()).collect();
        let in_hello = Hello::capacity(&wanted);
        let (first, more) = wanted.split_at(in_hello);
        let hello = Hello {
            purpose: Purpose::Session,
            resume: self.session,
            keys: first.to_vec(),
            agent: self.agent.cloned(),
        };
        let mut connection = Connection::open(stream, &hello).await?;
        let mut next = in_hello;
        for keys in more.chunks(MAX_KEYS_PER_GET) {
            let number = u32::try_from(next).map_err(|_| SessionError::Protocol("too many requests"))?;
            connection.get(number, keys).await?;
            next += keys.len();
        }
        match self.receive(&mut connection, &open).await {
            Ok(()) => Ok(connection),
            Err(error) => {
                if !matches!(error, FetchError::Connect(_)) {
                    connection.close().await;
                }
                Err(error)
            }
        }
    }

    async fn receive(&mut self, connection: &mut Connection, open: &[usize]) -> Result<(), FetchError> {
        let got = |index: &usize| self.progress.get(*index).map_or(0, |progress| progress.got);
        let mut skip: Vec<u64> = open.iter().map(got).collect();
        let mut told = false;
        while self.session.is_none() || !self.is_done()? {
            let payload = loop {
                tokio::select! {
                    payload = connection.next() => break payload?,
                    () = sleep(QUIET), if !told => {
                        told = true;
                        info!("waiting for {} (its source on the host is still busy)", self.waiting_for());
                    }
                }
            };
            self.take(decode(&payload)?, open, &mut skip)?;
        }
        Ok(())
    }

    fn take(&mut self, message: HostMessage<'_>, open: &[usize], skip: &mut [u64]) -> Result<(), FetchError> {
        let (request, message) = match message {
            HostMessage::Welcome { session, agents } => {
                debug!("session {session}, {} agents", agents.len());
                self.session = Some(session);
                self.agents = agents;
                return Ok(());
            }
            HostMessage::Agent { known_hosts, git_keys } if self.is_agent_offered() => {
                self.hosts = Some((known_hosts, git_keys));
                return Ok(());
            }
            HostMessage::Identities { fixed, identities } if self.hosts.is_some() => {
                self.listing = Some(Listing { fixed, identities });
                return Ok(());
            }
            HostMessage::Length { request, length } => (request, Answer::Length(length)),
            HostMessage::Chunk { request, bytes } => (request, Answer::Chunk(bytes)),
            HostMessage::Refused { request, reason, detail } => (request, Answer::Refused(reason, detail)),
            HostMessage::Offers { .. }
            | HostMessage::Ending
            | HostMessage::Agent { .. }
            | HostMessage::Identities { .. }
            | HostMessage::Answer { .. } => {
                return Err(SessionError::Protocol("an answer to a question that was not asked").into());
            }
        };
        let unknown = SessionError::Protocol("an answer to a request that was not made");
        let number = request as usize;
        let (Some(&index), Some(skip)) = (open.get(number), skip.get_mut(number)) else {
            return Err(unknown.into());
        };
        let Some(progress) = self.progress.get_mut(index) else { return Err(unknown.into()) };
        match message {
            Answer::Length(length) => match progress.length {
                None => {
                    self.delivery.begin(index, length)?;
                    progress.length = Some(length);
                }
                // Continued after a redial: what has been delivered already is not taken back.
                Some(known) if known == length => {}
                Some(_) => return Err(SessionError::Protocol("a secret that changed its length").into()),
            },
            Answer::Chunk(bytes) => {
                let skipped = (*skip).min(bytes.len() as u64);
                *skip -= skipped;
                let fresh = usize::try_from(skipped)
                    .ok()
                    .and_then(|skipped| bytes.get(skipped..))
                    .unwrap_or_default();
                let got = progress.got.saturating_add(fresh.len() as u64);
                if progress.length.is_none_or(|length| got > length) {
                    return Err(SessionError::Protocol("more bytes than were announced").into());
                }
                self.delivery.chunk(index, fresh)?;
                progress.got = got;
            }
            Answer::Refused(reason, detail) => {
                let Some(key) = self.keys.get(index).cloned() else { return Err(unknown.into()) };
                // All refusals are kept for one report, so each may come once.
                if std::mem::replace(&mut progress.refused, true) {
                    return Err(SessionError::Protocol("a secret that was refused twice").into());
                }
                // Only that: a source that failed is loud, whoever could do without it.
                if reason == RefusalReason::Unknown && self.delivery.is_optional(index) {
                    return Ok(());
                }
                self.refused.push(RefusedSecret { key, reason, detail });
            }
        }
        Ok(())
    }

    /// Whether nothing is left to wait for. All answers are awaited before a refusal counts, so that all of them can
    /// be told at once.
    fn is_done(&mut self) -> Result<bool, FetchError> {
        if !self.refused.is_empty() && self.progress.iter().all(Progress::is_answered) {
            return Err(RefusedSecrets(std::mem::take(&mut self.refused)).into());
        }
        let is_over = |progress: &Progress| progress.is_complete() || progress.refused;
        let has_agent = self.listing.is_some() || !self.is_agent_offered();
        Ok(has_agent && self.progress.iter().all(is_over))
    }

    fn is_agent_offered(&self) -> bool {
        self.agent.is_some_and(|wanted| self.agents.contains(wanted))
    }

    fn is_open(&self, index: usize) -> bool {
        self.progress.get(index).is_some_and(|progress| !progress.is_complete() && !progress.refused)
    }

    fn waiting_for(&self) -> String {
        let open: Vec<&str> = (0..self.keys.len())
            .filter(|index| self.is_open(*index))
            .filter_map(|index| self.keys.get(index).map(Key::as_str))
            .collect();
        match open.as_slice() {
            [] => "the bridge".to_owned(),
            [one] => (*one).to_owned(),
            [first, rest @ ..] => format!("{first} and {} more", rest.len()),
        }
    }
}

/// An answer to one request.
enum Answer<'a> {
    Length(u64),
    Chunk(&'a [u8]),
    Refused(RefusalReason, proto::Untrusted),
}
