//! How much a bridge holds at once, computed at its start from the limit of open descriptors and the settings. Every kind
//! of connection has its own limit, and all of them together fit: no kind takes the descriptors of another.

use thiserror::Error;

use crate::net::handshakes::{MAX_RUNNING, MAX_WAITING};
use crate::net::silent_peers::MAX_SILENT;
use crate::{descriptors, memory};

/// Memory for what waits because of clients, if `--max-memory` does not say otherwise.
pub const DEFAULT_MEMORY: u64 = memory::DEFAULT_MEMORY as u64;
/// Least `--max-memory`: several of the largest messages, of 1 MiB.
pub const MIN_MEMORY: u64 = memory::MIN_MEMORY as u64;

/// Memory that a session is sure of by default, in bytes. The sure shares of all sessions take at most half of the memory.
const SURE_SHARE: u64 = memory::SURE_SHARE as u64;
/// Least sure share, for `--max-concurrent`: a request and its answer.
const MIN_SURE_SHARE: u64 = 4 << 10;

/// Connections that a session may have at once, but for its streams: a redial besides the connection that it replaces, and
/// more while a client dials again and again.
const CONNECTIONS_PER_SESSION: u64 = 4;

/// Descriptors of the bridge itself: standard streams, log and audit, the listener, those of the event loop and of
/// signals, and files that are read.
const OWN: u64 = 32;
/// Descriptors for programs that the bridge starts: pipes and a pidfd each.
const PROGRAMS: u64 = 32;
/// Descriptors for a stream: its connection, and that to the server which it asks.
const PER_STREAM: u64 = 2;
/// Connections to the agent of the host, for each agent (`agent::upstream_pool`).
const UPSTREAM_CONNECTIONS: u64 = 32;
/// An `--agent-socket`: its listener and its connections (`agent::socket`).
const AGENT_SOCKET: u64 = 1 + 64;

/// How much a bridge holds at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(test, derive(Default))]
pub(crate) struct BridgeLimits {
    /// Sessions with a place. Sessions that wait for a redial have none.
    pub(crate) sessions: usize,
    /// Sessions that were started within another session, and need no place.
    pub(crate) nested: usize,
    /// As `nested`, within one session.
    pub(crate) nested_in_one: usize,
    /// Clients in line for a place.
    pub(crate) waiting: usize,
    /// Connections that have not shown a knock.
    pub(crate) silent_peers: usize,
    /// Connections in the TLS handshake.
    pub(crate) handshakes: usize,
    /// Connections that have shown a knock, and whose handshake has not begun.
    pub(crate) knocked: usize,
    /// Connections after the handshake that have sent no upgrade request.
    pub(crate) upgrades: usize,
    /// Connections of `test` and `kill`.
    pub(crate) queries: usize,
    /// Streams of all sessions; none if the bridge has no rules for HTTP requests.
    pub(crate) streams: usize,
    /// Bytes for what waits because of clients.
    pub(crate) memory: usize,
    /// Connections of proven clients that are sure of a share of the memory: at least all sessions.
    pub(crate) sure_shares: usize,
}

/// What a bridge with certain settings needs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    /// `--max-concurrent`.
    pub(crate) sessions: Option<u32>,
    /// `--max-memory`, in bytes.
    pub(crate) memory: u64,
    pub(crate) agents: usize,
    pub(crate) agent_sockets: usize,
    /// Whether it has rules for HTTP requests.
    pub(crate) http: bool,
}

/// Why a bridge cannot start with its settings.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LimitError {
    #[error(
        "cannot serve {wanted} sessions at once (--max-concurrent): the limit of open files is {limit}, and that needs \
         {needed}; raise the hard limit (`ulimit -n`, LimitNOFILE= of a systemd service) or lower --max-concurrent"
    )]
    Sessions { wanted: u32, limit: u64, needed: u64 },
    #[error(
        "cannot start a bridge: the limit of open files is {limit}, and it needs {needed}; raise the hard limit \
         (`ulimit -n`, LimitNOFILE= of a systemd service)"
    )]
    Descriptors { limit: u64, needed: u64 },
    #[error(
        "cannot serve {wanted} sessions at once (--max-concurrent) in {memory} bytes of memory (--max-memory): that \
         needs at least {needed}"
    )]
    Memory { wanted: u32, memory: u64, needed: u64 },
}

impl BridgeLimits {
    /// Raises the limit of open descriptors, and computes what a bridge holds at once within it.
    ///
    /// # Errors
    /// [`LimitError`] if that is not enough for `--max-concurrent`, or for any bridge.
    pub(crate) fn set_up(needs: Needs) -> Result<Self, LimitError> {
        let wanted = needs.sessions.map_or(0, u64::from);
        Self::within(descriptors::raise(Parts::of(u64::MAX, needs).descriptors(needs, wanted, 1)), needs)
    }

    /// What a bridge holds at once with `limit` open descriptors.
    fn within(limit: u64, needs: Needs) -> Result<Self, LimitError> {
        let parts = Parts::of(limit, needs);
        let sessions = match needs.sessions {
            Some(wanted) => {
                let least_memory = u64::from(wanted) * MIN_SURE_SHARE * 2;
                if needs.memory < least_memory {
                    return Err(LimitError::Memory { wanted, memory: needs.memory, needed: least_memory });
                }
                let needed = parts.descriptors(needs, wanted.into(), 1);
                if needed > limit {
                    return Err(LimitError::Sessions { wanted, limit, needed });
                }
                u64::from(wanted)
            }
            None => {
                let needed = parts.descriptors(needs, 1, CONNECTIONS_PER_SESSION);
                let left = limit.checked_sub(needed).ok_or(LimitError::Descriptors { limit, needed })?;
                (1 + left / CONNECTIONS_PER_SESSION).min(needs.memory / 2 / SURE_SHARE)
            }
        };
        let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Ok(Self {
            sessions: count(sessions),
            nested: count(parts.nested),
            nested_in_one: count(parts.nested.div_ceil(2)),
            waiting: count(parts.waiting),
            silent_peers: count(parts.silent_peers),
            handshakes: count(parts.handshakes),
            knocked: count(parts.knocked),
            upgrades: count(parts.upgrades),
            queries: count(parts.queries),
            streams: count(parts.streams),
            memory: count(needs.memory),
            sure_shares: count(
                (sessions + parts.nested + parts.proven()).min(needs.memory / 2 / SURE_SHARE).max(sessions),
            ),
        })
    }
}

