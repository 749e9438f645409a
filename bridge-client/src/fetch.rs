//! Fetches secrets in one session, and redials when its connection breaks.

use std::time::Duration;

use proto::agent::{AgentId, GitKey, KnownHost};
use proto::http::RuledOrigin;
use proto::limits::MAX_KEYS_PER_GET;
use proto::{Hello, HostMessage, Key, Purpose, RefusalReason, SessionId};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use crate::agent::{AgentOffer, Listing};
use crate::connect::connection::{BridgeConnection, decode};
use crate::connect::dial::Dialer;
use crate::connect::error::{ConnectError, SessionError};
use crate::connect::establish::Established;
use crate::connect::retry::Backoff;
use crate::connect::session_id::new_session_id;
use crate::delivery::sink::Sink;

pub(crate) mod error;

use error::{FetchError, RefusedSecret, RefusedSecrets};

/// Limit of redials.
const MAX_REDIALS: u32 = 5;
/// Longest wait before the first redial, and before any. Doubled for each further one.
const BACKOFF: Duration = Duration::from_millis(200);
const MAX_BACKOFF: Duration = Duration::from_secs(5);
/// After this long, a message says what is being waited for.
const QUIET_TIME: Duration = Duration::from_secs(1);

/// The state of one secret.
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

/// A session in which all secrets have arrived.
pub(crate) struct Fetched {
    /// To be closed by the caller.
    pub(crate) connection: BridgeConnection,
    /// The hello of a redial that needs nothing but the agent.
    pub(crate) redial: Hello,
    /// All agents that the bridge offers.
    pub(crate) agents: Vec<AgentId>,
    /// What comes with the requested agent, if the bridge offers it.
    pub(crate) agent: Option<AgentOffer>,
    /// The origins that have rules, if they were asked for.
    pub(crate) origins: Vec<RuledOrigin>,
}

/// What a session is for.
pub(crate) struct Wanted<'a> {
    /// Secrets, which must differ from each other.
    pub(crate) keys: &'a [Key],
    pub(crate) agent: Option<&'a AgentId>,
    /// Whether the origins are asked for that have rules for HTTP requests.
    pub(crate) http: bool,
}

/// Fetches what is `wanted`. `parent` is the session whose COMMAND this process is part of.
///
/// # Errors
/// [`FetchError::Refused`] with all refused secrets, after the bridge has answered for each one.
pub(crate) async fn fetch(
    dialer: &Dialer,
    parent: Option<SessionId>,
    wanted: Wanted<'_>,
    delivery: &mut impl Sink,
) -> Result<Fetched, FetchError> {
    let Wanted { keys, agent, http } = wanted;
    let mut fetching = Fetching {
        keys,
        agents: Vec::new(),
        hosts: None,
        listing: None,
        origins: None,
        progress: keys.iter().map(|_| Progress::default()).collect(),
        refused: Vec::new(),
        hello: Hello {
            session: new_session_id()?,
            parent,
            agent: agent.cloned(),
            http,
            ..Hello::without_session(Purpose::Session)
        },
        reported: false,
        delivery,
    };
    let mut redials = 0;
    let mut backoff = Backoff::new(BACKOFF, MAX_BACKOFF);
    loop {
        match fetching.fetch_over_one_connection(dialer).await {
            // Only after a `welcome`: what breaks before it has been tried again already.
            Err(FetchError::Connect(ConnectError::Session(SessionError::Broken(why))))
                if fetching.hello.resume && redials < MAX_REDIALS =>
            {
                warn!("the connection to the bridge broke ({why}); dialling again");
                sleep(backoff.next()).await;
                redials += 1;
            }
            Err(error) => return Err(error),
            Ok(connection) => {
                let agent = fetching
                    .hosts
                    .zip(fetching.listing)
                    .map(|((known_hosts, git_keys), listing)| AgentOffer { known_hosts, git_keys, listing });
                return Ok(Fetched {
                    connection,
                    redial: fetching.hello,
                    agents: fetching.agents,
                    agent,
                    origins: fetching.origins.unwrap_or_default(),
                });
            }
        }
    }
}

struct Fetching<'a, D> {
    keys: &'a [Key],
    agents: Vec<AgentId>,
    hosts: Option<(Vec<KnownHost>, Vec<GitKey>)>,
    listing: Option<Listing>,
    origins: Option<Vec<RuledOrigin>>,
    progress: Vec<Progress>,
    refused: Vec<RefusedSecret>,
    /// The hello of the next connection, but for its keys.
    hello: Hello,
    /// Whether a message has said what is being waited for.
    reported: bool,
    delivery: &'a mut D,
}

