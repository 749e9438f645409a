//! The sessions of a bridge: it limits their number, and lets a redial continue one whose connection broke.
//!
//! A session with a connection has one of the bridge's places. A client that finds no free place waits in line. A session
//! that waits for a redial has no place. Nor has a session that was started within another one: that one waits for it, and
//! would wait without end if the inner session waited for a place.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proto::{Hello, SessionId, UpgradeRefusal};
use tokio::sync::Notify;

use super::line::{Kind, Line, Turn, Waiter};
use streams::SessionStreams;
pub(crate) use streams::StreamSlot;

use crate::agent::Answers;
use crate::limits::BridgeLimits;

/// How long a session can be continued after its connection broke.
const REDIAL_GRACE: Duration = Duration::from_secs(60);
/// Sessions that may wait for a redial at once, if the bridge has no more places. Each takes some 400 bytes.
const MAX_BROKEN: usize = 4096;

/// The sessions that have not ended, and the clients in line.
pub(crate) struct SessionRegistry {
    /// How many sessions may begin in the bridge's life (`--once`, `--max-sessions`).
    limit: Option<u32>,
    places: usize,
    nested: usize,
    nested_in_one: usize,
    streams: usize,
    table: Mutex<Table>,
}

struct Table {
    /// Sessions that count for the limit: those that have begun, and those in line.
    counted: u64,
    /// Sessions that have begun.
    begun: u64,
    live: HashMap<SessionId, LiveSession>,
    /// Sessions in [`Stage::Placed`].
    placed: usize,
    /// Sessions in [`Stage::Nested`].
    nested: usize,
    /// Sessions in [`Stage::Broken`], in the order in which they broke.
    broken: BTreeMap<u64, SessionId>,
    last_broken: u64,
    /// Streams of all sessions.
    streams: usize,
    line: Line<Attachment>,
}

struct LiveSession {
    /// See [`Attachment::number`].
    number: u64,
    /// Number of the session's present connection.
    generation: u64,
    /// Notified when a redial replaces the present connection.
    replaced: Arc<Notify>,
    /// What a person permitted to the session.
    answers: Arc<Answers>,
    /// Id and number of the session within which this one was started.
    parent: Option<(SessionId, u64)>,
    /// Sessions in [`Stage::Nested`] that were started within this one.
    nested: usize,
    streams: SessionStreams,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// It has a connection and a place.
    Placed,
    /// It has a connection, and needs no place.
    Nested,
    /// It has a connection, which waits in line for a place.
    InLine,
    /// It has no connection.
    Broken {
        /// Its key in [`Table::broken`].
        order: u64,
        since: Instant,
    },
}

/// What becomes of a hello.
pub(crate) enum Entry {
    Admitted(Attachment),
    InLine(Ticket),
}

/// The attachment of one connection to its session. If it is dropped without [`Self::close`], the session can be
/// continued for [`REDIAL_GRACE`].
pub(crate) struct Attachment {
    sessions: Arc<SessionRegistry>,
    id: SessionId,
    /// The session among all of this bridge. Reads are counted by it: a client may choose an id again whose session has
    /// ended, and that is another session.
    pub(crate) number: u64,
    generation: u64,
    /// Whether this continues an earlier connection.
    pub(crate) redial: bool,
    /// Notified when a redial replaces this connection.
    pub(crate) replaced: Arc<Notify>,
    /// What a person permitted to the session.
    pub(crate) answers: Arc<Answers>,
    /// Whether the session has begun. Otherwise it does not count when this is dropped.
    begun: bool,
    closed: bool,
}

/// A client's position in the line. Dropping this takes the client out of the line.
pub(crate) struct Ticket {
    sessions: Arc<SessionRegistry>,
    turn: Turn<Attachment>,
    id: SessionId,
}

impl SessionRegistry {
    /// A registry that lets at most `limit` sessions begin.
    pub(crate) fn new(limit: Option<u32>, limits: &BridgeLimits) -> Self {
        let table = Table {
            counted: 0,
            begun: 0,
            live: HashMap::new(),
            placed: 0,
            nested: 0,
            broken: BTreeMap::new(),
            last_broken: 0,
            streams: 0,
            line: Line::new(limits.waiting),
        };
        Self {
            limit,
            places: limits.sessions,
            nested: limits.nested,
            nested_in_one: limits.nested_in_one,
            streams: limits.streams,
            table: Mutex::new(table),
        }
    }

