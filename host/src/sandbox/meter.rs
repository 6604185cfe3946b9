//! CPU time of one call, by the clock of the thread that runs it.
//!
//! `Instant` would bill a guest for other processes' time. The thread's clock is read where a call's
//! future is entered and left, and once a tick while the guest computes; each read is a system call of
//! about 0.3 µs.
//!
//! Until its answer's head a call has one budget. Once it streams it has as much again for each second:
//! one that is ahead of it is paced, since how fast a body moves is its client's choice as well. But a
//! stretch of computing without any waiting may never be longer than one budget, paced or not.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::time::{ClockId, DynamicClockId, clock_gettime_dynamic};
use tokio::time::{Instant, Sleep, sleep_until};

use super::ticker::Activity;

/// Who is made to yield has run for so long: a tick that comes sooner leaves the guest alone, for most are done by the
/// next one, and a turn that was given back has to be waited for.
const LEAST_RUN_NS: u64 = 200_000;

/// What a guest does at a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tick {
    GoesOn,
    /// Others are to have their turns.
    Yields,
    /// It has used up its limit.
    Exceeded,
}

/// The account of one call. Written by the thread that polls it, read by whoever reports.
#[derive(Debug)]
pub struct Meter {
    limit_ns: u64,
    /// Whether the call may compute now.
    has_turn: AtomicBool,
    used_ns: AtomicU64,
    /// What of it somebody has been charged for.
    charged_ns: AtomicU64,
    entered_ns: AtomicU64,
    exceeded: AtomicBool,
    /// Whether the guest was made to yield in this very poll: it does not wait for anything.
    yields: AtomicBool,
    /// Whether it was when it was last polled in a turn.
    computes_on: AtomicBool,
    /// Whether the call goes on in `compute/`.
    has_moved: AtomicBool,
    /// What it had used when it last waited.
    stretch_from_ns: AtomicU64,
    streaming: OnceLock<Streaming>,
}

/// When the answer's head was set.
#[derive(Debug)]
struct Streaming {
    since: Instant,
    /// What the call had used by then.
    used_ns: u64,
}

impl Meter {
    /// The meter of a call that may use so much until its answer's head, and may compute whenever it is polled.
    pub fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            has_turn: AtomicBool::new(true),
            limit_ns: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
            used_ns: AtomicU64::new(0),
            charged_ns: AtomicU64::new(0),
            entered_ns: AtomicU64::new(0),
            exceeded: AtomicBool::new(false),
            yields: AtomicBool::new(false),
            computes_on: AtomicBool::new(false),
            has_moved: AtomicBool::new(false),
            stretch_from_ns: AtomicU64::new(0),
            streaming: OnceLock::new(),
        })
    }

    /// Whether the call may compute when it is polled from now on; if not, its deadlines alone are looked at.
    pub fn switch(&self, has_turn: bool) {
        self.has_turn.store(has_turn, Ordering::Relaxed);
    }

    /// Whether the guest waited for nothing when it was last left: it was made to yield.
    pub fn computes_on(&self) -> bool {
        self.computes_on.load(Ordering::Relaxed)
    }

    /// Whether the call goes on on a thread for those that compute on.
    pub fn has_moved(&self) -> bool {
        self.has_moved.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn set_computes_on(&self) {
        self.computes_on.store(true, Ordering::Relaxed);
    }

    pub(super) fn set_moved(&self, has_moved: bool) {
        self.has_moved.store(has_moved, Ordering::Relaxed);
    }

    /// A tick, on the thread on which the guest runs: what it is to do now, which is remembered.
    pub(super) fn tick(&self) -> Tick {
        if self.has_moved() {
            // By itself the kernel looks only every few milliseconds who else wants this processor.
            std::thread::yield_now();
        }
        let Some(now_ns) = thread_cpu_ns() else {
            // Its deadline by the clock on the wall is all that is left, and is looked at when it yields.
            self.yields.store(true, Ordering::Relaxed);
            return Tick::Yields;
        };
        let running_ns = now_ns.saturating_sub(self.entered_ns.load(Ordering::Relaxed));
        let used_ns = self.used_ns().saturating_add(running_ns);
        let from_ns = match self.streaming.get() {
            Some(_) => self.stretch_from_ns.load(Ordering::Relaxed),
            None => 0,
        };
        if used_ns.saturating_sub(from_ns) > self.limit_ns {
            self.exceeded.store(true, Ordering::Relaxed);
            return Tick::Exceeded;
        }
        if running_ns < LEAST_RUN_NS {
            return Tick::GoesOn;
        }
        self.yields.store(true, Ordering::Relaxed);
        Tick::Yields
    }

    /// From now on the call streams.
    pub(super) fn begin_streaming(&self) {
        let used_ns = self.used_ns();
        self.stretch_from_ns.store(used_ns, Ordering::Relaxed);
        // An answer has one head: that this is the first time is all there is.
        let _ = self.streaming.set(Streaming { since: Instant::now(), used_ns });
    }

    /// Until when a call that streams has to wait for its next budget, if it has used more than was its so
    /// far.
    fn paused_until(&self) -> Option<Instant> {
        let streaming = self.streaming.get()?;
        let used_ns = self.used_ns().saturating_sub(streaming.used_ns);
        // Each second begun brings one budget.
        let seconds = used_ns.checked_div(self.limit_ns)?;
        let until = streaming.since.checked_add(Duration::from_secs(seconds))?;
        (until > Instant::now()).then_some(until)
    }

    /// Whether the call was stopped for its CPU.
    pub(super) fn exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    /// What the call has used, up to the last time it was left.
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns())
    }

    /// Bills what is done for the call when its guest is not polled: its end, which clears its memory.
    pub(super) fn bill<T>(&self, work: impl FnOnce() -> T) -> T {
        let began_ns = thread_cpu_ns();
        let done = work();
        self.used_ns.fetch_add(since(began_ns), Ordering::Relaxed);
        done
    }

    /// What the call has used, as [`Meter::used`] has it, in nanoseconds.
    pub fn used_ns(&self) -> u64 {
        self.used_ns.load(Ordering::Relaxed)
    }

    /// What of it nobody has been charged for, in nanoseconds. Whoever asks is to charge it: it is told once.
    pub fn take_uncharged_ns(&self) -> u64 {
        let used_ns = self.used_ns();
        used_ns.saturating_sub(self.charged_ns.fetch_max(used_ns, Ordering::Relaxed))
    }
}

