use std::future::poll_fn;
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Waker;

use super::super::account::CpuAccount;
use super::super::background::join_this_thread;
use super::super::clock::now_ns;
use super::super::habit::Habit;
use super::super::scheduler::Scheduler;
use super::super::task::Tick;
use super::*;

const MS: u64 = 1_000_000;

fn scheduler(turns: usize) -> Scheduler {
    Scheduler::start(turns, || {}, || ControlFlow::Continue(())).unwrap()
}

fn account(weight: u32) -> CpuAccount {
    CpuAccount::new(NonZeroU32::new(weight).unwrap(), None)
}

/// A call of a tenant of its own, with a budget of `budget_ms` milliseconds.
fn task(budget_ms: u64) -> CpuTask {
    scheduler(1).task(&account(1), &Habit::default(), Duration::from_millis(budget_ms))
}

/// A call that no budget stops.
fn unlimited(scheduler: &Scheduler, account: &CpuAccount) -> CpuTask {
    scheduler.task(account, &Habit::default(), Duration::from_secs(3600))
}

fn burn(for_ms: u64) {
    let until_ns = now_ns().unwrap() + for_ms * MS;
    while now_ns().unwrap() < until_ns {}
}

fn poll<F: Future + ?Sized>(guest: &mut Guest<F>) -> Poll<F::Output> {
    Pin::new(guest).poll(&mut Context::from_waker(Waker::noop()))
}

#[test]
fn only_time_spent_inside_is_billed() {
    let task = task(1);
    burn(20);
    let inner = task.clone();
    let mut guest = task.guest(Box::pin(async move {
        let before = inner.tick();
        burn(2);
        (before, inner.tick())
    }));
    assert_eq!(poll(&mut guest), Poll::Ready((Tick::Continue, Tick::Exceeded)));
    assert!(task.used() >= Duration::from_millis(2) && task.used() < Duration::from_millis(20));
    assert_eq!(task.account().used(), task.used());
}

/// The ends of a call: done, given up before or after its first turn, or by a panic, each with the work that is done
/// for the call then.
#[test]
fn the_end_of_a_call_is_billed_to_it_and_to_its_tenant_however_it_comes() {
    struct Memory;
    impl Drop for Memory {
        fn drop(&mut self) {
            burn(2);
        }
    }
    for (polls, end) in [(1, "done"), (1, "waits"), (1, "panics"), (0, "waits"), (1, "is finished")] {
        let (task, memory) = (task(1), Memory);
        let mut guest = task.guest(Box::pin(async move {
            let held = memory;
            match end {
                "panics" => panic!("as it may"),
                "waits" => std::future::pending().await,
                "is finished" => Some(held),
                _ => None,
            }
        }));
        let before = task.account().used();
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(move || {
            for _ in 0..polls {
                if let Poll::Ready(held) = poll(&mut guest) {
                    guest.finish(|| drop(held));
                }
            }
        }));
        assert_eq!(ended.is_err(), end == "panics");
        assert!(task.used() >= Duration::from_millis(2), "{polls} {end}");
        assert_eq!(task.account().used(), before + task.used(), "{polls} {end}");
        assert!(task.scheduler().queue().take_free(), "its turn is back: {polls} {end}");
    }
}

#[test]
fn a_guest_that_is_done_has_its_turn_until_its_end_is_billed() {
    let task = task(1);
    let mut guest = task.guest(Box::pin(std::future::ready(())));
    assert!(poll(&mut guest).is_ready());
    assert!(!task.scheduler().queue().take_free());
    guest.finish(|| assert!(!task.scheduler().queue().take_free()));
    assert!(task.scheduler().queue().take_free());
}

#[tokio::test]
async fn a_stream_has_a_budget_for_each_second_and_one_that_is_ahead_of_it_waits() {
    let task = task(10);
    let mut guest = task.guest(Box::pin(std::future::pending::<()>()));
    task.spend(5 * MS);
    assert_eq!(guest.pause(), None);
    guest.begin_streaming();
    task.spend(6 * MS);
    assert_eq!(guest.pause(), None, "what was used before the head does not count");
    task.spend(17 * MS);
    let pause = guest.pause().expect("two budgets and a part of the third are used").as_secs_f64();
    assert!((1.9..2.1).contains(&pause), "it waits {pause} s for its third");
}

