//! A queue of waiters: each is handed what it waits for when its turn comes, unless it has given up by then.
//!
//! Owns how a waiter that gave up is told from one that waits; who is next is for the gate or the slots that they wait for.

use std::collections::VecDeque;

use tokio::sync::oneshot;

/// A waiter's end of its queue, on which it is handed a `T`.
pub(super) type Waiter<T> = oneshot::Sender<T>;

/// A queue of waiters, in the order in which they came. Who gave up stays in it until it is looked at.
#[derive(Debug)]
pub(super) struct Waiters<T>(VecDeque<Waiter<T>>);

impl<T> Default for Waiters<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> Waiters<T> {
    /// Adds a waiter at the end, and gives what it waits on.
    pub(super) fn join(&mut self) -> oneshot::Receiver<T> {
        let (waiter, turn) = oneshot::channel();
        self.0.push_back(waiter);
        turn
    }

    /// Removes those who gave up.
    pub(super) fn clear(&mut self) {
        self.0.retain(|waiter| !waiter.is_closed());
    }

    /// The number of waiters, with those who gave up since the last `clear`.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none, not even one that gave up.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes the first, who may have given up.
    pub(super) fn pop(&mut self) -> Option<Waiter<T>> {
        self.0.pop_front()
    }
}

/// Waiters whose turn has come, with what each is handed: outside the lock of its owner, for what is handed to one that
/// has just given up is dropped, which comes back to that owner and is the next one's turn.
#[derive(Debug)]
#[must_use = "waiters that are dropped have lost their turn"]
pub(super) struct Admitted<T>(Vec<(Waiter<T>, T)>);

impl<T> Admitted<T> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// Adds a waiter, unless it gave up.
    pub(super) fn admit(&mut self, waiter: Waiter<T>, permit: impl FnOnce() -> T) {
        if !waiter.is_closed() {
            self.0.push((waiter, permit()));
        }
    }

    /// Hands all of them theirs.
    pub(super) fn hand_over(self) {
        for (waiter, permit) in self.0 {
            let _ = waiter.send(permit);
        }
    }
}
