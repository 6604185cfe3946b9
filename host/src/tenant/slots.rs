//! The host's slots: so many calls at once, and when more want to run, tenants go by weight.
//!
//! The tenant with the fewest slots for its weight is let in next; within a tenant, the call that came first. The number of
//! a tenant's calls that may wait is bounded by its quota `concurrency`, in whose places they wait. Where no quota says how
//! many of the slots are a tenant's, it has no more than it leaves free.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::gate::Refused;
use super::patience::Patience;
use super::share::Share;
use super::waiters::{Admitted, Waiter, Waiters};

/// The slots of one host. Clones are the same slots.
#[derive(Debug, Clone)]
pub struct Slots(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    slots: usize,
    taken: usize,
    /// The number of waiters that were let in so far.
    served: u64,
    wait: Duration,
    /// The slots that each tenant has, if it may have no more than it leaves free.
    divided: Option<BTreeMap<usize, usize>>,
    /// Tenants with calls that wait, by their shares' numbers.
    lanes: BTreeMap<usize, Lane>,
}

#[derive(Debug)]
struct Lane {
    share: Share,
    waiting: Waiters<Slot>,
}

/// A slot; leaving it is dropping it.
#[derive(Debug)]
#[must_use = "a slot that is dropped at once runs nothing"]
pub struct Slot {
    slots: Slots,
    share: Share,
}

impl Slots {
    /// Slots of this number, for each of which a call waits so long at most.
    pub fn new(slots: usize, wait: Duration) -> Self {
        Self::with(slots, wait, None)
    }

    /// Slots of which no tenant has more than it leaves free: one has half of them, two have three quarters
    /// together, and so on, so that who comes next finds one however long those calls last.
    pub fn divided(slots: usize, wait: Duration) -> Self {
        Self::with(slots, wait, Some(BTreeMap::new()))
    }

    fn with(slots: usize, wait: Duration, divided: Option<BTreeMap<usize, usize>>) -> Self {
        let lanes = BTreeMap::new();
        Self(Arc::new(Mutex::new(State { slots, taken: 0, served: 0, wait, divided, lanes })))
    }

    /// Takes a slot, waiting for it if need be, but never past `deadline`.
    pub async fn enter(
        &self,
        share: &Share,
        patience: &mut Patience,
        deadline: Instant,
    ) -> Result<Slot, Refused> {
        let (turn, slots, wait) = {
            let mut state = self.state();
            // Whoever waits could not have it: a slot that comes free is given to who can at once.
            if state.may_take(share) {
                return Ok(self.take(&mut state, share));
            }
            let lane = state.lanes.entry(share.id());
            let lane = lane.or_insert_with(|| Lane { share: share.clone(), waiting: Waiters::default() });
            lane.waiting.clear();
            (lane.waiting.join(), state.slots, state.wait)
        };
        let entered = patience.wait_for(turn, wait, deadline).await;
        entered
            .map_err(|gave_up| self.state().part_of(share).unwrap_or_else(|| Refused::after(gave_up, slots)))
    }

    /// The number of slots that are taken.
    pub fn taken(&self) -> usize {
        self.state().taken
    }

    fn take(&self, state: &mut State, share: &Share) -> Slot {
        state.taken = state.taken.saturating_add(1);
        if let Some(divided) = &mut state.divided {
            let has = divided.entry(share.id()).or_default();
            *has = has.saturating_add(1);
        }
        share.slot_taken();
        Slot { slots: self.clone(), share: share.clone() }
    }

