//! CPU time of one call, by the clock of the thread that runs it.
//!
//! `Instant` would bill a guest for other processes' time. The thread's clock is read where a call's
//! future is entered and left, and once a tick while the guest computes; each read is a system call of
//! about 0.3 µs.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// The account of one call. Written by the thread that polls it, read by whoever reports.
#[derive(Debug)]
pub(super) struct Meter {
    limit_ns: u64,
    used_ns: AtomicU64,
    entered_ns: AtomicU64,
    exceeded: AtomicBool,
}

impl Meter {
    pub(super) fn new(limit: Duration) -> Arc<Self> {
        Arc::new(Self {
            limit_ns: u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX),
            used_ns: AtomicU64::new(0),
            entered_ns: AtomicU64::new(0),
            exceeded: AtomicBool::new(false),
        })
    }

    /// Whether the guest that runs on this very thread has used up its limit. Remembers a yes.
    pub(super) fn is_exceeded_now(&self) -> bool {
        let running_ns = thread_cpu_ns().saturating_sub(self.entered_ns.load(Ordering::Relaxed));
        let used_ns = self.used_ns.load(Ordering::Relaxed).saturating_add(running_ns);
        let exceeded = used_ns > self.limit_ns;
        if exceeded {
            self.exceeded.store(true, Ordering::Relaxed);
        }
        exceeded
    }

    /// Whether the call was stopped for its CPU.
    pub(super) fn exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed)
    }

    /// What the call has used, up to the last time it was left.
    pub(super) fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns.load(Ordering::Relaxed))
    }
}

/// A future whose polls are billed to a meter.
pub(super) struct Metered<F> {
    future: Pin<Box<F>>,
    meter: Arc<Meter>,
}

impl<F> Metered<F> {
    pub(super) fn new(meter: Arc<Meter>, future: F) -> Self {
        Self { future: Box::pin(future), meter }
    }
}

impl<F: Future> Future for Metered<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let entered_ns = thread_cpu_ns();
        self.meter.entered_ns.store(entered_ns, Ordering::Relaxed);
        let poll = self.future.as_mut().poll(context);
        let ran_ns = thread_cpu_ns().saturating_sub(entered_ns);
        self.meter.used_ns.fetch_add(ran_ns, Ordering::Relaxed);
        poll
    }
}

fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_spent_inside_is_billed() {
        let meter = Meter::new(Duration::from_millis(1));
        let burn = |until_ns: u64| while thread_cpu_ns() < until_ns {};
        burn(thread_cpu_ns() + 20_000_000);
        let inner = meter.clone();
        let mut metered = Box::pin(Metered::new(meter.clone(), async move {
            let before = inner.is_exceeded_now();
            burn(thread_cpu_ns() + 2_000_000);
            (before, inner.is_exceeded_now())
        }));
        let mut context = Context::from_waker(std::task::Waker::noop());
        let Poll::Ready(exceeded) = metered.as_mut().poll(&mut context) else { panic!("it never waits") };
        assert_eq!(exceeded, (false, true));
        assert!(meter.used() >= Duration::from_millis(2) && meter.used() < Duration::from_millis(20));
    }
}
