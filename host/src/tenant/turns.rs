//! Turns on the CPU: so many guests compute at once, and when more want to, tenants go by weight.
//!
//! Each poll of a guest is a turn, and a tick of the epoch ends it once it has lasted for a while. While there is room
//! a turn is two atomic operations. When there is none, the tenant goes next that has used the least CPU for its weight
//! since the CPU became short, however many calls it has; within a tenant, whoever came first. (Start-time fair
//! queueing, with the CPU that was measured in place of lengths known beforehand.)

use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

use super::share::{Account, Share};

/// For so long after somebody last waited the CPU counts as short. What is used while it is not is held against
/// nobody.
const SHORT_FOR: Duration = Duration::from_millis(20);

/// A call that has used no more than this is as likely as not done with its next turn.
const SHORT_NS: u64 = 500_000;

/// No tenant is further behind than this, however long it was idle: so much it may use without waiting for its turn.
const MOST_BEHIND_NS: u64 = 10_000_000;

/// How soon a stream that waits for its tenant's quota looks at it again.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// The most that is charged at once: who ran on alone in one long instruction is not shut out for as long.
const MAX_CHARGE_NS: u64 = 250_000_000;

/// One waiting call, in the packed word.
const ONE_WAITS: u64 = 1;
/// One free turn, in the packed word.
const ONE_FREE: u64 = 1 << 32;

/// The turns of one host. Clones are the same turns.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Free turns above, waiting calls below: who leaves sees without a lock whether anybody waits.
    word: AtomicU64,
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    /// Tenants with calls that wait; the first goes next.
    lanes: BTreeMap<Place, Lane>,
    /// The virtual time of whoever was last given a turn. Nobody begins to wait before it, so that who was
    /// idle has saved up nothing.
    clock: u64,
    /// How often the CPU has become short.
    spell: u64,
    /// When somebody last began to wait.
    short_at: Instant,
    /// Turns beyond the usual ones that may be taken, by those whom it is not worth while to have wait.
    extra: usize,
}

/// Where a tenant stands in the queue: its virtual time, which is the CPU that it used by its weight, and its
/// share's number.
pub(super) type Place = (u64, usize);

/// The calls of one tenant that wait.
#[derive(Debug)]
struct Lane {
    share: Share,
    waiters: VecDeque<Arc<Waiter>>,
}

/// One call that waits.
#[derive(Debug)]
struct Waiter(Mutex<Waits>);

#[derive(Debug)]
enum Waits {
    ForItsTurn(Waker),
    NoLonger,
}

impl Turns {
    /// So many turns at once.
    pub fn new(at_once: usize) -> Self {
        let free = u64::try_from(at_once).unwrap_or(u64::MAX).clamp(1, u64::from(u32::MAX >> 1));
        // They are had on the runtime's workers alone, of which there are two for each usual turn.
        let extra = at_once.saturating_mul(2).saturating_sub(1).max(1);
        let queue = Queue { lanes: BTreeMap::new(), clock: 0, spell: 1, short_at: Instant::now(), extra };
        Self(Arc::new(Inner {
            word: AtomicU64::new(free.saturating_mul(ONE_FREE)),
            queue: Mutex::new(queue),
        }))
    }

    /// Runs `future`, the guest in it only in its turns: at each poll `meter` tells the guest whether this is
    /// one, and is read. All else in the future, such as its deadline, waits for no turn.
    pub async fn run<M, F>(&self, share: &Share, meter: M, future: F) -> F::Output
    where
        M: Fn(bool) -> Reading,
        F: Future,
    {
        let mut guest = Guest::new(self, share, false, meter);
        let mut future = pin!(future);
        poll_fn(|context| guest.poll(context, future.as_mut())).await
    }

    /// The same for what can wait: while the tenant's quota `cpu` is used up, it does.
    pub async fn run_paced<M, F>(&self, share: &Share, meter: M, future: F) -> F::Output
    where
        M: Fn(bool) -> Reading,
        F: Future,
    {
        let mut guest = Guest::new(self, share, true, meter);
        let mut future = pin!(future);
        poll_fn(|context| {
            if guest.is_paused(context) {
                guest.poll_without_turn(context, future.as_mut())
            } else {
                guest.poll(context, future.as_mut())
            }
        })
        .await
    }

