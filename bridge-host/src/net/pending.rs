//! Connections that have not proven the client key yet: few, and no newcomer is kept out by those who linger.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::AbortHandle;

/// Most unproven connections in all, and of one address. All builds behind one NAT share an address.
const MAX_IN_ALL: usize = 256;
const MAX_PER_ADDRESS: usize = 64;

/// The unproven connections, oldest first.
#[derive(Default)]
pub(crate) struct WaitingRoom(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    next: u64,
    seats: VecDeque<(u64, IpAddr, Option<AbortHandle>)>,
}

/// A connection's place; leaving it (dropping this) makes room.
pub(crate) struct Seat {
    room: Arc<WaitingRoom>,
    number: u64,
}

impl WaitingRoom {
    /// Seats a newcomer. Where its address, or the room, has too many, the oldest of them is put out.
    /// The second value says whether that happened.
    pub(crate) fn enter(self: &Arc<Self>, ip: IpAddr) -> (Seat, bool) {
        let mut waiting = self.lock();
        let of_address = |seat: &(u64, IpAddr, Option<AbortHandle>)| seat.1 == ip;
        let oldest = if waiting.seats.iter().filter(|seat| of_address(seat)).count() >= MAX_PER_ADDRESS {
            waiting.seats.iter().position(of_address)
        } else if waiting.seats.len() >= MAX_IN_ALL {
            Some(0)
        } else {
            None
        };
        let put_out = oldest.and_then(|index| waiting.seats.remove(index));
        if let Some((_, _, Some(task))) = &put_out {
            task.abort();
        }
        let number = waiting.next;
        waiting.next += 1;
        waiting.seats.push_back((number, ip, None));
        (Seat { room: Arc::clone(self), number }, put_out.is_some())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which task waits in the seat `number`, so that it can be put out.
    pub(crate) fn occupy(&self, number: u64, task: AbortHandle) {
        if let Some(seat) = self.lock().seats.iter_mut().find(|seat| seat.0 == number) {
            seat.2 = Some(task);
        } else {
            // Put out before it was seated.
            task.abort();
        }
    }
}

impl Seat {
    /// For [`WaitingRoom::occupy`].
    pub(crate) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.room.lock().seats.retain(|seat| seat.0 != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_cannot_fill_the_room_and_the_oldest_yields() {
        let room = Arc::new(WaitingRoom::default());
        let flooder: IpAddr = [10, 0, 0, 1].into();
        let seats: Vec<_> = (0..MAX_PER_ADDRESS).map(|_| room.enter(flooder).0).collect();
        let (_newcomer, put_out) = room.enter(flooder);
        assert!(put_out);
        assert!(!room.lock().seats.iter().any(|seat| seat.0 == seats[0].number));
        assert!(!room.enter([10, 0, 0, 2].into()).1);
    }

    #[test]
    fn leaving_makes_room() {
        let room = Arc::new(WaitingRoom::default());
        drop(room.enter([10, 0, 0, 1].into()));
        assert!(room.lock().seats.is_empty());
    }
}
