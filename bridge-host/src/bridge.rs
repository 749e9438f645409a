//! The bridge: it binds, accepts connections, and ends.

use std::sync::Arc;
use std::time::Duration;

use proto::BridgeConf;
use proto::knock::KnockKey;
use rustls::ServerConfig;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{Instrument as _, Level, enabled, error_span};

use crate::agent::Agents;
use crate::agent::socket::{self, AgentSockets};
use crate::audit::{Audit, Record};
use crate::ca::authority::Authority;
use crate::clock::Deadline;
use crate::config::ServeConfig;
use crate::error::HostError;
use crate::http::{Gateway, HttpCredentials};
use crate::limits::{BridgeLimits, Needs};
use crate::net::accept_loop::{AcceptLoop, Counts};
use crate::net::handshakes::{Knocked, Slot};
use crate::net::tasks::ConnectionTasks;
use crate::net::{addresses, connection, listener};
use crate::recorder::{Recorder, Summary};
use crate::secrets::store::SecretStore;
use crate::state::BridgeState;

/// How often the bridge checks its deadline.
const TICK: Duration = Duration::from_secs(1);
/// What is only counted, such as refused handshakes, is written as one record after this number of ticks.
const TICKS_PER_SUMS: u32 = 10;

/// A bridge that listens already, so that a client that has its conf can dial.
pub struct Bridge {
    accept_loop: AcceptLoop,
    tls: Arc<ServerConfig>,
    deadline: Option<Deadline>,
    conf: BridgeConf,
    state: Arc<BridgeState>,
    sockets: AgentSockets,
    kill_requested: mpsc::Receiver<()>,
}

/// Why a bridge ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BridgeEnd {
    /// The future given to [`Bridge::run`] resolved.
    Shutdown,
    /// Its `--timeout` passed.
    TimedOut,
    /// A client sent `kill`.
    Killed,
    /// The last session that `--once` or `--max-sessions` admits has ended.
    SessionsUsedUp,
}

impl BridgeEnd {
    /// The reason for messages, after "the bridge has stopped: ".
    pub fn reason(self) -> &'static str {
        match self {
            Self::Shutdown => "it was shut down on the host",
            Self::TimedOut => "its timeout has passed",
            Self::Killed => "a client ran `kill`",
            Self::SessionsUsedUp => "the last session that it admits has ended",
        }
    }

    /// The `why` of the audit record. The words are stable.
    fn audit_word(self) -> &'static str {
        match self {
            Self::Shutdown => "ended by its host",
            Self::TimedOut => "its time is up",
            Self::Killed => "ended by a client's `kill`",
            Self::SessionsUsedUp => "the last session that it admits has ended",
        }
    }
}

impl Bridge {
    /// Creates the throwaway CA, listens, and makes the conf.
    ///
    /// # Errors
    /// [`HostError`], for the first step that fails.
    pub fn bind(
        config: &ServeConfig,
        store: SecretStore,
        agents: Agents,
        http: HttpCredentials,
    ) -> Result<Self, HostError> {
        let limits = BridgeLimits::set_up(Needs {
            sessions: config.max_concurrent,
            memory: config.max_memory,
            agents: agents.ids().len(),
            agent_sockets: config.agent_sockets.len(),
            http: http.rules().iter().next().is_some(),
        })?;
        let audit = Audit::open(&config.audit).map_err(|source| config.audit_error(source))?;
        let mut authority = Authority::mint(config.key_exchange, config.ca_key_store.as_deref())?;
        let listener = listener::bind(&config.listen_at(authority.kept_port()))?;
        let local = listener
            .local_addr()
            .map_err(|source| HostError::Listen { at: config.listen.to_string(), source })?;
        authority.keep(local.port())?;

        let deadline = config.lifetime.and_then(Deadline::after);
        let conf = BridgeConf {
            // A conf that stays the same between runs cannot name the end of one of them.
            expiry: deadline.filter(|_| !authority.is_kept()).and_then(|deadline| deadline.unix_seconds()),
            port: local.port(),
            pin: authority.pin,
            client_seed: authority.client_seed,
            endpoints: addresses::advertised(local, &config.endpoints),
        };
        let (kill, kill_requested) = mpsc::channel(1);
        let sockets = socket::bind(&config.agent_sockets, &agents)?;
        let recorder = Arc::new(Recorder::new(audit));
        let gateway = Gateway::new(http, Arc::clone(&recorder));
        let state = BridgeState::new(config, &limits, (store, agents, gateway), recorder, kill);
        let state = Arc::new(state);
        let begun = Record::BridgeBegun { port: local.port(), keys: state.store.keys().len() };
        state.recorder.audit().write(&begun).map_err(|source| config.audit_error(source))?;
        Ok(Self {
            accept_loop: AcceptLoop::new(
                listener,
                config.allow_from.clone(),
                addresses::all_of_this_machine(),
                KnockKey::new(&conf.client_seed),
                &limits,
            ),
            tls: authority.tls,
            deadline,
            conf,
            state,
            sockets,
            kill_requested,
        })
    }

