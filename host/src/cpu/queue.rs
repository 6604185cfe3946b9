//! The queue for turns on the CPU: a fixed number of guests compute at once, and when more want to, tenants go by
//! weight.
//!
//! While a turn is free, it costs two atomic operations. When none is free, the next turn goes to the tenant that has
//! used the least CPU for its weight since the CPU became short, however many calls it has. Within a tenant, the call
//! that came first goes first. (Start-time fair queueing, with the CPU that was measured in place of lengths known
//! beforehand.)

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use super::account::{CpuAccount, Position, Standing};

/// The time for which the CPU counts as short after a call last began to wait. CPU that is used while it is not short
/// is held against nobody.
const SHORT_FOR: Duration = Duration::from_millis(20);

/// The most CPU of a short call: one that is as likely as not done with its next turn.
const SHORT_NS: u64 = 500_000;

/// The most CPU, by weight, that a tenant is behind, however long it was idle: it may use as much without waiting for
/// its turn.
const MOST_BEHIND_NS: u64 = 10_000_000;

/// The most that is charged at once: a tenant whose call ran on alone in one long instruction is not shut out for as
/// long.
const MAX_CHARGE_NS: u64 = 250_000_000;

/// One waiting call, in the packed word.
const ONE_WAITS: u64 = 1;
/// One free turn, in the packed word.
const ONE_FREE: u64 = 1 << 32;

/// The turns of one host, and the calls that wait for a turn.
#[derive(Debug)]
pub(super) struct RunQueue {
    /// Free turns above, waiting calls below: a call that gives its turn back sees without a lock if another waits.
    word: AtomicU64,
    lanes: Mutex<Lanes>,
}

#[derive(Debug)]
struct Lanes {
    /// Tenants with calls that wait; the first goes next.
    by_position: BTreeMap<Position, Lane>,
    /// The virtual time of the tenant that was last given a turn. No tenant begins to wait before it, so that a
    /// tenant that was idle has saved up nothing.
    clock: u64,
    /// The number of times that the CPU has become short.
    spell: u64,
    /// The time at which a call last began to wait.
    short_at: Instant,
    /// The free extra turns: turns beyond the usual ones, for calls that need not wait ([`Lanes::take_extra`]).
    extra: usize,
}

/// The calls of one tenant that wait, first come first.
#[derive(Debug)]
struct Lane {
    account: CpuAccount,
    waiters: VecDeque<Arc<TurnWaiter>>,
}

/// A turn on the CPU. It must be given back ([`RunQueue::give_back`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "a turn that is not given back is lost"]
pub(super) enum CpuTurn {
    /// One of the turns that calls wait for.
    Usual,
    /// A turn beyond the usual ones, for a call that need not wait.
    Extra,
}

/// A call's request for a turn.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TurnRequest {
    /// The CPU that the call has used so far.
    pub(super) used_ns: u64,
    /// The call runs in the background, where it has no extra turns: it would wait for a thread instead.
    pub(super) has_moved: bool,
}

/// A call's place in the queue.
#[derive(Debug)]
pub(super) struct TurnWaiter(Mutex<WaiterState>);

#[derive(Debug)]
enum WaiterState {
    Waiting(Waker),
    /// The call has its turn.
    Granted,
}

impl RunQueue {
    /// A queue for `at_once` turns.
    pub(super) fn new(at_once: usize) -> Self {
        let free = u64::try_from(at_once).unwrap_or(u64::MAX).clamp(1, u64::from(u32::MAX >> 1));
        // Extra turns are taken on the runtime's workers alone, of which there are two for each usual turn.
        let extra = at_once.saturating_mul(2).saturating_sub(1).max(1);
        let lanes =
            Lanes { by_position: BTreeMap::new(), clock: 0, spell: 1, short_at: Instant::now(), extra };
        Self { word: AtomicU64::new(free.saturating_mul(ONE_FREE)), lanes: Mutex::new(lanes) }
    }

    /// The number of calls that wait for a turn.
    pub(super) fn waiting(&self) -> u64 {
        waiting(self.word.load(Ordering::Relaxed))
    }

    /// Takes a usual turn, and returns true, if one is free.
    pub(super) fn take_free(&self) -> bool {
        let take = |word: u64| word.checked_sub(ONE_FREE);
        self.word.fetch_update(Ordering::Acquire, Ordering::Relaxed, take).is_ok()
    }