    /// Calls that wait for a turn.
    pub fn waiting(&self) -> u64 {
        waiting(self.0.word.load(Ordering::Relaxed))
    }

    /// A turn, if one is free.
    fn take_free(&self) -> bool {
        let take = |word: u64| word.checked_sub(ONE_FREE);
        self.0.word.fetch_update(Ordering::Acquire, Ordering::Relaxed, take).is_ok()
    }

    /// A turn, or else a place in the queue.
    fn take_or_wait(&self, share: &Share, guest: Reading, context: &Context<'_>) -> Taken {
        let mut queue = self.queue();
        if !guest.has_moved && queue.take_extra(share, guest.used_ns <= SHORT_NS) {
            return Taken::Extra;
        }
        // Either a turn is free, or whoever gives one back sees that somebody waits, and then waits for the lock.
        let take_or_wait =
            |word: u64| Some(word.checked_sub(ONE_FREE).unwrap_or_else(|| word.saturating_add(ONE_WAITS)));
        let before = self.0.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, take_or_wait);
        if before.is_ok_and(|word| word >= ONE_FREE) {
            return Taken::Usual;
        }
        Taken::Waits(queue.wait(share, context))
    }

    /// A place in the queue, for whoever gives its turn back next: it may be the one to go on. None if nobody else
    /// waits; but one that has moved waits all the same, for others may need its thread to be polled, and only then join
    /// the queue.
    fn wait_again(&self, share: &Share, guest: Reading, context: &Context<'_>) -> Option<Arc<Waiter>> {
        if self.waiting() == 0 && !guest.has_moved {
            return None;
        }
        let mut queue = self.queue();
        self.0.word.fetch_add(ONE_WAITS, Ordering::AcqRel);
        Some(queue.wait(share, context))
    }

    fn give_back_extra(&self, share: &Share) {
        let mut queue = self.queue();
        queue.extra = queue.extra.saturating_add(1);
        let mut account = share.account();
        account.extra = account.extra.saturating_sub(1);
    }

    /// Gives a turn back, or on to whoever is next.
    fn give_back(&self, share: &Share) {
        let give_back = |word: u64| (waiting(word) == 0).then(|| word.saturating_add(ONE_FREE));
        if self.0.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, give_back).is_ok() {
            return;
        }
        let mut queue = self.queue();
        queue.settle(share);
        let next = queue.pop();
        // Who waited may have given up since.
        let given = |word: u64| match next {
            Some(_) => word.checked_sub(ONE_WAITS),
            None => word.checked_add(ONE_FREE),
        };
        // Neither can fail: only who waits is in the queue, and no turn is given back twice.
        let _ = self.0.word.fetch_update(Ordering::AcqRel, Ordering::Acquire, given);
        drop(queue);
        if let Some(next) = next {
            next.grant();
        }
    }

    /// Gives up waiting, or the turn that has come meanwhile.
    fn give_up(&self, share: &Share, waiter: &Arc<Waiter>) {
        let mut queue = self.queue();
        if queue.remove(share, waiter) {
            self.0.word.fetch_sub(ONE_WAITS, Ordering::AcqRel);
        } else {
            drop(queue);
            self.give_back(share);
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn waiting(word: u64) -> u64 {
    word & u64::from(u32::MAX)
}

/// What a guest's meter says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reading {
    /// CPU that it has used so far, in nanoseconds.
    pub used_ns: u64,
    /// What of it is still to be charged: no reading tells it again.
    pub uncharged_ns: u64,
    /// Whether it had not waited for anything when its last turn was over: it wants another one.
    pub computes_on: bool,
    /// Whether it runs on a thread for those that compute on. There it has no extra turns: it would wait for a thread
    /// instead.
    pub has_moved: bool,
}

/// What came of asking for a turn.
#[derive(Debug)]
enum Taken {
    Usual,
    Extra,
    Waits(Arc<Waiter>),
}

impl Queue {
    /// Whether a call gets an extra turn: one that is short so far, while nobody waits, for queues of short calls
    /// cost more than they; and one whose tenant has had no more than those that are served, so that who asks for
    /// little is served at once, by the kernel's leave, however busy the others are. The last one is for a tenant that
    /// has none: what is used in a turn is charged when it is over, and meanwhile one tenant could take them all.
    fn take_extra(&mut self, share: &Share, is_short: bool) -> bool {
        let kept_back = usize::from(share.account().extra > 0);
        if self.extra <= kept_back {
            return false;
        }
        if self.lanes.is_empty() {
            if !is_short {
                return false;
            }
        } else if !self.is_behind(share) {
            return false;
        }
        let mut account = share.account();
        account.extra = account.extra.saturating_add(1);
        self.extra = self.extra.saturating_sub(1);
        true
    }

    /// Whether a tenant waits for nothing and has had no more than those that are served.
    fn is_behind(&mut self, share: &Share) -> bool {
        self.settle(share);
        let mut account = share.account();
        if account.place.is_some() || account.virtual_time > self.clock {
            return false;
        }
        let most_behind = MOST_BEHIND_NS.div_ceil(u64::from(share.weight()).max(1));
        account.virtual_time = account.virtual_time.max(self.clock.saturating_sub(most_behind));
        true
    }

    fn wait(&mut self, share: &Share, context: &Context<'_>) -> Arc<Waiter> {
        let waiter = Arc::new(Waiter(Mutex::new(Waits::ForItsTurn(context.waker().clone()))));
        self.push(share, waiter.clone());
        waiter
    }

    fn push(&mut self, share: &Share, waiter: Arc<Waiter>) {
        let now = Instant::now();
        if self.lanes.is_empty() && now.saturating_duration_since(self.short_at) > SHORT_FOR {
            self.spell = self.spell.saturating_add(1);
        }
        self.short_at = now;
        self.settle(share);
        let mut account = share.account();
        let place = match account.place {
            Some(place) => place,
            None => (account.virtual_time.max(self.clock), share.id()),
        };
        (account.virtual_time, account.place) = (place.0, Some(place));
        let lane = self.lanes.entry(place);
        lane.or_insert_with(|| Lane { share: share.clone(), waiters: VecDeque::new() })
            .waiters
            .push_back(waiter);
    }

    /// Charges a tenant what it has used since it was last looked at.
    fn settle(&mut self, share: &Share) {
        let mut account = share.account();
        let used_ns = share.used_ns();
        let Account { spell, seen_ns, virtual_time, rest_ns, place, .. } = &mut *account;
        let charge = used_ns.saturating_sub(std::mem::replace(seen_ns, used_ns)).min(MAX_CHARGE_NS);
        if std::mem::replace(spell, self.spell) != self.spell {
            // While the CPU was not short, what anybody used was taken from nobody.
            *virtual_time = self.clock;
            *rest_ns = 0;
            return;
        }
        let (charge, weight) = (charge.saturating_add(*rest_ns), u64::from(share.weight()).max(1));
        *virtual_time = virtual_time.saturating_add(charge.checked_div(weight).unwrap_or(charge));
        *rest_ns = charge.checked_rem(weight).unwrap_or(0);
        let Some(from) = *place else { return };
        if let Some(lane) = self.lanes.remove(&from) {
            let to = (*virtual_time, from.1);
            self.lanes.insert(to, lane);
            *place = Some(to);
        }
    }

    /// Whoever is next. The queue is not empty if anybody waits.
    fn pop(&mut self) -> Option<Arc<Waiter>> {
        let mut first = self.lanes.first_entry()?;
        self.clock = self.clock.max(first.key().0);
        let next = first.get_mut().waiters.pop_front();
        if first.get().waiters.is_empty() {
            first.remove().share.account().place = None;
        }
        next
    }

    /// Whether it was there.
    fn remove(&mut self, share: &Share, waiter: &Arc<Waiter>) -> bool {
        let mut account = share.account();
        let Some(place) = account.place else { return false };
        let Some(lane) = self.lanes.get_mut(&place) else { return false };
        let before = lane.waiters.len();
        lane.waiters.retain(|other| !Arc::ptr_eq(other, waiter));
        let was_there = lane.waiters.len() < before;
        if lane.waiters.is_empty() {
            self.lanes.remove(&place);
            account.place = None;
        }
        was_there
    }
}

impl Waiter {
    /// Tells it that its turn has come.
    fn grant(&self) {
        let waited = std::mem::replace(&mut *self.state(), Waits::NoLonger);
        if let Waits::ForItsTurn(waker) = waited {
            waker.wake();
        }
    }

    /// Whether its turn has come; if not, `context` is told when it has.
    fn is_granted(&self, context: &Context<'_>) -> bool {
        match &mut *self.state() {
            Waits::ForItsTurn(waker) => {
                waker.clone_from(context.waker());
                false
            }
            Waits::NoLonger => true,
        }
    }

    fn state(&self) -> MutexGuard<'_, Waits> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A guest as the turns see it.
struct Guest<'a, M: Fn(bool) -> Reading> {
    turns: &'a Turns,
    share: &'a Share,
    /// Whether its tenant's quota makes it wait.
    is_paced: bool,
    meter: M,
    /// While it waits for its turn.
    waiter: Option<Arc<Waiter>>,
    /// While its tenant's quota is used up.
    pause: Option<Pin<Box<Sleep>>>,
}

/// A turn, given back also if the guest's future panics.
struct Turn<'a> {
    turns: &'a Turns,
    share: &'a Share,
    is_extra: bool,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.is_extra {
            self.turns.give_back_extra(self.share);
        } else {
            self.turns.give_back(self.share);
        }
    }
}

