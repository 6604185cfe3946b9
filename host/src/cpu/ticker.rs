//! The thread that ticks, and its rest while no guest runs.
//!
//! The ticker has a thread of its own, for a busy runtime would starve a task. It looks after the threads that guests
//! compute on as well (`background/`). While no guest runs there is nothing to tick for: the ticker sleeps until one
//! does.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle, Thread};
use std::time::{Duration, Instant};

/// The time between two looks at a guest that computes. At each look its CPU is read, and it gives way to others if
/// it has had a turn.
const TICK: Duration = Duration::from_millis(1);

/// The time between two looks while any thread of `background/` has work, for then others wait for their turns.
const FINE_TICK: Duration = Duration::from_micros(250);

/// The number of ticks without a guest after which the ticker rests. A call that comes soon after another need not
/// wake the ticker: that is a system call of some microseconds.
const QUIET_TICKS: u32 = 50;

/// The time between two looks of a resting ticker while calls have moved to `background/`. Their guests wait for
/// something, but a guest whose wait is over may be kept from running.
const LOOK: Duration = Duration::from_millis(30);

/// The guests that run, for which the ticker ticks.
///
/// A guest that begins to run says so in `running`, and then looks at `is_resting`. The ticker that is about to rest
/// says so in `is_resting`, and then looks at `running`. All four steps are sequentially consistent, so they happen
/// in one order that both agree on. Either the guest's first step comes before the ticker's second, which finds the
/// guest, and the ticker does not rest; or the ticker's steps both come before the guest's second, which finds that
/// the ticker rests and wakes it. The wake-up is a token (`Thread::unpark`): if it comes before the ticker has gone
/// to sleep, the ticker does not sleep. So no guest runs without ticks for longer than a thread takes to wake. This
/// costs a poll of a guest two atomic additions and a load, 18 ns.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// The guests that are polled at this moment.
    running: AtomicUsize,
    /// The calls that have moved to `background/`, and are not over.
    moved: AtomicUsize,
    is_resting: AtomicBool,
    ticker: OnceLock<Thread>,
}

/// A guard that counts a guest as running until it is dropped.
pub(super) struct RunGuard<'a>(&'a Activity);

/// A guard that counts a call as moved to `background/` until it is dropped.
pub(super) struct MovedCall(Arc<Activity>);

impl Activity {
    /// Notes that a guest begins to run, and wakes the ticker if it rests.
    pub(super) fn run(&self) -> RunGuard<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        self.wake();
        RunGuard(self)
    }

    /// Notes that a call moves, and wakes the ticker if it rests.
    pub(super) fn move_call(self: &Arc<Self>) -> MovedCall {
        self.moved.fetch_add(1, Ordering::SeqCst);
        self.wake();
        MovedCall(self.clone())
    }

    fn wake(&self) {
        // Read first: most guests find that the ticker ticks, and write nothing that other processors read.
        if self.is_resting.load(Ordering::SeqCst)
            && self.is_resting.swap(false, Ordering::SeqCst)
            && let Some(ticker) = self.ticker.get()
        {
            ticker.unpark();
        }
    }

    fn is_running(&self) -> bool {
        self.running.load(Ordering::SeqCst) > 0
    }

    /// Sleeps until a guest runs, or a moved call is to be looked after. True if a guest or a call woke the ticker.
    /// For the ticker's thread alone.
    fn rest(&self) -> bool {
        self.is_resting.store(true, Ordering::SeqCst);
        if !self.is_running() {
            match self.moved.load(Ordering::SeqCst) {
                0 => thread::park(),
                _ => thread::park_timeout(LOOK),
            }
        }
        !self.is_resting.swap(false, Ordering::SeqCst)
    }
}

