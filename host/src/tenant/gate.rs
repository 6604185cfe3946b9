//! A gate: so many may be inside at once, so many may wait, and each so long.
//!
//! One type for the three levels at which calls are counted: a plugin's `concurrency` and `queue`, a
//! tenant's, and the host's slots. A gate outlives revisions, so a swap never doubles what is allowed,
//! and its bounds change in place: those inside stay, whoever comes later meets the new ones.
//!
//! A call beside a stream may go in where `concurrency` are inside: one more. It is a filter's, on an answer whose plugin
//! goes on meanwhile and keeps its own place: were all places of both plugins such streams', each would wait for the
//! other. As nobody else takes the one more, a gate that is full of it has a call beside a stream inside, which waits for
//! no place: so whoever waits here for one beside a stream gets it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Quota;
use super::patience::{GaveUp, Patience};
use super::waiters::{Admitted, Waiter, Waiters};
use crate::limits::Limits;

/// The bounds of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Inside at once.
    pub concurrency: usize,
    /// Waiting at once.
    pub queue: usize,
    /// The longest that one waits, queues before this one included.
    pub wait: Duration,
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self { concurrency: limits.concurrency, queue: limits.queue, wait: limits.queue_wait }
    }
}

impl From<&Quota> for Bounds {
    fn from(quota: &Quota) -> Self {
        Self { concurrency: quota.concurrency, queue: quota.queue, wait: quota.queue_wait }
    }
}

/// The reason why a call was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The queue is full.
    #[error("the queue of {queue} is full")]
    QueueFull {
        /// Its length.
        queue: usize,
    },
    /// The call waited as long as it may.
    #[error("none of {concurrency} places became free within {wait:?}{}", in_other_queues(*before))]
    WaitedTooLong {
        /// The number of places.
        concurrency: usize,
        /// The time that it waited.
        wait: Duration,
        /// The time that it had waited for other places before.
        before: Duration,
    },
    /// The caller's own deadline came first.
    #[error("the call's deadline came while it waited for its turn")]
    Deadline,
    /// Places are free, and the tenant has its part of them.
    #[error("it has {has} of {places}, and no tenant has more than it leaves free")]
    Part {
        /// The number of places that it has.
        has: usize,
        /// The number of places.
        places: usize,
    },
}

impl Refused {
    pub(super) fn after(gave_up: GaveUp, concurrency: usize) -> Self {
        match gave_up {
            GaveUp::Waited { wait, before } => Self::WaitedTooLong { concurrency, wait, before },
            GaveUp::Deadline => Self::Deadline,
        }
    }
}

fn in_other_queues(before: Duration) -> String {
    if before.is_zero() { String::new() } else { format!(", after {before:?} in other queues") }
}

/// A gate. First come, first let in.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    bounds: Bounds,
    inside: usize,
    waiting: Waiters<Permit>,
    /// Calls beside streams. There are no more of them than streams, which their tenants' quotas bound.
    waiting_beside: Waiters<Permit>,
}

/// A place inside; leaving is dropping it.
#[derive(Debug)]
#[must_use = "a permit that is dropped at once holds nobody back"]
pub struct Permit {
    gate: Gate,
}

impl Gate {
    /// An empty gate.
    pub fn new(bounds: Bounds) -> Self {
        let (waiting, waiting_beside) = (Waiters::default(), Waiters::default());
        Self(Arc::new(Mutex::new(State { bounds, inside: 0, waiting, waiting_beside })))
    }

    /// Changes the bounds. Nobody inside is sent out; who waits is let in if there is room now.
    pub fn set_bounds(&self, bounds: Bounds) {
        let admitted = {
            let mut state = self.state();
            state.bounds = bounds;
            self.admit_waiting(&mut state)
        };
        admitted.hand_over();
    }

