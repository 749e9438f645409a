//! Which connection ends first when there are too many.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use tokio::sync::Notify;

/// The connections that can be ended: those that have no request in progress.
#[derive(Default)]
pub(crate) struct Slots {
    /// By number: the one that has been so for the longest time comes first.
    evictable: RefCell<BTreeMap<u64, Rc<Notify>>>,
    next: Cell<u64>,
}

/// One connection.
pub(crate) struct Slot {
    slots: Rc<Slots>,
    number: Cell<Option<u64>>,
    evicted: Rc<Notify>,
}

impl Slots {
    pub(crate) fn slot(self: &Rc<Self>) -> Slot {
        Slot { slots: Rc::clone(self), number: Cell::new(None), evicted: Rc::default() }
    }

    /// Ends the connection that has had no request in progress for the longest time. `false` if all have one.
    pub(crate) fn evict(&self) -> bool {
        let first = self.evictable.borrow_mut().pop_first();
        first.inspect(|(_, evicted)| evicted.notify_one()).is_some()
    }
}

impl Slot {
    /// Says whether the connection may be ended.
    pub(crate) fn set_evictable(&self, is_evictable: bool) {
        let mut evictable = self.slots.evictable.borrow_mut();
        if let Some(number) = self.number.take() {
            evictable.remove(&number);
        }
        if is_evictable {
            let number = self.slots.next.get();
            self.slots.next.set(number + 1);
            self.number.set(Some(number));
            evictable.insert(number, Rc::clone(&self.evicted));
        }
    }

    /// Resolves when the connection has to end.
    pub(crate) async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.set_evictable(false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "current_thread")]
    async fn the_connection_without_a_request_for_longest_is_evicted() {
        let slots = Rc::new(Slots::default());
        let [first, second, third] = [(); 3].map(|()| slots.slot());
        assert!(!slots.evict());
        first.set_evictable(true);
        second.set_evictable(true);
        third.set_evictable(true);
        // A request, and its end.
        first.set_evictable(false);
        first.set_evictable(true);
        assert!(slots.evict());
        second.evicted().await;
        drop(third);
        assert!(slots.evict());
        first.evicted().await;
        assert!(!slots.evict());
    }
}