impl Drop for RunGuard<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for MovedCall {
    fn drop(&mut self) {
        self.0.moved.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The ticker's thread. It ends when this is dropped.
pub(super) struct Ticker {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Ticker {
    /// Calls `tick` while a guest of `activity` runs, until `tick` breaks. `look` is called before each sleep. It
    /// returns true if guests want to run that are not counted as running; then ticks are finer.
    pub(super) fn start(
        activity: Arc<Activity>,
        mut look: impl FnMut(Instant) -> bool + Send + 'static,
        mut tick: impl FnMut() -> ControlFlow<()> + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = thread::Builder::new().name("epoch".into()).spawn(move || {
            // An activity has one ticker.
            let _ = activity.ticker.set(thread::current());
            let mut quiet = 0_u32;
            while !stopped.load(Ordering::SeqCst) {
                let has_work = look(Instant::now());
                quiet = if has_work || activity.is_running() { 0 } else { quiet.saturating_add(1) };
                if quiet > QUIET_TICKS {
                    if activity.rest() {
                        quiet = 0;
                    }
                    continue;
                }
                thread::sleep(if has_work { FINE_TICK } else { TICK });
                if tick().is_break() {
                    return;
                }
            }
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A thread that panicked has stopped as well.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// A ticker that counts its ticks.
    struct Counted {
        activity: Arc<Activity>,
        ticks: Arc<AtomicU64>,
        _ticker: Ticker,
    }

    impl Counted {
        fn start() -> Self {
            let (activity, ticks) = (Arc::<Activity>::default(), Arc::<AtomicU64>::default());
            let counted = ticks.clone();
            let tick = move || {
                counted.fetch_add(1, Ordering::SeqCst);
                ControlFlow::Continue(())
            };
            let ticker = Ticker::start(activity.clone(), |_| false, tick).unwrap();
            Self { activity, ticks, _ticker: ticker }
        }

        fn ticks(&self) -> u64 {
            self.ticks.load(Ordering::SeqCst)
        }
    }

    fn until(what: &str, mut is_so: impl FnMut() -> bool) {
        let began = Instant::now();
        while !is_so() {
            assert!(began.elapsed() < PATIENCE, "{what}");
            std::hint::spin_loop();
        }
    }

    #[test]
    fn it_rests_while_no_guest_runs_and_ticks_as_soon_as_one_does() {
        let counted = Counted::start();
        for _ in 0..3 {
            until("it rests", || counted.activity.is_resting.load(Ordering::SeqCst));
            let before = counted.ticks();
            thread::sleep(Duration::from_millis(20));
            assert_eq!(counted.ticks(), before, "it ticks for nobody");
            let _running = counted.activity.run();
            until("it ticks", || counted.ticks() > before + 3);
        }
    }

    /// Guests come at every moment about the one at which the ticker goes to rest.
    #[test]
    fn no_guest_is_missed_that_comes_while_the_ticker_goes_to_rest() {
        let counted = Counted::start();
        thread::scope(|threads| {
            for offset in 0..2_u32 {
                let counted = &counted;
                threads.spawn(move || {
                    for round in 0..30_u32 {
                        let quiet = TICK * (QUIET_TICKS - 2) + Duration::from_micros(50) * (round + offset);
                        let began = Instant::now();
                        until("time passes", || began.elapsed() > quiet);
                        let before = counted.ticks();
                        let _running = counted.activity.run();
                        until("a guest that runs sees a tick", || counted.ticks() > before);
                    }
                });
            }
        });
    }

    #[test]
    fn calls_that_have_moved_are_looked_after_while_it_rests() {
        let (activity, looks) = (Arc::<Activity>::default(), Arc::<AtomicU64>::default());
        let counted = looks.clone();
        let look = move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            false
        };
        let _ticker = Ticker::start(activity.clone(), look, || ControlFlow::Continue(())).unwrap();
        until("it rests", || activity.is_resting.load(Ordering::SeqCst));
        let moved = activity.move_call();
        until("it rests again", || activity.is_resting.load(Ordering::SeqCst));
        let before = looks.load(Ordering::SeqCst);
        until("it looks", || looks.load(Ordering::SeqCst) > before + 2);
        drop(moved);
    }

    /// A step of the guest or of the ticker. Each takes its own in this order.
    #[derive(Clone, Copy)]
    enum Step {
        GuestSaysThatItRuns,
        GuestWakesWhoRests,
        TickerSaysThatItRests,
        TickerLooksForGuests,
    }

    #[test]
    fn in_no_order_of_their_steps_does_a_guest_run_while_the_ticker_sleeps() {
        let guest = [Step::GuestSaysThatItRuns, Step::GuestWakesWhoRests];
        let ticker = [Step::TickerSaysThatItRests, Step::TickerLooksForGuests];
        let mut sleeps = 0;
        for places in (0_u32..16).filter(|places| places.count_ones() == 2) {
            let (mut guest, mut ticker) = (guest.into_iter(), ticker.into_iter());
            let (mut runs, mut rests, mut has_token, mut sleeps_then) = (false, false, false, false);
            for place in 0..4 {
                let next = if places & (1 << place) == 0 { guest.next() } else { ticker.next() };
                match next.unwrap() {
                    Step::GuestSaysThatItRuns => runs = true,
                    Step::GuestWakesWhoRests => has_token = std::mem::take(&mut rests),
                    Step::TickerSaysThatItRests => rests = true,
                    Step::TickerLooksForGuests => sleeps_then = !runs,
                }
            }
            sleeps += u32::from(sleeps_then);
            assert!(!sleeps_then || has_token, "in the order {places:04b}");
        }
        assert_eq!(sleeps, 1, "with a token, which wakes it");
    }
}
