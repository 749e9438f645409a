//! The bridge while it runs: it accepts, bounds, and ends.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use proto::{BridgeConf, Hello, HostMessage, Key, Purpose, UpgradeRefusal};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tracing::{debug, info, warn};

use crate::addresses;
use crate::audit::{Audit, Record, Shown, upgrade_refusal_word};
use crate::authority::Authority;
use crate::clock::Deadline;
use crate::config::ServeConfig;
use crate::error::HostError;
use crate::handshake::{ProvenStream, RefusedHandshakes, prove_client};
use crate::listener::{self, AllowFrom};
use crate::session::{Client, How, converse};
use crate::sessions::{Attached, Sessions};
use crate::store::SecretStore;
use crate::upgrade::{NotUpgraded, Socket, upgrade};
use crate::waiting_room::{Seat, WaitingRoom};

/// Most proven connections at once, whatever they are for.
const MAX_PROVEN: usize = 512;
/// How often the bridge looks at its deadline.
const TICK: Duration = Duration::from_secs(1);
/// Refused handshakes are written in sums, one record for so many ticks.
const TICKS_PER_SUM: u32 = 10;
/// How long a client that asked for the end may take to read the answer.
const LAST_WORD: Duration = Duration::from_secs(1);

/// A bridge that listens already, so that whoever reads its conf can dial.
pub struct Bridge {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    allow_from: AllowFrom,
    deadline: Option<Deadline>,
    conf: BridgeConf,
    shared: Arc<Shared>,
    kill_requested: mpsc::Receiver<()>,
}

/// Why a bridge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// The caller's future resolved.
    Shutdown,
    /// Its `--timeout` passed.
    TimedOut,
    /// A client's `kill`.
    Killed,
    /// The last session that it admits ended.
    SessionsUsedUp,
}

impl Ended {
    /// In a few words, for people and for the audit.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shutdown => "ended by its host",
            Self::TimedOut => "its time is up",
            Self::Killed => "ended by a client's `kill`",
            Self::SessionsUsedUp => "the last session that it admits has ended",
        }
    }
}

/// What a bridge did in its life.
#[derive(Debug, Default, Clone)]
pub struct Summary {
    /// TCP connections from addresses that are heard.
    pub connections: u64,
    /// Sessions begun.
    pub sessions: u64,
    /// Keys that were given out.
    pub keys: BTreeSet<Key>,
    /// Secrets asked for and refused, and upgrade requests refused.
    pub refusals: u64,
    /// Connections that did not get through the handshake.
    pub handshakes_refused: u64,
}

/// What every connection of one bridge uses.
pub(crate) struct Shared {
    store: SecretStore,
    audit: Audit,
    sessions: Arc<Sessions>,
    kill_allowed: bool,
    kill: mpsc::Sender<()>,
    proven: Arc<Semaphore>,
    refused_handshakes: RefusedHandshakes,
    summary: Mutex<Summary>,
}

impl Bridge {
    /// Mints the throwaway CA, listens, and makes the conf.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn bind(config: &ServeConfig, store: SecretStore) -> Result<Self, HostError> {
        let audit = Audit::open(&config.audit)?;
        let mut authority = Authority::mint(config.key_exchange, config.ca_key_store.as_deref())?;
        let listener = listener::bind(&config.listen_at(authority.kept_port()))?;
        let local = listener
            .local_addr()
            .map_err(|source| HostError::Listen { at: config.listen.to_string(), source })?;
        authority.keep(local.port())?;

