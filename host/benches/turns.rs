//! `cargo bench --bench turns`: what a turn on the CPU costs a guest that does not have to wait for it.
//!
//! A guest that computes nothing, polled bare and in turns, in many short rounds. The thread's clock is read twice on
//! either side, so the difference is the scheduler's: the turn, the bill, and what the ticker is told.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use jackfield::cpu::{CpuAccount, Habit, Scheduler};
use rustix::time::{ClockId, clock_gettime};

const ROUNDS: usize = 901;
const POLLS: u32 = 10_000;

fn main() {
    let scheduler = Scheduler::start(2, || {}, || ControlFlow::Continue(())).expect("a scheduler");
    let account = CpuAccount::new(NonZeroU32::MIN, None);
    let guest = || Box::pin(std::future::poll_fn(|_| black_box(Poll::<()>::Pending)));
    let mut bare = guest();
    let mut in_turns = scheduler.task(&account, &Habit::default(), Duration::MAX).guest(guest());
    let mut context = Context::from_waker(Waker::noop());
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let began = cpu_time();
        for _ in 0..POLLS {
            black_box(clock_gettime(ClockId::ThreadCPUTime));
            let _ = black_box(bare.as_mut().poll(&mut context));
            black_box(clock_gettime(ClockId::ThreadCPUTime));
        }
        let bare = cpu_time() - began;
        let began = cpu_time();
        for _ in 0..POLLS {
            let _ = black_box(Pin::new(&mut in_turns).poll(&mut context));
        }
        rounds.push((cpu_time() - began - bare) * 1e9 / f64::from(POLLS));
    }
    rounds.sort_by(f64::total_cmp);
    println!(
        "a turn that is free costs {:.0} ns ({:.0} to {:.0})",
        rounds[ROUNDS / 2],
        rounds[ROUNDS / 10],
        rounds[ROUNDS - ROUNDS / 10]
    );
}

/// CPU time of this thread, in seconds: others that run meanwhile are not in it.
fn cpu_time() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)).as_secs_f64()
}