/// A future whose polls are billed to a meter, and its end too.
pub(super) struct Metered<F: ?Sized> {
    meter: Arc<Meter>,
    /// Told of each poll.
    activity: Arc<Activity>,
    pause: Option<Pin<Box<Sleep>>>,
    /// None once it is done.
    future: Option<Pin<Box<F>>>,
}

impl<F: ?Sized> Metered<F> {
    pub(super) fn new(meter: Arc<Meter>, activity: Arc<Activity>, future: Pin<Box<F>>) -> Self {
        Self { meter, activity, pause: None, future: Some(future) }
    }
}

impl<F: ?Sized> Drop for Metered<F> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            self.meter.bill(|| drop(future));
        }
    }
}

impl<F: Future + ?Sized> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { meter, activity, pause, future } = &mut *self;
        if !meter.has_turn.load(Ordering::Relaxed) {
            // Whoever takes the turn from it wakes it when it has it again.
            return Poll::Pending;
        }
        // Not while it is paused: it would be given turns again and again.
        meter.computes_on.store(false, Ordering::Relaxed);
        if pause.is_none() {
            *pause = meter.paused_until().map(|until| Box::pin(sleep_until(until)));
        }
        if let Some(paused) = pause {
            ready!(paused.as_mut().poll(context));
            *pause = None;
        }
        let Some(running) = future else { return Poll::Pending };
        let entered_ns = thread_cpu_ns();
        meter.entered_ns.store(entered_ns.unwrap_or(u64::MAX), Ordering::Relaxed);
        let is_counted = activity.run();
        let poll = running.as_mut().poll(context);
        drop(is_counted);
        if poll.is_ready() {
            *future = None;
        }
        let ran_ns = since(entered_ns);
        let before_ns = meter.used_ns.fetch_add(ran_ns, Ordering::Relaxed);
        let has_yielded = meter.yields.swap(false, Ordering::Relaxed);
        meter.computes_on.store(has_yielded, Ordering::Relaxed);
        if !has_yielded {
            meter.stretch_from_ns.store(before_ns.saturating_add(ran_ns), Ordering::Relaxed);
        }
        poll
    }
}

/// The CPU time of this thread; none if the system refuses to tell.
fn thread_cpu_ns() -> Option<u64> {
    let time = clock_gettime_dynamic(DynamicClockId::Known(ClockId::ThreadCPUTime)).ok()?;
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u64::try_from(time.tv_nsec).ok()?);
    Some(seconds.saturating_mul(1_000_000_000).saturating_add(nanos))
}