    /// Continues the session of `hello` if it has not ended, even if the client does not know that it has begun (the answer
    /// to its first hello was lost). Otherwise begins it. If there is no place for it, the client waits in line.
    ///
    /// # Errors
    /// [`UpgradeRefusal`] if a limit forbids it, the line is full, or the session to resume has ended.
    pub(crate) fn admit(self: &Arc<Self>, hello: &Hello) -> Result<Entry, UpgradeRefusal> {
        let mut table = self.lock();
        table.remove_abandoned();
        let id = hello.session;
        let Some(live) = table.live.get(&id) else {
            return if hello.resume {
                Err(UpgradeRefusal::SessionEnded)
            } else {
                self.begin(&mut table, hello)
            };
        };
        let parent = live.parent;
        match live.stage {
            // The bridge may not have noticed yet that the old connection is broken.
            Stage::Placed | Stage::Nested => {}
            Stage::InLine => return self.join(&mut table, id, Kind::Redial),
            Stage::Broken { order, .. } => {
                let Some(stage) = self.free_stage(&table, parent) else {
                    return self.join(&mut table, id, Kind::Redial);
                };
                table.broken.remove(&order);
                table.enter(id, stage);
            }
        }
        self.attach(&mut table, id, true).map(Entry::Admitted).ok_or(UpgradeRefusal::SessionEnded)
    }

    fn begin(self: &Arc<Self>, table: &mut Table, hello: &Hello) -> Result<Entry, UpgradeRefusal> {
        let id = hello.session;
        if table.line.contains(id) {
            return self.join(table, id, Kind::Newcomer);
        }
        if self.is_used_up(table) {
            return Err(UpgradeRefusal::SessionsUsedUp);
        }
        // An unknown parent is as none.
        let parent = hello.parent.and_then(|parent| Some((parent, table.live.get(&parent)?.number)));
        let Some(stage) = self.free_stage(table, parent) else {
            return self.join(table, id, Kind::Newcomer);
        };
        table.counted += 1;
        table.insert(id, parent);
        table.enter(id, stage);
        self.attach(table, id, false).map(Entry::Admitted).ok_or(UpgradeRefusal::Busy)
    }

    /// How a session of `parent` can have a connection now: as a nested session, or else with a place.
    fn free_stage(&self, table: &Table, parent: Option<(SessionId, u64)>) -> Option<Stage> {
        let in_parent = parent.and_then(|(id, number)| {
            table.live.get(&id).filter(|live| live.number == number).map(|live| live.nested)
        });
        if in_parent.is_some_and(|nested| nested < self.nested_in_one) && table.nested < self.nested {
            Some(Stage::Nested)
        } else {
            // While a client is in line, no place is free.
            (table.placed < self.places).then_some(Stage::Placed)
        }
    }

    /// Puts the client of `id` into the line.
    fn join(self: &Arc<Self>, table: &mut Table, id: SessionId, kind: Kind) -> Result<Entry, UpgradeRefusal> {
        let is_new = !table.line.contains(id);
        let (turn, displaced) = table.line.join(id, kind).ok_or(UpgradeRefusal::Busy)?;
        if displaced.is_some() {
            table.counted -= 1;
        }
        if is_new {
            match kind {
                Kind::Newcomer => table.counted += 1,
                Kind::Redial => table.set_in_line(id),
            }
        }
        Ok(Entry::InLine(Ticket { sessions: Arc::clone(self), turn, id }))
    }

    /// Attaches a new connection to the session `id`.
    fn attach(self: &Arc<Self>, table: &mut Table, id: SessionId, redial: bool) -> Option<Attachment> {
        let live = table.live.get_mut(&id)?;
        live.replaced.notify_one();
        live.replaced = Arc::default();
        live.generation += 1;
        Some(Attachment {
            sessions: Arc::clone(self),
            id,
            number: live.number,
            generation: live.generation,
            redial,
            replaced: Arc::clone(&live.replaced),
            answers: Arc::clone(&live.answers),
            begun: redial,
            closed: false,
        })
    }

    /// Gives a free place to the client that is next in line.
    fn next_in_line(self: &Arc<Self>, table: &mut Table) -> Option<(Waiter<Attachment>, Attachment)> {
        let (kind, waiter) = table.line.next()?;
        let id = waiter.session;
        if kind == Kind::Newcomer {
            // Its parent, if it named one, may have ended since.
            table.insert(id, None);
        }
        table.enter(id, Stage::Placed);
        let attachment = self.attach(table, id, kind == Kind::Redial)?;
        Some((waiter, attachment))
    }

    fn is_used_up(&self, table: &Table) -> bool {
        self.limit.is_some_and(|limit| table.counted >= u64::from(limit))
    }

