use std::pin::pin;
use std::task::{Context, Waker};

use proto::Purpose;
use proto::limits::MAX_STREAMS;

use super::*;

/// A registry with these numbers of places and positions in line.
fn registry(limit: Option<u32>, sessions: usize, waiting: usize) -> Arc<SessionRegistry> {
    let limits = BridgeLimits {
        sessions,
        nested: 3,
        nested_in_one: 2,
        waiting,
        streams: MAX_STREAMS + 1,
        ..BridgeLimits::default()
    };
    Arc::new(SessionRegistry::new(limit, &limits))
}

fn hello(id: u8, resume: bool) -> Hello {
    Hello { session: SessionId([id; 16]), resume, ..Hello::without_session(Purpose::Session) }
}

fn within(parent: u8, id: u8) -> Hello {
    Hello { parent: Some(SessionId([parent; 16])), ..hello(id, false) }
}

impl SessionRegistry {
    /// Admits at once, and begins the session.
    fn admits(self: &Arc<Self>, hello: &Hello) -> Attachment {
        match self.admit(hello) {
            Ok(Entry::Admitted(mut attachment)) => {
                attachment.begin();
                attachment
            }
            Ok(Entry::InLine(_)) => panic!("in line"),
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    fn puts_in_line(self: &Arc<Self>, hello: &Hello) -> Ticket {
        match self.admit(hello) {
            Ok(Entry::InLine(ticket)) => ticket,
            Ok(Entry::Admitted(_)) => panic!("admitted"),
            Err(refusal) => panic!("{refusal:?}"),
        }
    }

    fn refuses(self: &Arc<Self>, hello: &Hello) -> UpgradeRefusal {
        self.admit(hello).err().unwrap()
    }
}

impl Ticket {
    /// Its place, if it was called.
    fn called(&mut self) -> Option<Attachment> {
        let mut attachment = self.turn.place.try_recv().ok()?;
        attachment.begin();
        Some(attachment)
    }

    fn is_out_of_line(&mut self) -> bool {
        matches!(self.turn.place.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Closed))
    }
}

fn end(mut attachment: Attachment) {
    attachment.close();
}

#[test]
fn the_limit_counts_sessions_and_not_redials() {
    let sessions = registry(Some(1), 9, 9);
    drop(sessions.admits(&hello(1, false)));
    assert!(!sessions.is_exhausted());
    let again = sessions.admits(&hello(1, true));
    assert!(again.redial);
    assert_eq!(sessions.refuses(&hello(2, false)), UpgradeRefusal::SessionsUsedUp);
    end(again);
    assert!(sessions.is_exhausted());
    assert_eq!(sessions.refuses(&hello(1, true)), UpgradeRefusal::SessionEnded);
    assert_eq!(sessions.refuses(&hello(1, false)), UpgradeRefusal::SessionsUsedUp);
}

#[test]
fn a_repeated_first_hello_continues_its_session() {
    let sessions = registry(Some(1), 1, 0);
    let first = sessions.admits(&hello(1, false));
    let while_live = sessions.admits(&hello(1, false));
    drop(first);
    drop(while_live);
    let in_grace = sessions.admits(&hello(1, false));
    assert!(in_grace.redial);
    assert_eq!(in_grace.number, 1);
}

#[test]
fn an_id_that_is_used_again_names_another_session() {
    let sessions = registry(None, 1, 0);
    let first = sessions.admits(&hello(1, false));
    let number = first.number;
    end(first);
    let second = sessions.admits(&hello(1, false));
    assert!(!second.redial);
    assert_ne!(second.number, number);
}

#[test]
fn a_redial_replaces_a_connection_that_lingers() {
    let sessions = registry(None, 1, 0);
    let old = sessions.admits(&hello(1, false));
    let new = sessions.admits(&hello(1, true));
    drop(old);
    assert!(matches!(sessions.lock().live[&new.id()].stage, Stage::Placed));
}

#[test]
fn the_line_is_served_in_order() {
    let sessions = registry(None, 1, 3);
    let mut place = sessions.admits(&hello(1, false));
    let mut line: Vec<Ticket> = (2..=4).map(|id| sessions.puts_in_line(&hello(id, false))).collect();
    assert_eq!(sessions.refuses(&hello(5, false)), UpgradeRefusal::Busy);
    for id in 2..=4 {
        assert!(line.iter_mut().all(|ticket| ticket.called().is_none()));
        end(place);
        place = line.remove(0).called().unwrap();
        assert_eq!(place.id(), SessionId([id; 16]));
    }
}

#[test]
fn redials_are_first_in_line() {
    let sessions = registry(None, 1, 2);
    drop(sessions.admits(&hello(1, false)));
    let place = sessions.admits(&hello(2, false));
    let mut newcomers = [3, 4].map(|id| sessions.puts_in_line(&hello(id, false)));
    // In a full line, a redial displaces the last newcomer.
    let mut redial = sessions.puts_in_line(&hello(1, true));
    assert!(newcomers[1].is_out_of_line());
    end(place);
    let place = redial.called().unwrap();
    assert!(place.redial && place.number == 1);
    end(place);
    assert!(newcomers[0].called().is_some());
}

#[test]
fn a_broken_session_has_no_place_but_can_be_continued() {
    let sessions = registry(None, 1, 1);
    drop(sessions.admits(&hello(1, false)));
    end(sessions.admits(&hello(2, false)));
    assert_eq!(sessions.admits(&hello(1, true)).number, 1);
}

#[test]
fn a_client_that_leaves_the_line_does_not_count() {
    let sessions = registry(Some(2), 1, 2);
    let place = sessions.admits(&hello(1, false));
    let waiting = sessions.puts_in_line(&hello(2, false));
    assert_eq!(sessions.refuses(&hello(3, false)), UpgradeRefusal::SessionsUsedUp);
    drop(waiting);
    let mut waiting = sessions.puts_in_line(&hello(3, false));
    end(place);
    assert!(!sessions.is_exhausted());
    // Called, but it leaves before it has begun.
    assert!(waiting.turn.place.try_recv().is_ok());
    assert!(!sessions.is_exhausted());
    end(sessions.admits(&hello(4, false)));
    assert!(sessions.is_exhausted());
}

#[test]
fn a_client_that_leaves_as_it_is_called_passes_its_place_on() {
    let sessions = registry(None, 1, 2);
    let place = sessions.admits(&hello(1, false));
    let leaving = sessions.puts_in_line(&hello(2, false));
    let mut next = sessions.puts_in_line(&hello(3, false));
    end(place);
    drop(leaving);
    assert!(next.called().is_some());
}

#[test]
fn a_client_that_dials_again_keeps_its_position() {
    let sessions = registry(Some(3), 1, 2);
    let place = sessions.admits(&hello(1, false));
    let mut old = sessions.puts_in_line(&hello(2, false));
    let mut third = sessions.puts_in_line(&hello(3, false));
    let mut new = sessions.puts_in_line(&hello(2, false));
    assert!(old.is_out_of_line());
    drop(old);
    end(place);
    assert!(third.called().is_none());
    assert_eq!(new.called().unwrap().id(), SessionId([2; 16]));
}

#[test]
fn a_session_within_another_needs_no_place() {
    let sessions = registry(None, 1, 1);
    let outer = sessions.admits(&hello(1, false));
    let inner = sessions.admits(&within(1, 2));
    let innermost = sessions.admits(&within(2, 3));
    // No more than 2 within one, and 3 in all; a parent that is not live is none.
    let second = sessions.admits(&within(1, 4));
    drop(sessions.puts_in_line(&within(1, 5)));
    drop(sessions.puts_in_line(&within(3, 5)));
    end(innermost);
    drop(sessions.puts_in_line(&within(9, 5)));
    // A redial needs no place either.
    drop(inner);
    let inner = sessions.admits(&hello(2, true));
    for session in [second, inner, outer] {
        end(session);
    }
    let table = sessions.lock();
    assert_eq!((table.placed, table.nested, table.live.len()), (0, 0, 0));
}

#[test]
fn the_oldest_of_too_many_broken_sessions_ends() {
    let sessions = registry(None, 1, 0);
    let id = |number: usize| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&number.to_be_bytes());
        Hello { session: SessionId(id), ..hello(0, false) }
    };
    for number in 1..=MAX_BROKEN + 1 {
        drop(sessions.admits(&id(number)));
    }
    assert_eq!(sessions.refuses(&Hello { resume: true, ..id(1) }), UpgradeRefusal::SessionEnded);
    assert_eq!(sessions.admits(&Hello { resume: true, ..id(2) }).number, 2);
    let table = sessions.lock();
    assert!(table.live.len() <= MAX_BROKEN && table.broken.len() <= MAX_BROKEN);
}