impl<'a, M: Fn(bool) -> Reading> Guest<'a, M> {
    fn new(turns: &'a Turns, share: &'a Share, is_paced: bool, meter: M) -> Self {
        Self { turns, share, is_paced, meter, waiter: None, pause: None }
    }

    /// Tells the guest whether it has a turn from now on, and charges what it has used.
    fn switch(&self, has_turn: bool) -> Reading {
        let reading = (self.meter)(has_turn);
        self.share.charge(reading.uncharged_ns);
        reading
    }

    fn poll<F: Future>(&mut self, context: &mut Context<'_>, future: Pin<&mut F>) -> Poll<F::Output> {
        let Some(turn) = self.turn(context) else {
            return self.poll_without_turn(context, future);
        };
        self.switch(true);
        let poll = future.poll(context);
        let reading = self.switch(false);
        if poll.is_pending() && reading.computes_on && !turn.is_extra && !self.is_overdrawn() {
            self.waiter = self.turns.wait_again(self.share, reading, context);
        }
        drop(turn);
        poll
    }

    fn poll_without_turn<F: Future>(
        &self,
        context: &mut Context<'_>,
        future: Pin<&mut F>,
    ) -> Poll<F::Output> {
        self.switch(false);
        future.poll(context)
    }

    fn turn(&mut self, context: &Context<'_>) -> Option<Turn<'a>> {
        let is_extra = match &self.waiter {
            Some(waiter) if !waiter.is_granted(context) => return None,
            Some(_) => false,
            None if self.turns.take_free() => false,
            None => match self.turns.take_or_wait(self.share, self.switch(false), context) {
                Taken::Usual => false,
                Taken::Extra => true,
                Taken::Waits(waiter) => {
                    self.waiter = Some(waiter);
                    return None;
                }
            },
        };
        self.waiter = None;
        Some(Turn { turns: self.turns, share: self.share, is_extra })
    }

    fn is_overdrawn(&self) -> bool {
        self.is_paced && self.share.overdrawn().is_some()
    }

    /// Whether it has to wait for its tenant's quota; if so, `context` is told when it is over.
    fn is_paused(&mut self, context: &mut Context<'_>) -> bool {
        // A turn that was waited for is taken: it must not be kept from others.
        if self.waiter.is_some() {
            return false;
        }
        loop {
            if let Some(pause) = &mut self.pause {
                if pause.as_mut().poll(context).is_pending() {
                    return true;
                }
                self.pause = None;
            }
            match self.share.overdrawn() {
                // Looked at again soon: the quota may be raised.
                Some(wait) => self.pause = Some(Box::pin(sleep(wait.min(LONGEST_PAUSE)))),
                None => return false,
            }
        }
    }
}

impl<M: Fn(bool) -> Reading> Drop for Guest<'_, M> {
    fn drop(&mut self) {
        // What the end of a call took that was cut off: its future is dropped by now.
        self.switch(false);
        if let Some(waiter) = &self.waiter {
            self.turns.give_up(self.share, waiter);
        }
    }
}

#[cfg(test)]
mod tests;