    /// Whether the limit is reached and every session has ended, so that the bridge is of no further use.
    pub(crate) fn is_exhausted(&self) -> bool {
        let mut table = self.lock();
        table.remove_abandoned();
        self.is_used_up(&table) && table.live.is_empty() && table.line.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Adds a session that has no connection yet.
    fn insert(&mut self, id: SessionId, parent: Option<(SessionId, u64)>) {
        self.begun += 1;
        let session = LiveSession {
            number: self.begun,
            generation: 0,
            replaced: Arc::default(),
            answers: Arc::default(),
            parent,
            nested: 0,
            streams: SessionStreams::default(),
            stage: Stage::InLine,
        };
        self.live.insert(id, session);
    }

    /// Brings the session `id`, which has no connection, into [`Stage::Placed`] or [`Stage::Nested`].
    fn enter(&mut self, id: SessionId, stage: Stage) {
        let Some(live) = self.live.get_mut(&id) else { return };
        live.stage = stage;
        let parent = live.parent;
        match stage {
            Stage::Placed => self.placed += 1,
            Stage::Nested => {
                self.nested += 1;
                if let Some(parent) = self.parent(parent) {
                    parent.nested += 1;
                }
            }
            Stage::InLine | Stage::Broken { .. } => {}
        }
    }

    /// Undoes [`Self::enter`] for a session whose connection has ended. Whether a place is free now.
    fn exit(&mut self, stage: Stage, parent: Option<(SessionId, u64)>) -> bool {
        match stage {
            Stage::Placed => self.placed -= 1,
            Stage::Nested => {
                self.nested -= 1;
                if let Some(parent) = self.parent(parent) {
                    parent.nested -= 1;
                }
            }
            Stage::InLine | Stage::Broken { .. } => {}
        }
        matches!(stage, Stage::Placed)
    }

    /// The parent, if it has not ended.
    fn parent(&mut self, parent: Option<(SessionId, u64)>) -> Option<&mut LiveSession> {
        let (id, number) = parent?;
        self.live.get_mut(&id).filter(|live| live.number == number)
    }

    fn set_in_line(&mut self, id: SessionId) {
        let Some(live) = self.live.get_mut(&id) else { return };
        if let Stage::Broken { order, .. } = std::mem::replace(&mut live.stage, Stage::InLine) {
            self.broken.remove(&order);
        }
    }

    /// The session `id` waits for a redial from now on. Of more than `most` such sessions the oldest ends.
    fn set_broken(&mut self, id: SessionId, most: usize) {
        let Some(live) = self.live.get_mut(&id) else { return };
        self.last_broken += 1;
        live.stage = Stage::Broken { order: self.last_broken, since: Instant::now() };
        self.broken.insert(self.last_broken, id);
        if self.broken.len() > most
            && let Some((_, oldest)) = self.broken.pop_first()
        {
            self.live.remove(&oldest);
        }
    }

    /// Ends the sessions that waited too long for a redial. Takes no time for those that have not: it runs for each hello.
    fn remove_abandoned(&mut self) {
        while let Some((_, id)) = self.broken.first_key_value() {
            if let Some(LiveSession { stage: Stage::Broken { since, .. }, .. }) = self.live.get(id)
                && since.elapsed() < REDIAL_GRACE
            {
                return;
            }
            if let Some((_, id)) = self.broken.pop_first() {
                self.live.remove(&id);
            }
        }
    }
}

impl Attachment {
    pub(crate) fn id(&self) -> SessionId {
        self.id
    }

    /// The session counts from now on, as its begin has been recorded.
    pub(crate) fn begin(&mut self) {
        self.begun = true;
    }

    /// Ends the session when this is dropped: no redial can continue it.
    pub(crate) fn close(&mut self) {
        self.closed = true;
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        let mut table = self.sessions.lock();
        let Some(live) = table.live.get(&self.id) else { return };
        if live.generation != self.generation {
            return; // a redial has taken over
        }
        let (stage, parent) = (live.stage, live.parent);
        if self.closed || !self.begun {
            table.live.remove(&self.id);
        } else {
            table.set_broken(self.id, self.sessions.places.max(MAX_BROKEN));
        }
        if !self.begun {
            table.counted -= 1;
        }
        let has_free_place = table.exit(stage, parent);
        let next = if has_free_place { self.sessions.next_in_line(&mut table) } else { None };
        drop(table);
        if let Some((waiter, attachment)) = next {
            // A client that left just now has no use for it: dropping it frees the place for the next one.
            drop(waiter.call(attachment));
        }
    }
}

impl Ticket {
    /// Waits for a place; `None` if the client cannot wait any longer, because a redial needs its position in the line, or
    /// because the client waits on another connection.
    pub(crate) async fn place(&mut self) -> Option<Attachment> {
        (&mut self.turn.place).await.ok()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut table = self.sessions.lock();
        if !table.line.leave(self.turn.position, self.turn.connection) {
            return;
        }
        if self.turn.position.is_redial() {
            table.set_broken(self.id, self.sessions.places.max(MAX_BROKEN));
        } else {
            table.counted -= 1;
        }
    }
}

mod streams;
#[cfg(test)]
mod tests;