/// Whether the session of this stream has ended.
fn has_ended(slot: &mut StreamSlot) -> bool {
    pin!(slot.ended()).poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn a_session_has_streams_if_it_asked_for_them() {
    let sessions = registry(None, 2, 0);
    let refused = |id: u8| sessions.admit_stream(SessionId([id; 16])).err();
    assert_eq!(refused(1), Some(UpgradeRefusal::SessionEnded));
    let one = sessions.admits(&hello(1, false));
    assert_eq!(refused(1), Some(UpgradeRefusal::NoStreams));
    one.allow_streams();
    assert_eq!(refused(1), None);
    // Of a bridge without rules, none has.
    let without =
        Arc::new(SessionRegistry::new(None, &BridgeLimits { sessions: 1, ..BridgeLimits::default() }));
    let session = without.admits(&hello(1, false));
    session.allow_streams();
    assert_eq!(without.admit_stream(SessionId([1; 16])).err(), Some(UpgradeRefusal::NoStreams));
}

#[test]
fn streams_have_limits_of_the_session_and_of_the_bridge() {
    let sessions = registry(None, 2, 0);
    let [one, two] = [1, 2].map(|id| sessions.admits(&hello(id, false)));
    one.allow_streams();
    two.allow_streams();
    let admit = |id: u8| sessions.admit_stream(SessionId([id; 16]));
    let mut streams: Vec<StreamSlot> = (0..MAX_STREAMS).map(|_| admit(1).unwrap()).collect();
    assert_eq!(admit(1).err(), Some(UpgradeRefusal::TooManyStreams));
    let other = admit(2).unwrap();
    assert_eq!(admit(2).err(), Some(UpgradeRefusal::TooManyStreams), "beyond the bridge's limit");
    streams.pop();
    drop(other);
    assert!(admit(1).is_ok() && admit(2).is_ok());
    drop(streams);
    assert_eq!(sessions.lock().streams, 0);
}

#[test]
fn streams_end_with_their_session_and_not_with_its_connection() {
    let sessions = registry(Some(2), 1, 0);
    let first = sessions.admits(&hello(1, false));
    first.allow_streams();
    let mut stream = sessions.admit_stream(SessionId([1; 16])).unwrap();
    // Neither a redial nor a broken connection ends it, and it keeps no session open.
    let second = sessions.admits(&hello(1, true));
    drop(first);
    drop(second);
    assert!(!has_ended(&mut stream));
    let mut more = sessions.admit_stream(SessionId([1; 16])).unwrap();
    let third = sessions.admits(&hello(1, true));
    assert!(!has_ended(&mut stream) && !has_ended(&mut more));
    end(third);
    assert!(has_ended(&mut stream) && has_ended(&mut more));
    assert_eq!(sessions.admit_stream(SessionId([1; 16])).err(), Some(UpgradeRefusal::SessionEnded));
    // A new session of the same id has its own streams.
    let again = sessions.admits(&hello(1, false));
    again.allow_streams();
    drop((stream, more));
    let mut stream = sessions.admit_stream(SessionId([1; 16])).unwrap();
    assert!(!has_ended(&mut stream));
    end(again);
    assert!(has_ended(&mut stream));
    drop(stream);
    assert!(sessions.is_exhausted());
}
