//! A number of connections that wait for their client. If there are too many, the oldest yields to a new one: a client
//! that is silent keeps no other client out.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The connections of one kind.
pub(crate) struct Slots {
    capacity: usize,
    /// Oldest first.
    taken: Mutex<VecDeque<Arc<Notify>>>,
}

/// The slot of one connection; dropping it frees it.
pub(crate) struct TakenSlot<'a> {
    slots: &'a Slots,
    evicted: Arc<Notify>,
}

impl Slots {
    pub(crate) fn new(capacity: usize) -> Self {
        Self { capacity, taken: Mutex::default() }
    }

    /// Takes a slot. If none is free, evicts the oldest connection.
    pub(crate) fn take(&self) -> TakenSlot<'_> {
        let mut taken = self.lock();
        if taken.len() >= self.capacity
            && let Some(oldest) = taken.pop_front()
        {
            oldest.notify_one();
        }
        let evicted = Arc::<Notify>::default();
        taken.push_back(Arc::clone(&evicted));
        TakenSlot { slots: self, evicted }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Arc<Notify>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TakenSlot<'_> {
    /// Runs `work`; `None` if the connection is evicted first.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = work => Some(done),
            () = self.evicted.notified() => None,
        }
    }
}

impl Drop for TakenSlot<'_> {
    fn drop(&mut self) {
        self.slots.lock().retain(|evicted| !Arc::ptr_eq(evicted, &self.evicted));
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn the_oldest_connection_yields() {
        let slots = Slots::new(2);
        let (first, second) = (slots.take(), slots.take());
        let third = slots.take();
        // The limit is for a bridge that evicts nothing.
        assert_eq!(timeout(Duration::from_secs(10), first.run(pending::<()>())).await, Ok(None));
        assert_eq!(second.run(ready(())).await, Some(()));
        drop((first, third));
        let _fourth = slots.take();
        assert_eq!(second.run(ready(())).await, Some(()));
        assert_eq!(slots.lock().len(), 2);
    }
}