        let deadline = config.lifetime.and_then(Deadline::after);
        let conf = BridgeConf {
            // A conf that is to stay the same between runs cannot name the end of one of them.
            expiry: deadline.filter(|_| !authority.is_kept()).and_then(|deadline| deadline.unix_seconds()),
            port: local.port(),
            pin: authority.pin,
            client_seed: authority.client_seed,
            endpoints: addresses::advertised(local, &config.endpoints),
        };
        let (kill, kill_requested) = mpsc::channel(1);
        let shared = Arc::new(Shared {
            store,
            audit,
            sessions: Arc::new(Sessions::new(config.max_sessions)),
            kill_allowed: config.kill_allowed,
            kill,
            proven: Arc::new(Semaphore::new(MAX_PROVEN)),
            refused_handshakes: RefusedHandshakes::default(),
            summary: Mutex::default(),
        });
        let begun = Record::BridgeBegun { port: local.port(), keys: shared.store.keys().len() };
        shared.audit.write(&begun).map_err(|source| config.audit_error(source))?;
        Ok(Self {
            listener,
            tls: authority.tls,
            allow_from: config.allow_from.clone(),
            deadline,
            conf,
            shared,
            kill_requested,
        })
    }

    /// What a build needs to dial.
    pub fn conf(&self) -> &BridgeConf {
        &self.conf
    }

    /// Serves until `shutdown` resolves, time or sessions are used up, or a client ends it. Every connection ends
    /// with it, and so does the conf's worth.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> (Ended, Summary) {
        let room = Arc::new(WaitingRoom::default());
        let mut connections = JoinSet::new();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks = 0u32;
        tokio::pin!(shutdown);
        let ended = loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((tcp, peer)) => self.receive(&room, &mut connections, tcp, listener::canonical(peer)),
                    Err(error) => {
                        // Too many open files, for one: connections that end make room.
                        warn!("a connection could not be accepted: {error}");
                        sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(_) = connections.join_next() => {
                    if self.shared.sessions.are_used_up() {
                        break Ended::SessionsUsedUp;
                    }
                }
                _ = tick.tick() => {
                    ticks = ticks.wrapping_add(1);
                    if ticks.is_multiple_of(TICKS_PER_SUM) {
                        self.shared.note_refused_handshakes();
                    }
                    if self.deadline.is_some_and(|deadline| deadline.has_passed()) {
                        break Ended::TimedOut;
                    }
                    if self.shared.sessions.are_used_up() {
                        break Ended::SessionsUsedUp;
                    }
                }
                Some(()) = self.kill_requested.recv() => break Ended::Killed,
                () = &mut shutdown => break Ended::Shutdown,
            }
        };
        drop(self.listener);
        connections.shutdown().await;
        self.shared.note_refused_handshakes();
        self.shared.audit.note(&Record::BridgeEnded { why: ended.as_str() });
        let summary = self.shared.summary().clone();
        (ended, summary)
    }

    fn receive(
        &self,
        room: &Arc<WaitingRoom>,
        connections: &mut JoinSet<()>,
        tcp: TcpStream,
        peer: SocketAddr,
    ) {
        let is_heard =
            tcp.local_addr().is_ok_and(|local| self.allow_from.admits(peer.ip(), local.ip().to_canonical()));
        if !is_heard {
            debug!("{peer} is outside --allow-from");
            self.shared.refuse_handshake("address-not-allowed");
            return;
        }
        self.shared.summary().connections += 1;
        let (seat, put_out) = room.enter(peer.ip());
        if put_out {
            self.shared.refuse_handshake("yielded-to-newcomer");
        }
        let number = seat.number();
        let connection = connection(Arc::clone(&self.shared), Arc::clone(&self.tls), tcp, peer, seat);
        room.occupy(number, connections.spawn(connection));
    }
}

/// One connection, from its first byte to its last.
async fn connection(
    shared: Arc<Shared>,
    tls: Arc<ServerConfig>,
    tcp: TcpStream,
    peer: SocketAddr,
    seat: Seat,
) {
    // Answers are small and awaited; a failure costs only time.
    let _ = tcp.set_nodelay(true);
    let proven = match prove_client(&tls, tcp).await {
        Ok(proven) => proven,
        Err(unproven) => {
            debug!("{peer} was refused in the handshake: {}", unproven.cause);
            shared.refuse_handshake(unproven.cause);
            unproven.dismiss().await;
            return;
        }
    };
    drop(seat);
    // Held to the end: a client that proves its key and then says nothing counts as well.
    let Ok(_place) = Arc::clone(&shared.proven).try_acquire_owned() else {
        shared.note_refused_upgrade(peer, UpgradeRefusal::Busy);
        return;
    };
    let Some((socket, hello, admitted)) = upgraded(&shared, proven, peer).await else { return };
    match admitted {
        Admitted::Session(attached) => session(&shared, peer, socket, hello, attached).await,
        Admitted::Test => {
            let offers = HostMessage::Offers { keys: shared.store.keys(), agents: shared.agents() };
            last_word(socket, &offers).await;
        }
        Admitted::Kill => {
            info!("{peer} ends the bridge");
            last_word(socket, &HostMessage::Ending).await;
            // The channel holds one request, and one is enough.
            let _ = shared.kill.try_send(());
        }
    }
}

/// What a proven connection may be used for.
enum Admitted {
    Session(Attached),
    Test,
    Kill,
}