    /// Whether anybody else holds this gate too.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.0) > 1
    }

    /// The number of calls inside.
    pub fn inside(&self) -> usize {
        self.state().inside
    }

    /// The number of calls that wait.
    pub fn waiting(&self) -> usize {
        let state = self.state();
        state.waiting.len().saturating_add(state.waiting_beside.len())
    }

    /// Goes in, waiting its turn if it must, but never past `deadline`.
    pub async fn enter(&self, patience: &mut Patience, deadline: Instant) -> Result<Permit, Refused> {
        let (turn, bounds) = {
            let mut state = self.state();
            if state.has_room() && state.waiting.is_empty() {
                state.inside = state.inside.saturating_add(1);
                return Ok(self.permit());
            }
            // Who gave up leaves its place in the queue behind; it is cleared before it counts.
            if state.waiting.len() >= state.bounds.queue {
                state.waiting.clear();
            }
            if state.waiting.len() >= state.bounds.queue {
                return Err(Refused::QueueFull { queue: state.bounds.queue });
            }
            (state.waiting.join(), state.bounds)
        };
        let entered = patience.wait_for(turn, bounds.wait, deadline).await;
        entered.map_err(|gave_up| Refused::after(gave_up, bounds.concurrency))
    }

    /// Goes in beside a stream, before all others and where they are one more.
    pub async fn enter_beside_stream(
        &self,
        patience: &mut Patience,
        deadline: Instant,
    ) -> Result<Permit, Refused> {
        let (turn, bounds) = {
            let mut state = self.state();
            if state.has_room_beside() {
                state.inside = state.inside.saturating_add(1);
                return Ok(self.permit());
            }
            state.waiting_beside.clear();
            (state.waiting_beside.join(), state.bounds)
        };
        let entered = patience.wait_for(turn, bounds.wait, deadline).await;
        entered.map_err(|gave_up| Refused::after(gave_up, bounds.concurrency))
    }

    fn leave(&self) {
        let admitted = {
            let mut state = self.state();
            state.inside = state.inside.saturating_sub(1);
            self.admit_waiting(&mut state)
        };
        admitted.hand_over();
    }

    /// Takes from the queue whom there is room for.
    fn admit_waiting(&self, state: &mut State) -> Admitted<Permit> {
        let mut admitted = Admitted::new();
        while let Some(waiter) = state.next() {
            admitted.admit(waiter, || {
                state.inside = state.inside.saturating_add(1);
                self.permit()
            });
        }
        admitted
    }

    fn permit(&self) -> Permit {
        Permit { gate: self.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn has_room(&self) -> bool {
        self.inside < self.bounds.concurrency
    }

    fn has_room_beside(&self) -> bool {
        self.inside <= self.bounds.concurrency
    }

    /// The waiter that may go in, and is next.
    fn next(&mut self) -> Option<Waiter<Permit>> {
        let beside = if self.has_room_beside() { self.waiting_beside.pop() } else { None };
        beside.or_else(|| if self.has_room() { self.waiting.pop() } else { None })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.gate.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_millis(20);

    fn gate(concurrency: usize, queue: usize) -> Gate {
        Gate::new(Bounds { concurrency, queue, wait: SOON })
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn whoever_waits_too_long_is_turned_away_and_leaves_no_place_behind() {
        let gate = gate(1, 1);
        let inside = gate.enter(&mut Patience::default(), later()).await.unwrap();
        let refused = gate.enter(&mut Patience::default(), later()).await.unwrap_err();
        assert_eq!(refused, Refused::WaitedTooLong { concurrency: 1, wait: SOON, before: Duration::ZERO });
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter(&mut Patience::default(), later()).await }
        });
        tokio::task::yield_now().await;
        assert_eq!(
            gate.enter(&mut Patience::default(), later()).await.unwrap_err(),
            Refused::QueueFull { queue: 1 }
        );
        drop(inside);
        drop(waiting.await.unwrap().unwrap());
        assert_eq!((gate.inside(), gate.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn a_call_never_waits_past_its_own_deadline() {
        let gate = gate(1, 9);
        let _inside = gate.enter(&mut Patience::default(), later()).await.unwrap();
        gate.set_bounds(Bounds { concurrency: 1, queue: 9, wait: Duration::from_secs(60) });
        let deadline = Instant::now() + SOON;
        assert_eq!(gate.enter(&mut Patience::default(), deadline).await.unwrap_err(), Refused::Deadline);
        assert!(Instant::now() >= deadline);
    }

    #[tokio::test]
    async fn turns_come_in_the_order_of_arrival() {
        let gate = gate(1, 9);
        let first = gate.enter(&mut Patience::default(), later()).await.unwrap();
        let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
        for number in 0..5 {
            let (gate, sender) = (gate.clone(), sender.clone());
            tokio::spawn(async move {
                let _permit = gate.enter(&mut Patience::default(), later()).await.unwrap();
                sender.send(number).unwrap();
            });
            tokio::task::yield_now().await;
        }
        drop(first);
        for expected in 0..5 {
            assert_eq!(order.recv().await, Some(expected));
        }
    }

    #[tokio::test]
    async fn bounds_change_in_place_and_let_in_who_fits_now() {
        let gate = gate(1, 9);
        let _inside = gate.enter(&mut Patience::default(), later()).await.unwrap();
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.enter(&mut Patience::default(), later()).await }
        });
        tokio::task::yield_now().await;
        gate.set_bounds(Bounds { concurrency: 2, queue: 0, wait: SOON });
        let second = waiting.await.unwrap().unwrap();
        gate.set_bounds(Bounds { concurrency: 1, queue: 0, wait: SOON });
        drop(second);
        assert_eq!(
            gate.enter(&mut Patience::default(), later()).await.unwrap_err(),
            Refused::QueueFull { queue: 0 }
        );
    }

    #[tokio::test]
    async fn who_has_waited_in_one_queue_does_not_wait_as_long_again_in_the_next() {
        let gates = [gate(1, 9), gate(1, 9)];
        let mut patience = Patience::default();
        let _inside = gates[1].enter(&mut Patience::default(), later()).await.unwrap();
        let inside = gates[0].enter(&mut Patience::default(), later()).await.unwrap();
        gates[0].enter(&mut patience, later()).await.unwrap_err();
        drop(inside);
        // A place that is free takes no patience.
        drop(gates[0].enter(&mut patience, later()).await.unwrap());
        let refused = gates[1].enter(&mut patience, later()).await.unwrap_err();
        assert!(
            matches!(refused, Refused::WaitedTooLong { wait: Duration::ZERO, before, .. } if before >= SOON),
            "{refused:?}"
        );
    }

    #[tokio::test]
    async fn streams_that_have_all_places_do_not_keep_each_others_filters_out() {
        let (one, other) = (gate(1, 0), gate(1, 0));
        let streams = (
            one.enter(&mut Patience::default(), later()).await.unwrap(),
            other.enter(&mut Patience::default(), later()).await.unwrap(),
        );
        // One beside each, and a second when that is gone, before whoever waits in the queue.
        let beside = one.enter_beside_stream(&mut Patience::default(), later()).await.unwrap();
        drop(other.enter_beside_stream(&mut Patience::default(), later()).await.unwrap());
        one.set_bounds(Bounds { concurrency: 1, queue: 1, wait: Duration::from_secs(60) });
        let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
        for is_beside in [false, true] {
            let (gate, sender) = (one.clone(), sender.clone());
            tokio::spawn(async move {
                let mut patience = Patience::default();
                let _permit = match is_beside {
                    true => gate.enter_beside_stream(&mut patience, later()).await.unwrap(),
                    false => gate.enter(&mut patience, later()).await.unwrap(),
                };
                sender.send(is_beside).unwrap();
            });
            tokio::task::yield_now().await;
        }
        assert_eq!((one.inside(), one.waiting()), (2, 2));
        drop(beside);
        assert_eq!(order.recv().await, Some(true));
        drop(streams);
        assert_eq!(order.recv().await, Some(false));
        assert_eq!((one.inside(), one.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn no_permit_is_lost_when_waiters_give_up_as_their_turn_comes() {
        let gate = Gate::new(Bounds { concurrency: 4, queue: 64, wait: Duration::from_micros(50) });
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..2000 {
            let gate = gate.clone();
            tasks.spawn(async move {
                if let Ok(permit) = gate.enter(&mut Patience::default(), later()).await {
                    tokio::task::yield_now().await;
                    drop(permit);
                }
            });
        }
        tasks.join_all().await;
        assert_eq!(gate.inside(), 0);
        let mut permits = Vec::new();
        for _ in 0..4 {
            permits.push(gate.enter(&mut Patience::default(), later()).await.unwrap());
        }
        assert_eq!(gate.inside(), 4);
    }
}