    /// A turn, or else a place in the queue: `context` is woken when the turn has come.
    pub(super) fn take_or_wait(
        &self,
        account: &CpuAccount,
        request: TurnRequest,
        context: &Context<'_>,
    ) -> Result<CpuTurn, Arc<TurnWaiter>> {
        let mut lanes = self.lanes();
        if !request.has_moved && lanes.take_extra(account, request.used_ns <= SHORT_NS) {
            return Ok(CpuTurn::Extra);
        }
        // Either a turn is free, or a call that gives its turn back sees that another waits, and then waits for the
        // lock.
        let take_or_wait =
            |word: u64| Some(word.checked_sub(ONE_FREE).unwrap_or_else(|| word.saturating_add(ONE_WAITS)));
        let before = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, take_or_wait);
        if before.is_ok_and(|word| word >= ONE_FREE) {
            return Ok(CpuTurn::Usual);
        }
        Err(lanes.wait(account, context))
    }

    /// A place in the queue for a call that gives its turn back next: the call may be the one to go on. None if
    /// nobody else waits. A call that has moved waits all the same, for others may need its thread to be polled, and
    /// only then join the queue.
    pub(super) fn wait_again(
        &self,
        account: &CpuAccount,
        request: TurnRequest,
        context: &Context<'_>,
    ) -> Option<Arc<TurnWaiter>> {
        if self.waiting() == 0 && !request.has_moved {
            return None;
        }
        let mut lanes = self.lanes();
        self.word.fetch_add(ONE_WAITS, Ordering::AcqRel);
        Some(lanes.wait(account, context))
    }

    /// Takes a turn back, and gives a usual turn on to the next call.
    pub(super) fn give_back(&self, account: &CpuAccount, turn: CpuTurn) {
        match turn {
            CpuTurn::Usual => self.give_on(account),
            CpuTurn::Extra => self.lanes().give_back_extra(account),
        }
    }

    fn give_on(&self, account: &CpuAccount) {
        let give_back = |word: u64| (waiting(word) == 0).then(|| word.saturating_add(ONE_FREE));
        if self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, give_back).is_ok() {
            return;
        }
        let mut lanes = self.lanes();
        lanes.settle(account);
        let next = lanes.pop();
        // A call that waited may have given up since.
        let given = |word: u64| match next {
            Some(_) => word.checked_sub(ONE_WAITS),
            None => word.checked_add(ONE_FREE),
        };
        // Neither can fail: only waiting calls are in the queue, and no turn is given back twice.
        let _ = self.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, given);
        drop(lanes);
        if let Some(next) = next {
            next.grant();
        }
    }

    /// Gives a place in the queue up, or the turn that has come meanwhile.
    pub(super) fn give_up(&self, account: &CpuAccount, waiter: &Arc<TurnWaiter>) {
        let mut lanes = self.lanes();
        if lanes.remove(account, waiter) {
            self.word.fetch_sub(ONE_WAITS, Ordering::AcqRel);
        } else {
            drop(lanes);
            self.give_on(account);
        }
    }

    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn waiting(word: u64) -> u64 {
    word & u64::from(u32::MAX)
}

impl Lanes {
    /// Takes an extra turn, if the call gets one. Two kinds of calls do. First, a call that is short so far, while
    /// nobody waits, for a queue of short calls costs more than the calls do. Second, a call whose tenant has had no
    /// more than those that are served, so that a tenant that asks for little is served at once, by the kernel's
    /// leave, however busy the others are. The last extra turn is for a tenant that has none: CPU is charged when a
    /// turn is over, and meanwhile one tenant could take all extra turns.
    fn take_extra(&mut self, account: &CpuAccount, is_short: bool) -> bool {
        let kept_back = usize::from(account.standing().extra > 0);
        if self.extra <= kept_back {
            return false;
        }
        if self.by_position.is_empty() {
            if !is_short {
                return false;
            }
        } else if !self.is_behind(account) {
            return false;
        }
        let mut standing = account.standing();
        standing.extra = standing.extra.saturating_add(1);
        self.extra = self.extra.saturating_sub(1);
        true
    }

    fn give_back_extra(&mut self, account: &CpuAccount) {
        self.extra = self.extra.saturating_add(1);
        let mut standing = account.standing();
        standing.extra = standing.extra.saturating_sub(1);
    }