impl<D: Sink> Fetching<'_, D> {
    async fn fetch_over_one_connection(&mut self, dialer: &Dialer) -> Result<BridgeConnection, FetchError> {
        // After a redial only incomplete secrets are requested. `open` maps numbers of requests to indexes of keys.
        let open: Vec<usize> = (0..self.keys.len()).filter(|index| self.is_open(*index)).collect();
        let requested: Vec<Key> = open.iter().filter_map(|index| self.keys.get(*index).cloned()).collect();
        let in_hello = Hello::capacity(&requested);
        let (first, more) = requested.split_at(in_hello);
        let hello = Hello { keys: first.to_vec(), ..self.hello.clone() };
        let Established { mut connection, first } = dialer.establish(&hello).await?;
        self.welcome(decode(&first)?)?;
        let mut next = in_hello;
        for keys in more.chunks(MAX_KEYS_PER_GET) {
            let number = u32::try_from(next).map_err(|_| SessionError::Protocol("too many requests"))?;
            connection.get(number, keys);
            next += keys.len();
        }
        match self.receive_all(&mut connection, &open).await {
            Ok(()) => Ok(connection),
            Err(error) => {
                if !matches!(error, FetchError::Connect(_)) {
                    connection.close().await;
                }
                Err(error)
            }
        }
    }

    async fn receive_all(
        &mut self,
        connection: &mut BridgeConnection,
        open: &[usize],
    ) -> Result<(), FetchError> {
        let got = |index: &usize| self.progress.get(*index).map_or(0, |progress| progress.got);
        let mut skip: Vec<u64> = open.iter().map(got).collect();
        while !self.is_done()? {
            let payload = loop {
                tokio::select! {
                    payload = connection.next() => break payload?,
                    () = sleep(QUIET_TIME), if !self.reported => {
                        self.reported = true;
                        info!("waiting for {} (its source on the host is busy)", self.waiting_for());
                    }
                }
            };
            self.receive_message(decode(&payload)?, open, &mut skip)?;
        }
        Ok(())
    }

    /// Takes the first message of a connection.
    fn welcome(&mut self, message: HostMessage<'_>) -> Result<(), SessionError> {
        let HostMessage::Welcome { agents } = message else {
            return Err(SessionError::Protocol("the first message is not a welcome"));
        };
        debug!("session {} begins; the bridge offers {} agents", self.hello.session, agents.len());
        self.hello.resume = true;
        self.agents = agents;
        Ok(())
    }

    fn receive_message(
        &mut self,
        message: HostMessage<'_>,
        open: &[usize],
        skip: &mut [u64],
    ) -> Result<(), FetchError> {
        let (request, message) = match message {
            HostMessage::Agent { known_hosts, git_keys } if self.is_agent_offered() => {
                self.hosts = Some((known_hosts, git_keys));
                return Ok(());
            }
            HostMessage::Identities { fixed, identities } if self.hosts.is_some() => {
                self.listing = Some(Listing { fixed, identities });
                return Ok(());
            }
            HostMessage::Origins { origins } if self.hello.http => {
                // Repeated after a redial.
                self.origins = Some(origins);
                return Ok(());
            }
            HostMessage::Length { request, length } => (request, Response::Length(length)),
            HostMessage::Chunk { request, bytes } => (request, Response::Chunk(bytes)),
            HostMessage::Refused { request, reason, detail } => (request, Response::Refused(reason, detail)),
            HostMessage::Welcome { .. }
            | HostMessage::Offers { .. }
            | HostMessage::Ending
            | HostMessage::Waiting
            | HostMessage::Origins { .. }
            | HostMessage::Agent { .. }
            | HostMessage::Identities { .. }
            | HostMessage::Answer { .. } => {
                return Err(SessionError::Protocol("an answer without a question").into());
            }
        };
        let unknown = SessionError::Protocol("an answer to an unknown request");
        let number = request as usize;
        let (Some(&index), Some(skip)) = (open.get(number), skip.get_mut(number)) else {
            return Err(unknown.into());
        };
        let Some(progress) = self.progress.get_mut(index) else { return Err(unknown.into()) };
        match message {
            Response::Length(length) => match progress.length {
                None => {
                    self.delivery.begin(index, length)?;
                    progress.length = Some(length);
                }
                // Repeated after a redial. What was delivered stays.
                Some(known) if known == length => {}
                Some(_) => return Err(SessionError::Protocol("the length of a secret changed").into()),
            },
            Response::Chunk(bytes) => {
                let skipped = (*skip).min(bytes.len() as u64);
                *skip -= skipped;
                let fresh = usize::try_from(skipped)
                    .ok()
                    .and_then(|skipped| bytes.get(skipped..))
                    .unwrap_or_default();
                let got = progress.got.saturating_add(fresh.len() as u64);
                if progress.length.is_none_or(|length| got > length) {
                    return Err(SessionError::Protocol("more bytes than announced").into());
                }
                self.delivery.chunk(index, fresh)?;
                progress.got = got;
            }
            Response::Refused(reason, detail) => {
                let Some(key) = self.keys.get(index).cloned() else { return Err(unknown.into()) };
                // All refusals are kept until the end, so each may come only once.
                if std::mem::replace(&mut progress.refused, true) {
                    return Err(SessionError::Protocol("a secret refused twice").into());
                }
                // Only this reason: a source that failed is an error even if the secret is optional.
                if reason == RefusalReason::Unknown && self.delivery.is_optional(index) {
                    return Ok(());
                }
                self.refused.push(RefusedSecret { key, reason, detail });
            }
        }
        Ok(())
    }

    /// Whether everything has arrived. A refusal is an error only after all answers, so that the error lists every refusal.
    fn is_done(&mut self) -> Result<bool, FetchError> {
        if !self.refused.is_empty() && self.progress.iter().all(Progress::is_answered) {
            return Err(RefusedSecrets(std::mem::take(&mut self.refused)).into());
        }
        let is_over = |progress: &Progress| progress.is_complete() || progress.refused;
        let has_agent = self.listing.is_some() || !self.is_agent_offered();
        let has_origins = self.origins.is_some() || !self.hello.http;
        Ok(has_agent && has_origins && self.progress.iter().all(is_over))
    }

    fn is_agent_offered(&self) -> bool {
        self.hello.agent.as_ref().is_some_and(|requested| self.agents.contains(requested))
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

/// A message about one request.
enum Response<'a> {
    Length(u64),
    Chunk(&'a [u8]),
    Refused(RefusalReason, proto::Untrusted),
}
