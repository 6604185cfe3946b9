//! The bill of one call: what it has used, and what its guest is to do at a tick.
//!
//! The cells are written by the thread that polls the guest, where a poll begins, at a tick, and where it ends; `used_ns` is
//! read by whoever reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::account::CpuAccount;
use super::habit::Habit;
use super::scheduler::Scheduler;
use super::{background, clock};

/// A guest that is made to yield has run for so long: a tick that comes sooner leaves it alone, for most are done by the
/// next one, and a turn that was given back has to be waited for.
const LEAST_RUN_NS: u64 = 200_000;

/// A guest's orders at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// It goes on.
    Continue,
    /// Others are to have their turns.
    Yield,
    /// It has used up its budget, and is to be stopped.
    Exceeded,
}

/// A call as the CPU sees it, from its first poll to its last. Clones are the same call.
#[derive(Clone)]
pub struct CpuTask(Arc<Bill>);

struct Bill {
    scheduler: Scheduler,
    account: CpuAccount,
    habit: Habit,
    budget_ns: u64,
    used_ns: AtomicU64,
    /// By the thread's clock: when this poll of the guest began.
    entered_ns: AtomicU64,
    /// By the thread's clock: when the guest has used up its budget, if it computes on.
    exceeds_ns: AtomicU64,
    has_exceeded: AtomicBool,
    /// The guest was made to yield in this very poll: it waits for nothing.
    has_yielded: AtomicBool,
}

impl Scheduler {
    /// The task of a call that `account` pays for. It may use `budget` until it streams, and then as much each second.
    pub fn task(&self, account: &CpuAccount, habit: &Habit, budget: Duration) -> CpuTask {
        CpuTask(Arc::new(Bill {
            scheduler: self.clone(),
            account: account.clone(),
            habit: habit.clone(),
            budget_ns: u64::try_from(budget.as_nanos()).unwrap_or(u64::MAX),
            used_ns: AtomicU64::new(0),
            entered_ns: AtomicU64::new(0),
            exceeds_ns: AtomicU64::new(u64::MAX),
            has_exceeded: AtomicBool::new(false),
            has_yielded: AtomicBool::new(false),
        }))
    }
}

impl CpuTask {
    /// A tick, on the thread on which the guest runs.
    pub fn tick(&self) -> Tick {
        if self.is_in_background() {
            // By itself the kernel looks only every few milliseconds who else wants this processor.
            std::thread::yield_now();
        }
        let bill = &*self.0;
        let Some(now_ns) = clock::now_ns() else {
            // Its deadline by the clock on the wall is all that is left, and is looked at when it yields.
            bill.has_yielded.store(true, Ordering::Relaxed);
            return Tick::Yield;
        };
        if now_ns > bill.exceeds_ns.load(Ordering::Relaxed) {
            bill.has_exceeded.store(true, Ordering::Relaxed);
            return Tick::Exceeded;
        }
        if now_ns.saturating_sub(bill.entered_ns.load(Ordering::Relaxed)) < LEAST_RUN_NS {
            return Tick::Continue;
        }
        bill.has_yielded.store(true, Ordering::Relaxed);
        Tick::Yield
    }

    /// True of a call that was stopped at a tick.
    pub fn has_exceeded(&self) -> bool {
        self.0.has_exceeded.load(Ordering::Relaxed)
    }

    /// CPU that the call has used, up to the last time that its guest was left.
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns())
    }

    pub(super) fn used_ns(&self) -> u64 {
        self.0.used_ns.load(Ordering::Relaxed)
    }

    pub(super) fn budget_ns(&self) -> u64 {
        self.0.budget_ns
    }

    pub(super) fn account(&self) -> &CpuAccount {
        &self.0.account
    }

    pub(super) fn habit(&self) -> &Habit {
        &self.0.habit
    }

    pub(super) fn scheduler(&self) -> &Scheduler {
        &self.0.scheduler
    }

    /// True where the call is polled in the background.
    pub(super) fn is_in_background(&self) -> bool {
        background::is_this_thread()
    }

    /// The guest may be polled now: so far it was not made to yield.
    pub(super) fn begin_poll(&self) {
        self.0.has_yielded.store(false, Ordering::Relaxed);
    }

    /// True of a guest that was made to yield when it was last polled: it wants another turn.
    pub(super) fn computes_on(&self) -> bool {
        self.0.has_yielded.load(Ordering::Relaxed)
    }

    /// The guest is polled, until the stopwatch is dropped. Its present budget began when it had used `from_ns`.
    pub(super) fn enter(&self, from_ns: u64) -> Stopwatch<'_> {
        let stopwatch = self.stopwatch();
        let left_ns = self.0.budget_ns.saturating_sub(self.used_ns().saturating_sub(from_ns));
        let entered_ns = stopwatch.began_ns.unwrap_or(u64::MAX);
        self.0.entered_ns.store(entered_ns, Ordering::Relaxed);
        self.0.exceeds_ns.store(entered_ns.saturating_add(left_ns), Ordering::Relaxed);
        stopwatch
    }

    /// Bills what is done from now on, until the stopwatch is dropped: also if it panics.
    pub(super) fn stopwatch(&self) -> Stopwatch<'_> {
        Stopwatch { task: self, began_ns: clock::now_ns() }
    }

    /// The one place where CPU is charged, to the call and to its tenant.
    fn charge(&self, ns: u64) {
        self.0.used_ns.fetch_add(ns, Ordering::Relaxed);
        self.0.account.charge(ns);
    }

    /// As a guest that computes for so long.
    #[cfg(test)]
    pub(super) fn spend(&self, ns: u64) {
        self.charge(ns);
    }

    /// As a tick does it.
    #[cfg(test)]
    pub(super) fn make_yield(&self) {
        self.0.has_yielded.store(true, Ordering::Relaxed);
    }
}

/// CPU that is billed when this is dropped.
pub(super) struct Stopwatch<'a> {
    task: &'a CpuTask,
    began_ns: Option<u64>,
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        self.task.charge(clock::since_ns(self.began_ns));
    }
}