    /// True if no call of the tenant waits and the tenant has had no more than those that are served.
    fn is_behind(&mut self, account: &CpuAccount) -> bool {
        self.settle(account);
        let mut standing = account.standing();
        if standing.position.is_some() || standing.virtual_time > self.clock {
            return false;
        }
        let most_behind = MOST_BEHIND_NS.div_ceil(u64::from(account.weight()).max(1));
        standing.virtual_time = standing.virtual_time.max(self.clock.saturating_sub(most_behind));
        true
    }

    fn wait(&mut self, account: &CpuAccount, context: &Context<'_>) -> Arc<TurnWaiter> {
        let waiter = Arc::new(TurnWaiter(Mutex::new(WaiterState::Waiting(context.waker().clone()))));
        self.push(account, waiter.clone());
        waiter
    }

    fn push(&mut self, account: &CpuAccount, waiter: Arc<TurnWaiter>) {
        let now = Instant::now();
        if self.by_position.is_empty() && now.saturating_duration_since(self.short_at) > SHORT_FOR {
            self.spell = self.spell.saturating_add(1);
        }
        self.short_at = now;
        self.settle(account);
        let mut standing = account.standing();
        let position = match standing.position {
            Some(position) => position,
            None => (standing.virtual_time.max(self.clock), account.id()),
        };
        (standing.virtual_time, standing.position) = (position.0, Some(position));
        let lane = self.by_position.entry(position);
        lane.or_insert_with(|| Lane { account: account.clone(), waiters: VecDeque::new() })
            .waiters
            .push_back(waiter);
    }

    /// Charges a tenant the CPU that it has used since it was last settled.
    fn settle(&mut self, account: &CpuAccount) {
        let mut standing = account.standing();
        let used_ns = account.used_ns();
        let Standing { spell, seen_ns, virtual_time, rest_ns, position, .. } = &mut *standing;
        let charge = used_ns.saturating_sub(std::mem::replace(seen_ns, used_ns)).min(MAX_CHARGE_NS);
        if std::mem::replace(spell, self.spell) != self.spell {
            // While the CPU was not short, a tenant's use took nothing from any other.
            *virtual_time = self.clock;
            *rest_ns = 0;
            return;
        }
        let (charge, weight) = (charge.saturating_add(*rest_ns), u64::from(account.weight()).max(1));
        *virtual_time = virtual_time.saturating_add(charge.checked_div(weight).unwrap_or(charge));
        *rest_ns = charge.checked_rem(weight).unwrap_or(0);
        let Some(from) = *position else { return };
        if let Some(lane) = self.by_position.remove(&from) {
            let to = (*virtual_time, from.1);
            self.by_position.insert(to, lane);
            *position = Some(to);
        }
    }

    /// Takes the next call out of the queue. The queue is not empty if any call waits.
    fn pop(&mut self) -> Option<Arc<TurnWaiter>> {
        let mut first = self.by_position.first_entry()?;
        self.clock = self.clock.max(first.key().0);
        let next = first.get_mut().waiters.pop_front();
        if first.get().waiters.is_empty() {
            first.remove().account.standing().position = None;
        }
        next
    }

    /// Takes a call out of the queue, and returns true, if it is there.
    fn remove(&mut self, account: &CpuAccount, waiter: &Arc<TurnWaiter>) -> bool {
        let mut standing = account.standing();
        let Some(position) = standing.position else { return false };
        let Some(lane) = self.by_position.get_mut(&position) else { return false };
        let before = lane.waiters.len();
        lane.waiters.retain(|other| !Arc::ptr_eq(other, waiter));
        let was_there = lane.waiters.len() < before;
        if lane.waiters.is_empty() {
            self.by_position.remove(&position);
            standing.position = None;
        }
        was_there
    }
}

impl TurnWaiter {
    /// Tells the waiting call that its turn has come.
    fn grant(&self) {
        let waited = std::mem::replace(&mut *self.state(), WaiterState::Granted);
        if let WaiterState::Waiting(waker) = waited {
            waker.wake();
        }
    }

    /// True once the call's turn has come. Until then `context` is woken when it comes.
    pub(super) fn is_granted(&self, context: &Context<'_>) -> bool {
        match &mut *self.state() {
            WaiterState::Waiting(waker) => {
                waker.clone_from(context.waker());
                false
            }
            WaiterState::Granted => true,
        }
    }

    fn state(&self) -> MutexGuard<'_, WaiterState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