#[tokio::test]
async fn one_that_was_made_to_yield_computes_on_and_one_that_is_paused_does_not() {
    let task = task(10);
    let inner = task.clone();
    let mut guest = task.guest(Box::pin(async move {
        burn(6);
        // The guest waits for something.
        tokio::task::yield_now().await;
        burn(6);
        assert_eq!(inner.tick(), Tick::Yield);
        tokio::task::yield_now().await;
    }));
    guest.begin_streaming();
    let mut computes_on = Vec::new();
    for _ in 0..3 {
        assert!(poll(&mut guest).is_pending());
        computes_on.push(task.computes_on());
    }
    assert_eq!(computes_on, [false, true, false]);
    assert!(matches!(guest.state, State::Paused(_)));
}

#[tokio::test]
async fn no_stretch_without_waiting_is_longer_than_one_budget() {
    let task = task(10);
    let inner = task.clone();
    let mut guest = task.guest(Box::pin(async move {
        burn(6);
        let mut ticks = vec![inner.tick()];
        // As at a tick: the guest yields, without waiting for anything.
        tokio::task::yield_now().await;
        burn(6);
        ticks.push(inner.tick());
        ticks
    }));
    guest.begin_streaming();
    assert_eq!(guest.await, [Tick::Yield, Tick::Exceeded]);
}

#[tokio::test]
async fn a_stream_waits_while_its_tenants_quota_is_used_up() {
    let scheduler = scheduler(1);
    let tenant = CpuAccount::new(NonZeroU32::MIN, Some(Duration::from_millis(500)));
    let task = unlimited(&scheduler, &tenant);
    task.spend(550 * MS);
    let mut guest = task.guest(Box::pin(std::future::ready(())));
    guest.begin_streaming();
    let began = Instant::now();
    (&mut guest).await;
    assert!(began.elapsed() >= Duration::from_millis(100));
    drop(guest);
    assert!(scheduler.queue().take_free());
}

#[tokio::test]
async fn who_computes_on_waits_for_its_next_turn_at_once_unless_its_quota_is_used_up() {
    for is_paced in [false, true] {
        let scheduler = scheduler(1);
        let tenant = CpuAccount::new(NonZeroU32::MIN, Some(Duration::from_millis(100)));
        let task = unlimited(&scheduler, &tenant);
        let inner = task.clone();
        let mut guest = task.guest(Box::pin(poll_fn(|_| {
            inner.spend(150 * MS);
            inner.make_yield();
            Poll::<()>::Pending
        })));
        if is_paced {
            guest.begin_streaming();
        }
        // The call is not short, so that it has no extra turn.
        task.spend(2 * MS);
        let queue = scheduler.queue();
        assert!(queue.take_free());
        assert!(poll(&mut guest).is_pending());
        let other = unlimited(&scheduler, &account(1));
        let _behind_it = [(); 2].map(|()| {
            let (moved, context) =
                (TurnRequest { used_ns: 0, has_moved: true }, Context::from_waker(Waker::noop()));
            let waiter = queue.take_or_wait(other.account(), moved, &context).unwrap_err();
            other.spend(MS);
            waiter
        });
        queue.give_back(&account(1), CpuTurn::Usual);
        assert!(poll(&mut guest).is_pending());
        assert!(task.used_ns() >= 152 * MS, "it has had its turn");
        // One of the other tenant's calls has the turn now.
        assert_eq!(queue.waiting(), 1 + u64::from(!is_paced));
    }
}

/// A call that computes for ever, `slice_ns` in each of its turns.
async fn greedy(task: CpuTask, slice_ns: u64) {
    let inner = task.clone();
    let guest = poll_fn::<(), _>(move |context| {
        inner.spend(slice_ns);
        // As at a tick: the guest goes on as soon as it is polled again.
        inner.make_yield();
        context.waker().wake_by_ref();
        Poll::Pending
    });
    task.guest(Box::pin(guest)).await;
}

