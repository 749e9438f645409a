//! The bridge while it runs: it accepts, bounds, and ends.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use proto::BridgeConf;
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, warn};

use crate::agent::Agents;
use crate::agent::local_socket::{self, LocalSockets};
use crate::audit::{Audit, Record};
use crate::ca::authority::Authority;
use crate::clock::Deadline;
use crate::config::ServeConfig;
use crate::error::HostError;
use crate::net::addresses;
use crate::net::connection::converse_with;
use crate::net::listener::{self, AllowFrom};
use crate::net::pending::WaitingRoom;
use crate::recorder::{Recorder, Summary};
use crate::secrets::store::SecretStore;
use crate::state::BridgeState;

/// How often the bridge looks at its deadline.
const TICK: Duration = Duration::from_secs(1);
/// Refused handshakes are written in sums, one record for so many ticks.
const TICKS_PER_SUM: u32 = 10;

/// A bridge that listens already, so that whoever reads its conf can dial.
pub struct Bridge {
    listener: TcpListener,
    tls: Arc<ServerConfig>,
    allow_from: AllowFrom,
    own_addresses: Vec<IpAddr>,
    deadline: Option<Deadline>,
    conf: BridgeConf,
    state: Arc<BridgeState>,
    sockets: LocalSockets,
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

impl Bridge {
    /// Mints the throwaway CA, listens, and makes the conf.
    ///
    /// # Errors
    /// [`HostError`].
    pub fn bind(config: &ServeConfig, store: SecretStore, agents: Agents) -> Result<Self, HostError> {
        let audit = Audit::open(&config.audit).map_err(|source| config.audit_error(source))?;
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
        let sockets = local_socket::bind(&config.agent_sockets, &agents)?;
        let state = Arc::new(BridgeState::new(config, store, agents, Recorder::new(audit), kill));
        let begun = Record::BridgeBegun { port: local.port(), keys: state.store.keys().len() };
        state.recorder.audit().write(&begun).map_err(|source| config.audit_error(source))?;
        Ok(Self {
            listener,
            tls: authority.tls,
            allow_from: config.allow_from.clone(),
            own_addresses: addresses::all_of_this_machine(),
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

    /// Serves until `shutdown` resolves, time or sessions are used up, or a client ends it. Every connection ends
    /// with it, and so does the conf's worth.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) -> (Ended, Summary) {
        let room = Arc::new(WaitingRoom::default());
        let mut connections = JoinSet::new();
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ticks = 0u32;
        let state = Arc::clone(&self.state);
        let sockets = std::mem::take(&mut self.sockets);
        let serving_sockets = sockets.serve(&state.agents, &state.recorder);
        tokio::pin!(shutdown, serving_sockets);
        let ended = loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((tcp, peer)) => {
                        self.receive(&room, &mut connections, tcp, listener::canonical(peer));
                        // A connection that was put out is freed when its task runs: in a flood, accepting on and on
                        // would let them pile up.
                        yield_now().await;
                    }
                    Err(error) => {
                        // Too many open files, for one: connections that end make room.
                        warn!("a connection could not be accepted: {error}");
                        sleep(Duration::from_millis(50)).await;
                    }
                },
                Some(_) = connections.join_next() => {
                    if self.state.is_exhausted() {
                        break Ended::SessionsUsedUp;
                    }
                }
                _ = tick.tick() => {
                    ticks = ticks.wrapping_add(1);
                    if ticks.is_multiple_of(TICKS_PER_SUM) {
                        self.state.recorder.write_refused_handshakes();
                    }
                    if self.deadline.is_some_and(|deadline| deadline.has_passed()) {
                        break Ended::TimedOut;
                    }
                    if self.state.is_exhausted() {
                        break Ended::SessionsUsedUp;
                    }
                }
                () = &mut serving_sockets => {} // it has no end
                Some(()) = self.kill_requested.recv() => break Ended::Killed,
                () = &mut shutdown => break Ended::Shutdown,
            }
        };
        drop(self.listener);
        connections.shutdown().await;
        self.state.recorder.write_refused_handshakes();
        self.state.recorder.audit().note(&Record::BridgeEnded { why: ended.as_str() });
        let summary = self.state.recorder.summary();
        (ended, summary)
    }

    fn receive(
        &self,
        room: &Arc<WaitingRoom>,
        connections: &mut JoinSet<()>,
        tcp: TcpStream,
        peer: SocketAddr,
    ) {
        if !self.allow_from.admits(peer.ip(), &self.own_addresses) {
            debug!("{peer} is outside --allow-from");
            self.state.recorder.refused_handshake("address-not-allowed");
            return;
        }
        self.state.recorder.count_connection();
        let (seat, put_out) = room.enter(peer.ip());
        if put_out {
            self.state.recorder.refused_handshake("yielded-to-newcomer");
        }
        let number = seat.number();
        let connection = converse_with(Arc::clone(&self.state), Arc::clone(&self.tls), tcp, peer, seat);
        room.occupy(number, connections.spawn(connection));
    }
}