    /// What a build needs to dial.
    pub fn conf(&self) -> &BridgeConf {
        &self.conf
    }

    /// Serves until `shutdown` resolves, the deadline passes, the last session has ended, or a client kills the
    /// bridge. Then every connection is closed, and the conf is worthless.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> (BridgeEnd, Summary) {
        let mut connections = ConnectionTasks::default();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks = 0u32;
        let state = Arc::clone(&self.state);
        let sockets = std::mem::take(&mut self.sockets);
        let serving_sockets = sockets.serve(&state.agents, &state.recorder);
        tokio::pin!(shutdown, serving_sockets);
        let ended = loop {
            tokio::select! {
                starting = self.accept_loop.turn() => {
                    for (knocked, slot) in starting {
                        self.start_connection(&mut connections, knocked, slot);
                    }
                    // A flood keeps the accept loop ready. Sessions go on all the same, and what ended is freed.
                    connections.reap();
                    yield_now().await;
                }
                Some(()) = connections.join_next() => {
                    if self.state.is_exhausted() {
                        break BridgeEnd::SessionsUsedUp;
                    }
                }
                _ = tick.tick() => {
                    self.record_counts();
                    self.state.gateway.close_old();
                    ticks = ticks.wrapping_add(1);
                    if ticks.is_multiple_of(TICKS_PER_SUMS) {
                        self.state.recorder.write_sums();
                    }
                    if self.deadline.is_some_and(|deadline| deadline.has_passed()) {
                        break BridgeEnd::TimedOut;
                    }
                    // Also here: sessions can expire, and `reap` can be faster than `join_next`.
                    if self.state.is_exhausted() {
                        break BridgeEnd::SessionsUsedUp;
                    }
                }
                () = &mut serving_sockets => {} // never resolves
                Some(()) = self.kill_requested.recv() => break BridgeEnd::Killed,
                () = &mut shutdown => break BridgeEnd::Shutdown,
            }
        };
        self.record_counts();
        drop(self.accept_loop);
        connections.shutdown().await;
        self.state.recorder.write_sums();
        self.state.recorder.audit().note(&Record::BridgeEnded { why: ended.audit_word() });
        let summary = self.state.recorder.summary();
        (ended, summary)
    }

    /// Serves a connection in a task of its own.
    fn start_connection(&self, connections: &mut ConnectionTasks, knocked: Knocked, slot: Slot) {
        let peer = knocked.peer;
        // Debug messages need the port, to tell the connections of one address apart.
        let shown = if enabled!(Level::DEBUG) { peer.to_string() } else { peer.ip().to_string() };
        let span = error_span!("connection", peer = %shown);
        let id = slot.id();
        let connection = connection::serve(Arc::clone(&self.state), Arc::clone(&self.tls), knocked, slot);
        let task = connections.spawn(connection.instrument(span));
        self.accept_loop.handshakes().set_task(id, task);
    }

    /// Hands the counts of the accept loop to the recorder.
    fn record_counts(&mut self) {
        let Counts { connections, refused } = self.accept_loop.take_counts();
        self.state.recorder.count_connections(connections);
        for (cause, count) in refused.iter() {
            self.state.recorder.refused_handshakes(cause.word(), count);
        }
    }
}
