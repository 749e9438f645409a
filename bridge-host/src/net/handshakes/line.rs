//! Clients in line for their handshake. Sources take turns: many clients at one address do not keep those at others
//! waiting.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::time::Instant;

use crate::net::handshakes::Knocked;

/// A client that waits so long has given up: it gives an endpoint 4 s.
pub(super) const LINE_TIMEOUT: Duration = Duration::from_secs(4);

/// What counts as one source of connections: an IPv4 address, or the /64 of an IPv6 address, all of which one host can have
/// (RFC 4291, 2.5.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Source {
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Source {
    pub(super) fn of(peer: SocketAddr) -> Self {
        match peer.ip() {
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => {
                let [a, b, c, d, e, f, g, h, ..] = ip.octets();
                Self::V6([a, b, c, d, e, f, g, h])
            }
        }
    }
}

#[derive(Default)]
pub(super) struct Line {
    length: usize,
    /// Each in the order of arrival, and none of them empty.
    queues: HashMap<Source, VecDeque<(Knocked, Instant)>>,
    /// The sources with clients in line. The first one is next.
    turns: VecDeque<Source>,
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds a client. If the line has `limit` clients, the last one of the source with the most must leave, which may be
    /// the new one; returns `false` then.
    pub(super) fn push(&mut self, knocked: Knocked, now: Instant, limit: usize) -> bool {
        let source = Source::of(knocked.peer);
        let is_full = self.length >= limit;
        if is_full {
            let own = self.queues.get(&source).map_or(0, VecDeque::len);
            let longest = self.queues.iter().max_by_key(|(_, queue)| queue.len());
            let Some((&longest, _)) = longest.filter(|(_, queue)| queue.len() > own + 1) else {
                return false;
            };
            self.remove_last(longest);
        }
        let queue = self.queues.entry(source).or_default();
        if queue.is_empty() {
            self.turns.push_back(source);
        }
        queue.push_back((knocked, now));
        self.length += 1;
        !is_full
    }

    /// `source` has more than one client.
    fn remove_last(&mut self, source: Source) {
        if self.queues.get_mut(&source).and_then(VecDeque::pop_back).is_some() {
            self.length -= 1;
        }
    }

    /// The next client.
    pub(super) fn first(&self) -> Option<&Knocked> {
        self.queues.get(self.turns.front()?)?.front().map(|(knocked, _)| knocked)
    }

    /// Removes the next client, and gives the turn to the next source.
    pub(super) fn pop(&mut self) -> Option<Knocked> {
        let source = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&source)?;
        let (knocked, _) = queue.pop_front()?;
        self.length -= 1;
        if queue.is_empty() {
            self.queues.remove(&source);
        } else {
            self.turns.push_back(source);
        }
        Some(knocked)
    }

    /// Removes the clients whose time is up, and says how many they were.
    pub(super) fn expire(&mut self, now: Instant) -> usize {
        let before = self.length;
        let Self { length, queues, turns } = self;
        queues.retain(|_, queue| {
            while queue.front().is_some_and(|(_, since)| now.duration_since(*since) >= LINE_TIMEOUT) {
                queue.pop_front();
                *length -= 1;
            }
            !queue.is_empty()
        });
        turns.retain(|source| queues.contains_key(source));
        before - self.length
    }
}
