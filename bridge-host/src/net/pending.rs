//! Connections whose client is not proven yet. Their number is bounded, and the oldest yields to a new one: peers that
//! connect and linger cannot keep clients out.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::task::AbortHandle;

/// Most pending connections of all addresses.
const MAX_PENDING: usize = 256;
/// Most pending connections of one address. All builds behind one NAT share an address.
const MAX_PENDING_PER_ADDRESS: usize = 64;

/// The pending connections of a bridge.
#[derive(Default)]
pub(crate) struct PendingHandshakes(Mutex<Table>);

#[derive(Default)]
struct Table {
    next_id: u64,
    /// Oldest first.
    entries: VecDeque<Entry>,
}

struct Entry {
    id: u64,
    ip: IpAddr,
    /// The task that serves the connection, once it is spawned.
    task: Option<AbortHandle>,
}

/// The registration of one pending connection; dropping it ends the registration.
pub(crate) struct Slot {
    pending: Arc<PendingHandshakes>,
    id: u64,
}

impl PendingHandshakes {
    /// Registers a connection from `ip`. Where that address, or all together, have too many, evicts their oldest and
    /// aborts its task. The second value is whether one was evicted.
    pub(crate) fn register(self: &Arc<Self>, ip: IpAddr) -> (Slot, bool) {
        let mut table = self.lock();
        let oldest = if table.entries.iter().filter(|entry| entry.ip == ip).count() >= MAX_PENDING_PER_ADDRESS
        {
            table.entries.iter().position(|entry| entry.ip == ip)
        } else if table.entries.len() >= MAX_PENDING {
            Some(0)
        } else {
            None
        };
        let evicted = oldest.and_then(|index| table.entries.remove(index));
        if let Some(task) = evicted.as_ref().and_then(|entry| entry.task.as_ref()) {
            task.abort();
        }
        let id = table.next_id;
        table.next_id += 1;
        table.entries.push_back(Entry { id, ip, task: None });
        (Slot { pending: Arc::clone(self), id }, evicted.is_some())
    }

    /// Names the task that serves the connection in the slot `id`, so that eviction can abort it.
    pub(crate) fn set_task(&self, id: u64, task: AbortHandle) {
        if let Some(entry) = self.lock().entries.iter_mut().find(|entry| entry.id == id) {
            entry.task = Some(task);
        } else {
            // Evicted before its task was known.
            task.abort();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// The id for [`PendingHandshakes::set_task`].
    pub(crate) fn id(&self) -> u64 {
        self.id
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.pending.lock().entries.retain(|entry| entry.id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_connection_of_a_full_address_is_evicted() {
        let pending = Arc::new(PendingHandshakes::default());
        let flooder: IpAddr = [10, 0, 0, 1].into();
        let slots: Vec<_> = (0..MAX_PENDING_PER_ADDRESS).map(|_| pending.register(flooder).0).collect();
        let (_new, evicted) = pending.register(flooder);
        assert!(evicted);
        assert!(!pending.lock().entries.iter().any(|entry| entry.id == slots[0].id));
        assert!(!pending.register([10, 0, 0, 2].into()).1);
    }

    #[test]
    fn a_dropped_slot_is_free() {
        let pending = Arc::new(PendingHandshakes::default());
        drop(pending.register([10, 0, 0, 1].into()));
        assert!(pending.lock().entries.is_empty());
    }
}