/// The limits that follow from the limit of descriptors alone.
struct Parts {
    nested: u64,
    waiting: u64,
    silent_peers: u64,
    handshakes: u64,
    knocked: u64,
    upgrades: u64,
    queries: u64,
    streams: u64,
}

impl Parts {
    fn of(limit: u64, needs: Needs) -> Self {
        let memory = usize::try_from(needs.memory).unwrap_or(usize::MAX);
        let streams = (limit / 16).clamp(4, memory::most_streams(memory) as u64);
        Self {
            // `make -j` within `exec`, for instance.
            nested: (limit / 32).clamp(4, 128),
            waiting: (limit / 10).clamp(2, 1024),
            silent_peers: (limit / 16).clamp(4, MAX_SILENT as u64),
            handshakes: (limit / 32).clamp(4, MAX_RUNNING as u64),
            knocked: (limit / 16).clamp(4, MAX_WAITING as u64),
            upgrades: (limit / 32).clamp(4, 128),
            queries: (limit / 64).clamp(2, 64),
            streams: if needs.http { streams } else { 0 },
        }
    }

    /// Descriptors of a bridge with `sessions` sessions of `each` connections.
    fn descriptors(&self, needs: Needs, sessions: u64, each: u64) -> u64 {
        let agents = needs.agents as u64 * UPSTREAM_CONNECTIONS + needs.agent_sockets as u64 * AGENT_SOCKET;
        let unproven = self.silent_peers + self.handshakes + self.knocked;
        let streams = self.streams * PER_STREAM;
        OWN + PROGRAMS + agents + unproven + self.proven() + streams + (sessions + self.nested) * each
    }

    /// Connections of clients that are proven and have no session.
    fn proven(&self) -> u64 {
        self.upgrades + self.queries + self.waiting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEEDS: Needs =
        Needs { sessions: None, memory: DEFAULT_MEMORY, agents: 1, agent_sockets: 0, http: false };

    #[test]
    fn memory_limits_the_sessions_where_descriptors_suffice() {
        assert_eq!(BridgeLimits::within(20_000, NEEDS).unwrap().sessions, 2048);
        let small = Needs { memory: MIN_MEMORY, ..NEEDS };
        assert_eq!(BridgeLimits::within(20_000, small).unwrap().sessions, 64);
    }

    #[test]
    fn everything_at_once_fits_into_the_limit_of_descriptors() {
        for limit in [128, 256, 1024, 4096, 20_000, 65_536] {
            for sessions in [None, Some(1), Some(1000), Some(10_000)] {
                for (agents, http) in [(0, false), (1, false), (3, false), (1, true), (0, true)] {
                    let needs = Needs { sessions, agents, http, ..NEEDS };
                    let Ok(limits) = BridgeLimits::within(limit, needs) else { continue };
                    let connections = limits.sessions
                        + limits.nested
                        + limits.waiting
                        + limits.silent_peers
                        + limits.handshakes
                        + limits.knocked
                        + limits.upgrades
                        + limits.queries
                        + limits.streams * 2
                        + agents * 32;
                    assert_eq!(limits.streams > 0, http);
                    assert!(connections as u64 + OWN + PROGRAMS <= limit, "{limit} {needs:?} {limits:?}");
                    assert!(limits.waiting as u64 * 10 <= limit && limits.waiting <= 1024);
                }
            }
        }
    }

    #[test]
    fn memory_and_descriptors_limit_the_streams() {
        let streams = |limit, memory| {
            BridgeLimits::within(limit, Needs { http: true, memory, ..NEEDS }).unwrap().streams
        };
        assert_eq!(streams(20_000, DEFAULT_MEMORY), 1024);
        assert_eq!(streams(4096, DEFAULT_MEMORY), 256);
        // At least those of one session, where there are descriptors.
        assert_eq!(streams(20_000, MIN_MEMORY), 128);
        assert_eq!(streams(256, DEFAULT_MEMORY), 16);
    }

    #[test]
    fn too_few_descriptors_are_an_error_with_numbers() {
        assert_eq!(
            BridgeLimits::within(20_000, Needs { sessions: Some(10_000), ..NEEDS }).unwrap().sessions,
            10_000
        );
        let many = BridgeLimits::within(20_000, Needs { sessions: Some(30_000), ..NEEDS });
        assert!(matches!(
            many,
            Err(LimitError::Sessions { wanted: 30_000, limit: 20_000, needed: 30_001.. })
        ));
        assert!(matches!(BridgeLimits::within(64, NEEDS), Err(LimitError::Descriptors { limit: 64, .. })));
        assert!(BridgeLimits::within(256, NEEDS).is_ok());
    }

    #[test]
    fn too_little_memory_for_the_sessions_is_an_error() {
        let needs = Needs { sessions: Some(10_000), memory: MIN_MEMORY, ..NEEDS };
        let error = BridgeLimits::within(20_000, needs).unwrap_err();
        assert_eq!(error, LimitError::Memory { wanted: 10_000, memory: 8 << 20, needed: 81_920_000 });
    }
}