/// What this thread has used since then; nothing where it cannot be told.
fn since(began_ns: Option<u64>) -> u64 {
    began_ns.zip(thread_cpu_ns()).map_or(0, |(began_ns, now_ns)| now_ns.saturating_sub(began_ns))
}

/// Whether CPU time can be told at all: without it no limit of it holds.
pub(super) fn check_clock() -> rustix::io::Result<()> {
    clock_gettime_dynamic(DynamicClockId::Known(ClockId::ThreadCPUTime)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn burn(for_ms: u64) {
        let until_ns = thread_cpu_ns().unwrap() + for_ms * 1_000_000;
        while thread_cpu_ns().unwrap() < until_ns {}
    }

    fn metered<F: Future>(meter: &Arc<Meter>, future: Pin<Box<F>>) -> Metered<F> {
        Metered::new(meter.clone(), Arc::default(), future)
    }

    fn poll<F: Future + Send>(metered: &mut Pin<Box<Metered<F>>>) -> Poll<F::Output> {
        metered.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()))
    }

    #[test]
    fn only_time_spent_inside_is_billed() {
        let meter = Meter::new(Duration::from_millis(1));
        burn(20);
        let inner = meter.clone();
        let future = Box::pin(async move {
            let before = inner.tick();
            burn(2);
            (before, inner.tick())
        });
        let mut metered = Box::pin(metered(&meter, future));
        let Poll::Ready(ticks) = poll(&mut metered) else { panic!("it never waits") };
        assert_eq!(ticks, (Tick::GoesOn, Tick::Exceeded));
        assert!(meter.used() >= Duration::from_millis(2) && meter.used() < Duration::from_millis(20));
    }

    #[test]
    fn what_it_takes_to_end_a_call_is_billed_whether_or_not_it_is_done() {
        struct Memory;
        impl Drop for Memory {
            fn drop(&mut self) {
                burn(2);
            }
        }
        for is_done in [true, false] {
            let meter = Meter::new(Duration::from_millis(1));
            let memory = Memory;
            let future = Box::pin(async move {
                let _held = memory;
                if !is_done {
                    std::future::pending::<()>().await;
                }
            });
            let mut metered = Box::pin(metered(&meter, future));
            assert_eq!(poll(&mut metered).is_ready(), is_done);
            drop(metered);
            assert!(meter.used() >= Duration::from_millis(2), "done: {is_done}");
        }
    }

    #[test]
    fn a_stream_has_a_budget_for_each_second_and_one_that_is_ahead_of_it_waits() {
        let meter = Meter::new(Duration::from_millis(10));
        let spend =
            |ms| assert!(poll(&mut Box::pin(metered(&meter, Box::pin(async move { burn(ms) })))).is_ready());
        spend(5);
        meter.begin_streaming();
        let began = Instant::now();
        spend(6);
        assert_eq!(meter.paused_until(), None, "what was used before the head does not count");
        spend(17);
        let until = meter.paused_until().expect("two budgets and a part of the third are used");
        let seconds = until.saturating_duration_since(began).as_secs_f64();
        assert!((1.9..2.1).contains(&seconds), "it waits {seconds} s for its third");
    }

    #[tokio::test]
    async fn one_that_was_made_to_yield_computes_on_and_one_that_is_paused_does_not() {
        let meter = Meter::new(Duration::from_millis(10));
        meter.begin_streaming();
        let inner = meter.clone();
        let guest = Box::pin(async move {
            burn(6);
            // It waits for something.
            tokio::task::yield_now().await;
            burn(6);
            assert_eq!(inner.tick(), Tick::Yields);
            tokio::task::yield_now().await;
        });
        let mut metered = Box::pin(metered(&meter, guest));
        let mut computes_on = Vec::new();
        for _ in 0..3 {
            assert!(poll(&mut metered).is_pending());
            computes_on.push(meter.computes_on());
        }
        assert_eq!(computes_on, [false, true, false]);
    }

    #[test]
    fn no_stretch_without_waiting_is_longer_than_one_budget() {
        let meter = Meter::new(Duration::from_millis(10));
        meter.begin_streaming();
        let inner = meter.clone();
        let mut metered = Box::pin(metered(
            &meter,
            Box::pin(async move {
                burn(6);
                let mut ticks = vec![inner.tick()];
                // As the epoch has it: the guest yields, without waiting for anything.
                tokio::task::yield_now().await;
                burn(6);
                ticks.push(inner.tick());
                ticks
            }),
        ));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let ticks = runtime.block_on(&mut metered);
        assert_eq!(ticks, [Tick::Yields, Tick::Exceeded]);
    }
}