/// The CPU that each of these tenants has used in the end, in milliseconds. A tenant is its weight, the number of its
/// calls at once, and the length of one of their turns. Calls that have not moved all wait before the first has its
/// turn; calls that have moved are polled one after the other.
fn used_by(at_once: usize, has_moved: bool, tenants: &[(u32, usize, u64)]) -> Vec<u64> {
    if has_moved {
        // From now on this thread counts as one of the background's.
        join_this_thread();
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let scheduler = scheduler(at_once);
        let accounts: Vec<_> = tenants.iter().map(|(weight, ..)| account(*weight)).collect();
        let mut calls = tokio::task::JoinSet::new();
        let taken = if has_moved { 0 } else { at_once };
        for _ in 0..taken {
            assert!(scheduler.queue().take_free());
        }
        let local = tokio::task::LocalSet::new();
        for ((_, count, slice_ns), account) in tenants.iter().zip(&accounts) {
            for _ in 0..*count {
                let task = unlimited(&scheduler, account);
                // The call is not short, so that it has no extra turn.
                task.spend(MS);
                calls.spawn_local_on(greedy(task, *slice_ns), &local);
            }
        }
        local
            .run_until(async {
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                for _ in 0..taken {
                    scheduler.queue().give_back(&account(1), CpuTurn::Usual);
                }
                let all = || accounts.iter().map(CpuAccount::used).sum::<Duration>();
                while all() < Duration::from_secs(20) {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        accounts.iter().map(|account| u64::try_from(account.used().as_millis()).unwrap()).collect()
    })
}

fn assert_near(actual: u64, expected: f64) {
    let ratio = f64::from(u32::try_from(actual).unwrap()) / expected;
    assert!((0.97..1.03).contains(&ratio), "{actual} ms, not {expected} ms");
}

#[test]
fn tenants_share_the_cpu_equally_however_many_calls_they_have() {
    for has_moved in [false, true] {
        let used = used_by(2, has_moved, &[(1, 64, MS), (1, 4, MS)]);
        assert_near(used[0], 10_000.0);
        assert_near(used[1], 10_000.0);
    }
}

#[test]
fn weights_are_kept_by_tenants_with_one_call_each() {
    let used = used_by(1, false, &[(1, 1, MS), (3, 1, MS)]);
    assert_near(used[0], 5_000.0);
    assert_near(used[1], 15_000.0);
}

#[test]
fn weights_are_kept_even_if_turns_are_not_equally_long() {
    let used = used_by(2, false, &[(1, 8, 3 * MS), (3, 8, MS), (6, 8, 2 * MS)]);
    assert_near(used[0], 2_000.0);
    assert_near(used[1], 6_000.0);
    assert_near(used[2], 12_000.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 10)]
async fn never_more_than_so_many_at_once_and_no_turn_is_lost() {
    static AT_ONCE: AtomicUsize = AtomicUsize::new(0);
    let scheduler = scheduler(3);
    let accounts = [account(1), account(2), account(5)];
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..3000_usize {
        let task = unlimited(&scheduler, &accounts[number % 3]);
        calls.spawn(async move {
            let mut polls = 0;
            let inner = task.clone();
            let guest = task.guest(Box::pin(poll_fn(move |context| {
                // Three usual turns, and five extra ones.
                assert!(AT_ONCE.fetch_add(1, Ordering::SeqCst) < 8);
                std::hint::spin_loop();
                AT_ONCE.fetch_sub(1, Ordering::SeqCst);
                polls += 1;
                inner.make_yield();
                context.waker().wake_by_ref();
                if polls > 5 { Poll::Ready(()) } else { Poll::Pending }
            })));
            // Every fifth call leaves before it is done, in any of its states.
            if number % 5 == 0 {
                let _ = tokio::time::timeout(Duration::from_micros(50), guest).await;
            } else {
                guest.await;
            }
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    let queue = scheduler.queue();
    assert_eq!(queue.waiting(), 0);
    for _ in 0..3 {
        assert!(queue.take_free());
    }
    assert!(!queue.take_free());
}

/// A guest's deadline is polled even while the guest has no turn.
#[tokio::test]
async fn out_of_turn_a_guest_computes_nothing_and_its_deadline_holds() {
    let scheduler = scheduler(1);
    assert!(scheduler.queue().take_free());
    let task = unlimited(&scheduler, &account(1));
    // The call is not short, so that it has no extra turn.
    task.spend(MS);
    let guest = task.guest(Box::pin(async { unreachable!("it has no turn") }));
    let mut call = Box::pin(tokio::time::timeout(Duration::from_millis(5), guest));
    assert!(call.as_mut().await.is_err());
    assert_eq!(scheduler.queue().waiting(), 1);
    drop(call);
    assert_eq!(scheduler.queue().waiting(), 0, "it has left");
}
