//! A queue of waiters: each is handed a `T` when its turn comes, unless it has given up by then.
//!
//! Owns the difference between a waiter that gave up and one that waits. The order of queues is left to the gate or
//! the slots that the waiters wait for.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// The queue's end of a waiter, by which the waiter is handed a `T`.
pub(super) type Handover<T> = oneshot::Sender<T>;

/// A queue of waiters, in the order in which they came. A waiter that gave up stays in the queue until it is removed.
#[derive(Debug)]
pub(super) struct Waiters<T>(VecDeque<Handover<T>>);

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Waiters<T> {
    /// Adds a waiter at the end, and gives the receiver that the waiter waits on.
    pub(super) fn join(&mut self) -> oneshot::Receiver<T> {
        let (waiter, turn) = oneshot::channel();
        self.0.push_back(waiter);
        turn
    }

    /// Removes the waiters that gave up.
    pub(super) fn clear(&mut self) {
        self.0.retain(|waiter| !waiter.is_closed());
    }

    /// The number of waiters, with those that gave up since the last `clear`.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// True if the queue has no waiter, not even one that gave up.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes the first waiter, which may have given up.
    pub(super) fn pop(&mut self) -> Option<Handover<T>> {
        self.0.pop_front()
    }
}

/// Waiters whose turn has come, each with its `T`. They are handed over outside their owner's lock: if a waiter has
/// just given up, its `T` is dropped, which takes the owner's lock and is the next waiter's turn.
#[derive(Debug)]
#[must_use = "waiters that are dropped have lost their turn"]
pub(super) struct Handovers<T>(Vec<(Handover<T>, T)>);

impl<T> Handovers<T> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a waiter, unless it gave up.
    pub(super) fn admit(&mut self, waiter: Handover<T>, permit: impl FnOnce() -> T) {
        if !waiter.is_closed() {
            self.0.push((waiter, permit()));
        }
    }

    /// Hands each waiter its `T`.
    pub(super) fn hand_over(self) {
        for (waiter, permit) in self.0 {
            let _ = waiter.send(permit);
        }
    }
}
