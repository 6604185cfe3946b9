//! The bill of one call: the CPU that it has used, and its guest's orders at a tick.
//!
//! The cells are written by the thread that polls the guest: when a poll begins, at a tick, and when the poll ends.
//! `used_ns` is read by reports on other threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::account::CpuAccount;
use super::background;
use super::clock::{self, Reading};
use super::habit::Habit;
use super::scheduler::Scheduler;

/// The least time that a guest has run before it is made to yield. A tick that comes sooner leaves the guest alone,
/// for most are done by the next tick, and a turn that was given back has to be waited for.
const LEAST_RUN_NS: u64 = 200_000;

/// A guest's orders at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tick {
    /// The guest goes on.
    Continue,
    /// The guest gives way to others.
    Yield,
    /// The guest has used up its budget, and is to be stopped.
    Exceeded,
}

/// The CPU's view of a call, from its first poll to its last. Clones are the same call.
#[derive(Clone)]
pub struct CpuTask(Arc<Bill>);

struct Bill {
    scheduler: Scheduler,
    account: CpuAccount,
    habit: Habit,
    budget_ns: u64,
    used_ns: AtomicU64,
    /// The start of the guest's present poll, by the thread's clock.
    entered_ns: AtomicU64,
    /// The moment at which the guest has used up its budget if it computes on, by the thread's clock.
    exceeds_ns: AtomicU64,
    has_exceeded: AtomicBool,
    /// The guest was made to yield in the present poll: it waits for nothing.
    has_yielded: AtomicBool,
}

impl Scheduler {
    /// The task of a call that `account` pays for. The call may use `budget` until it streams, and then as much each
    /// second.
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
    /// A tick, on the thread on which the guest runs: bills nothing, and gives the guest's orders.
    pub fn tick(&self) -> Tick {
        if self.is_in_background() {
            // Without this yield the kernel looks only every few milliseconds for others that want this processor.
            std::thread::yield_now();
        }
        let bill = &*self.0;
        let Some(now_ns) = clock::now_ns() else {
            // The guest's deadline by the wall clock is all that is left, and it is checked when the guest yields.
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

    /// True if the call was stopped at a tick.
    pub fn has_exceeded(&self) -> bool {
        self.0.has_exceeded.load(Ordering::Relaxed)
    }

    /// The CPU that the call has used, up to the last time that its guest was left.
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

    /// True if the call is polled in the background.
    pub(super) fn is_in_background(&self) -> bool {
        background::is_this_thread()
    }

    /// Notes that a poll begins, in which the guest was not yet made to yield.
    pub(super) fn begin_poll(&self) {
        self.0.has_yielded.store(false, Ordering::Relaxed);
    }

    /// True if the guest was made to yield when it was last polled: it wants another turn.
    pub(super) fn computes_on(&self) -> bool {
        self.0.has_yielded.load(Ordering::Relaxed)
    }

    /// Enters the guest, which is polled until the stopwatch is dropped. Its present budget began when the call had
    /// used `from_ns`.
    pub(super) fn enter(&self, from_ns: u64) -> Stopwatch<'_> {
        let stopwatch = self.stopwatch();
        let left_ns = self.0.budget_ns.saturating_sub(self.used_ns().saturating_sub(from_ns));
        let entered_ns = stopwatch.began.at_most_ns.unwrap_or(u64::MAX);
        self.0.entered_ns.store(entered_ns, Ordering::Relaxed);
        self.0.exceeds_ns.store(entered_ns.saturating_add(left_ns), Ordering::Relaxed);
        stopwatch
    }

    /// Bills the CPU from now on until the stopwatch is dropped, also if the work panics.
    pub(super) fn stopwatch(&self) -> Stopwatch<'_> {
        Stopwatch { task: self, began: Reading::now() }
    }

    /// The one place where CPU is charged, to the call and to its tenant.
    fn charge(&self, ns: u64) {
        self.0.used_ns.fetch_add(ns, Ordering::Relaxed);
        self.0.account.charge(ns);
    }

    /// Charges the call like a guest that computes for `ns`.
    #[cfg(test)]
    pub(super) fn spend(&self, ns: u64) {
        self.charge(ns);
    }

    /// Makes the guest yield like a tick.
    #[cfg(test)]
    pub(super) fn make_yield(&self) {
        self.0.has_yielded.store(true, Ordering::Relaxed);
    }
}

/// A guard that bills the CPU of its lifetime when it is dropped.
pub(super) struct Stopwatch<'a> {
    task: &'a CpuTask,
    began: Reading,
}

impl Drop for Stopwatch<'_> {
    fn drop(&mut self) {
        self.task.charge(self.began.elapsed_ns());
    }
}
