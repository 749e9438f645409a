//! A queue between futures of one session. It costs little while it is empty: what it holds is bounded by the memory that
//! its items have reserved, not by a length.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A queue with one future that takes items, and at most one that waits until it is shorter.
pub(crate) struct Queue<T>(Mutex<State<T>>);

struct State<T> {
    items: VecDeque<T>,
    closed: bool,
    taker: Option<Waker>,
    waits_for_room: Option<Waker>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let state = State { items: VecDeque::new(), closed: false, taker: None, waits_for_room: None };
        Self(Mutex::new(state))
    }
}

impl<T> Queue<T> {
    /// Adds an item, for which the caller has reserved memory.
    pub(crate) fn push(&self, item: T) {
        let mut state = self.lock();
        state.items.push_back(item);
        wake(state.taker.take());
    }

    /// Lets [`Self::next`] return `None` once the queue is empty.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        wake(state.taker.take());
    }

    /// The next item, in order; `None` once the queue is closed and empty.
    pub(crate) async fn next(&self) -> Option<T> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&self, context: &Context<'_>) -> Poll<Option<T>> {
        let mut state = self.lock();
        if let Some(item) = state.items.pop_front() {
            if state.items.is_empty() {
                // An idle session keeps no buffer.
                state.items = VecDeque::new();
            }
            wake(state.waits_for_room.take());
            return Poll::Ready(Some(item));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        state.taker = Some(context.waker().clone());
        Poll::Pending
    }

    /// Resolves as soon as it holds less than `limit` items.
    pub(crate) async fn shorter_than(&self, limit: usize) {
        poll_fn(|context| {
            let mut state = self.lock();
            if state.items.len() < limit {
                return Poll::Ready(());
            }
            state.waits_for_room = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// Resolves as soon as it is empty.
    pub(crate) async fn empty(&self) {
        self.shorter_than(1).await;
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().items.len()
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use super::*;

    fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn items_come_in_order_and_then_the_end() {
        let queue = Queue::default();
        queue.push(1);
        queue.push(2);
        assert!(poll(queue.empty()).is_pending());
        queue.close();
        assert_eq!(
            [poll(queue.next()), poll(queue.next()), poll(queue.next())],
            [Some(1), Some(2), None].map(Poll::Ready)
        );
        assert!(poll(queue.empty()).is_ready());
    }
}
