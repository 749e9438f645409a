//! The line of clients that wait for a place: redials first, and then first come, first served.

use std::collections::{BTreeMap, HashMap};

use proto::SessionId;
use tokio::sync::oneshot;

/// A position in the line; the smallest is next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position {
    kind: Kind,
    number: u64,
}

/// Why a client is in line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// To continue a session: the COMMAND of a build may depend on it.
    Redial,
    /// To begin one.
    Newcomer,
}

/// A client in line for a place, which is a `T`.
pub(super) struct Waiter<T> {
    pub(super) session: SessionId,
    /// Which connection of the client this is: a client that dials again while it is in line keeps its position.
    connection: u64,
    /// Dropped without a value if the client cannot wait any longer.
    turn: oneshot::Sender<T>,
}

impl<T> Waiter<T> {
    /// Tells the client that it has a place.
    ///
    /// # Errors
    /// The place, if the client has just left. To be dropped without a lock on the registry.
    pub(super) fn call(self, place: T) -> Result<(), T> {
        self.turn.send(place)
    }
}

/// What a client in line has.
pub(super) struct Turn<T> {
    pub(super) position: Position,
    pub(super) connection: u64,
    /// Resolves to the place, or to an error if the client cannot wait any longer.
    pub(super) place: oneshot::Receiver<T>,
}

pub(super) struct Line<T> {
    capacity: usize,
    last_number: u64,
    waiters: BTreeMap<Position, Waiter<T>>,
    positions: HashMap<SessionId, Position>,
}

impl<T> Line<T> {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, last_number: 0, waiters: BTreeMap::new(), positions: HashMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    /// Whether the client of `session` is in line.
    pub(super) fn contains(&self, session: SessionId) -> bool {
        self.positions.contains_key(&session)
    }

    /// Puts the client of `session` into the line, or gives its position there to its new connection. In a full line, a
    /// redial displaces the last newcomer, which is returned; `None` if there is none.
    pub(super) fn join(&mut self, session: SessionId, kind: Kind) -> Option<(Turn<T>, Option<Waiter<T>>)> {
        let mut displaced = None;
        if !self.contains(session) && self.waiters.len() >= self.capacity {
            let last = *self.waiters.last_key_value()?.0;
            if kind == Kind::Newcomer || last.kind == Kind::Redial {
                return None;
            }
            displaced = self.remove(last);
        }
        self.last_number += 1;
        let connection = self.last_number;
        let position = *self.positions.entry(session).or_insert(Position { kind, number: connection });
        let (turn, place) = oneshot::channel();
        self.waiters.insert(position, Waiter { session, connection, turn });
        Some((Turn { position, connection, place }, displaced))
    }

    /// Takes the connection out of the line; `false` if it is not there any more.
    pub(super) fn leave(&mut self, position: Position, connection: u64) -> bool {
        let is_there = self.waiters.get(&position).is_some_and(|waiter| waiter.connection == connection);
        is_there && self.remove(position).is_some()
    }

    /// Takes the next client out of the line.
    pub(super) fn next(&mut self) -> Option<(Kind, Waiter<T>)> {
        let position = *self.waiters.first_key_value()?.0;
        self.remove(position).map(|waiter| (position.kind, waiter))
    }

    fn remove(&mut self, position: Position) -> Option<Waiter<T>> {
        let waiter = self.waiters.remove(&position)?;
        self.positions.remove(&waiter.session);
        Some(waiter)
    }
}

impl Position {
    pub(super) fn is_redial(self) -> bool {
        self.kind == Kind::Redial
    }
}