async fn upgraded(
    shared: &Shared,
    proven: ProvenStream,
    peer: SocketAddr,
) -> Option<(Socket, Hello, Admitted)> {
    let judge = |hello: Option<&Hello>| {
        let admitted = hello.ok_or(UpgradeRefusal::Malformed).and_then(|hello| shared.admit(hello, peer));
        admitted.inspect_err(|refusal| shared.note_refused_upgrade(peer, *refusal))
    };
    let upgraded = upgrade(proven, judge).await;
    if matches!(upgraded, Err(NotUpgraded::NoRequest)) {
        shared.note_refused_upgrade(peer, UpgradeRefusal::Malformed);
    }
    upgraded.ok()
}

async fn session(shared: &Shared, peer: SocketAddr, socket: Socket, hello: Hello, mut attached: Attached) {
    let client = Client { session: attached.id(), peer };
    let replaced = Arc::clone(&attached.replaced);
    // If the bridge ends meanwhile, this task is dropped here; the record says so all the same.
    let mut ended = EndOfSession { shared, client, how: "bridge-ended" };
    let how = tokio::select! {
        how = converse(shared, client, socket, hello.keys) => how,
        () = replaced.notified() => How::Replaced,
    };
    ended.how = how.word();
    if how == How::TooManyRequests {
        shared.audit.note(&Record::LimitHit { peer, limit: "requests per session" });
    }
    match how {
        // It has nothing more to say, or must not.
        How::Closed | How::Protocol | How::TooManyRequests => attached.close(),
        How::Broken | How::Idle | How::Replaced => {}
    }
}

/// Writes the record of a session's end, however it ends.
struct EndOfSession<'a> {
    shared: &'a Shared,
    client: Client,
    how: &'static str,
}

impl Drop for EndOfSession<'_> {
    fn drop(&mut self) {
        let Client { session, peer } = self.client;
        debug!("session of {peer} ended: {}", self.how);
        self.shared.audit.note(&Record::SessionEnded { session: Shown(session), peer, how: self.how });
    }
}

/// Sends the one message that ends a connection which is no session, and lets the client read it.
async fn last_word(mut socket: Socket, message: &HostMessage<'_>) {
    let exchange = async {
        if socket.send(Message::binary(message.encode())).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    let _ = timeout(LAST_WORD, exchange).await;
}

impl Shared {
    /// Judges an upgrade request, and writes down what it admits before the client learns of it.
    fn admit(&self, hello: &Hello, peer: SocketAddr) -> Result<Admitted, UpgradeRefusal> {
        let (admitted, recorded) = match hello.purpose {
            Purpose::Session => {
                let mut attached = self.sessions.admit(hello.resume)?;
                let (session, redial) = (Shown(attached.id()), attached.redial);
                let recorded = self.audit.write(&Record::SessionBegun { session, peer, redial });
                if recorded.is_err() {
                    attached.close();
                } else if !redial {
                    self.summary().sessions += 1;
                }
                (Admitted::Session(attached), recorded)
            }
            Purpose::Test => (Admitted::Test, self.audit.write(&Record::Tested { peer })),
            Purpose::Kill if self.kill_allowed => {
                (Admitted::Kill, self.audit.write(&Record::Killed { peer }))
            }
            Purpose::Kill => return Err(UpgradeRefusal::KillForbidden),
        };
        recorded.map_err(|_| UpgradeRefusal::AuditFailed)?;
        Ok(admitted)
    }

    /// The secrets.
    pub(crate) fn store(&self) -> &SecretStore {
        &self.store
    }

    /// Where decisions are written down.
    pub(crate) fn audit(&self) -> &Audit {
        &self.audit
    }

    /// Ids of the agents offered: none, as long as agents are not built.
    pub(crate) fn agents(&self) -> Vec<String> {
        Vec::new()
    }

    /// Remembers, for the summary, that `key` was given out.
    pub(crate) fn count_read(&self, key: Key) {
        self.summary().keys.insert(key);
    }

    /// Remembers, for the summary, that something was refused.
    pub(crate) fn count_refusal(&self) {
        self.summary().refusals += 1;
    }

    fn note_refused_upgrade(&self, peer: SocketAddr, refusal: UpgradeRefusal) {
        info!("{peer} is refused: {}", refusal.as_str());
        self.count_refusal();
        self.audit.note(&Record::SessionRefused { peer, reason: upgrade_refusal_word(refusal) });
    }

    fn refuse_handshake(&self, cause: &'static str) {
        self.summary().handshakes_refused += 1;
        self.refused_handshakes.count(cause);
    }

    fn note_refused_handshakes(&self) {
        if let Some(causes) = self.refused_handshakes.take() {
            let count = causes.values().sum();
            self.audit.note(&Record::HandshakesRefused { count, causes: &causes });
        }
    }

    fn summary(&self) -> MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