    fn leave(&self, share: &Share) {
        let mut state = self.state();
        state.taken = state.taken.saturating_sub(1);
        if let Some(divided) = &mut state.divided
            && let Entry::Occupied(mut has) = divided.entry(share.id())
        {
            *has.get_mut() = has.get().saturating_sub(1);
            if *has.get() == 0 {
                has.remove();
            }
        }
        share.slot_left();
        let mut admitted = Admitted::new();
        while let Some((waiter, share)) = state.next() {
            admitted.admit(waiter, || self.take(&mut state, &share));
        }
        drop(state);
        admitted.hand_over();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the tenant may have one now.
    fn may_take(&self, share: &Share) -> bool {
        let free = self.slots.saturating_sub(self.taken);
        let has = self.divided.as_ref().map_or(0, |divided| divided.get(&share.id()).copied().unwrap_or(0));
        has < free
    }

    /// Whether it is its own part that keeps the tenant from a slot, and not that there is none.
    fn part_of(&self, share: &Share) -> Option<Refused> {
        let has = self.divided.as_ref()?.get(&share.id()).copied().unwrap_or(0);
        (has > 0 && self.taken < self.slots).then_some(Refused::Part { has, places: self.slots })
    }

    /// The waiter that may have a slot, and is next.
    fn next(&mut self) -> Option<(Waiter<Slot>, Share)> {
        let fewest = |lane: &Lane| {
            // In slots for 2^20 of weight: fractions without fractions.
            let slots = u64::try_from(lane.share.slots()).unwrap_or(u64::MAX).saturating_mul(1 << 20);
            slots.checked_div(u64::from(lane.share.weight())).unwrap_or(slots)
        };
        // Of those with equally few, whoever was served longest ago.
        let order = |lane: &Lane| (fewest(lane), lane.share.last_served());
        let may_take = self.lanes.iter().filter(|(_, lane)| self.may_take(&lane.share));
        let id = may_take.min_by_key(|(_, lane)| order(lane)).map(|(id, _)| *id)?;
        let lane = self.lanes.get_mut(&id)?;
        self.served = self.served.saturating_add(1);
        lane.share.serve(self.served);
        let share = lane.share.clone();
        let waiter = lane.waiting.pop();
        if lane.waiting.is_empty() {
            self.lanes.remove(&id);
        }
        Some((waiter?, share))
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.leave(&self.share);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[tokio::test]
    async fn tenants_that_all_wait_for_one_slot_take_turns() {
        let slots = Slots::new(1, Duration::from_secs(60));
        let later = Instant::now() + Duration::from_secs(60);
        let shares: Vec<_> = (0..3).map(|_| Share::new(NonZeroU32::MIN, None)).collect();
        let first = slots.enter(&shares[0], &mut Patience::default(), later).await.unwrap();
        let (sender, mut order) = tokio::sync::mpsc::unbounded_channel();
        for tenant in [0, 0, 0, 1, 1, 1, 2, 2, 2] {
            let (slots, share, sender) = (slots.clone(), shares[tenant].clone(), sender.clone());
            tokio::spawn(async move {
                let _slot = slots.enter(&share, &mut Patience::default(), later).await.unwrap();
                sender.send(tenant).unwrap();
            });
            tokio::task::yield_now().await;
        }
        drop(first);
        for _ in 0..3 {
            let mut served = [order.recv().await, order.recv().await, order.recv().await];
            served.sort();
            assert_eq!(served, [Some(0), Some(1), Some(2)]);
        }
        assert_eq!(slots.taken(), 0);
    }

    #[tokio::test]
    async fn of_divided_slots_nobody_has_more_than_it_leaves_free() {
        let slots = Slots::divided(8, Duration::ZERO);
        let later = Instant::now() + Duration::from_secs(60);
        let mut held = Vec::new();
        for expected in [4, 2, 1, 1] {
            let share = Share::new(NonZeroU32::MIN, None);
            let before = held.len();
            let refused = loop {
                match slots.enter(&share, &mut Patience::default(), later).await {
                    Ok(slot) => held.push(slot),
                    Err(refused) => break refused,
                }
            };
            assert_eq!(held.len() - before, expected);
            let none =
                Refused::WaitedTooLong { concurrency: 8, wait: Duration::ZERO, before: Duration::ZERO };
            let its_part = Refused::Part { has: expected, places: 8 };
            assert_eq!(refused, if held.len() < 8 { its_part } else { none });
        }
        drop(held);
        assert_eq!(slots.taken(), 0);
        assert_eq!(slots.state().divided, Some(BTreeMap::new()));
    }

    #[tokio::test]
    async fn who_waits_for_more_than_its_part_keeps_nobody_from_theirs() {
        let slots = Slots::divided(4, Duration::from_secs(60));
        let later = Instant::now() + Duration::from_secs(60);
        let [greedy, quiet] = [(); 2].map(|()| Share::new(NonZeroU32::MIN, None));
        let first = slots.enter(&greedy, &mut Patience::default(), later).await.unwrap();
        let _second = slots.enter(&greedy, &mut Patience::default(), later).await.unwrap();
        let third = tokio::spawn({
            let (slots, greedy) = (slots.clone(), greedy.clone());
            async move { slots.enter(&greedy, &mut Patience::default(), later).await }
        });
        tokio::task::yield_now().await;
        drop(slots.enter(&quiet, &mut Patience::default(), later).await.unwrap());
        assert!(!third.is_finished());
        drop(first);
        drop(third.await.unwrap().unwrap());
        assert_eq!(slots.taken(), 1);
    }
}
