use std::future::{pending, poll_fn};
use std::num::NonZeroU32;
use std::ops::ControlFlow;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::super::account::CpuAccount;
use super::super::background::NAME;
use super::super::habit::{BEGIN_THERE, Habit};
use super::super::scheduler::Scheduler;
use super::*;

/// The longest time of any step of a test.
const PATIENCE: Duration = Duration::from_secs(20);

/// True on a thread of the background.
fn is_there() -> bool {
    thread::current().name() == Some(NAME)
}

fn scheduler() -> Scheduler {
    Scheduler::start(2, || {}, || ControlFlow::Continue(())).unwrap()
}

fn task(scheduler: &Scheduler, habit: &Habit) -> CpuTask {
    scheduler.task(&CpuAccount::new(NonZeroU32::MIN, None), habit, Duration::from_secs(1))
}

/// The task of a call whose guest is made to yield each time.
fn of_one_that_computes_on(scheduler: &Scheduler, habit: &Habit) -> CpuTask {
    let task = task(scheduler, habit);
    task.make_yield();
    task
}

/// Runs a call that holds nothing.
async fn run<F>(task: CpuTask, call: F) -> F::Output
where
    F: Future<Output: Send> + Send + 'static,
{
    task.run(call, ()).await.0
}

/// A call that is polled `polls` times and waits for nothing. It returns for each poll if it was in the background.
async fn computes(polls: usize) -> Vec<bool> {
    let mut places = Vec::new();
    poll_fn(|context| {
        places.push(is_there());
        if places.len() == polls {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
    places
}

/// A guard that tells of its call's end: true if the call ended in the background.
struct Told(mpsc::Sender<bool>);

impl Drop for Told {
    fn drop(&mut self) {
        // The receiver may be gone.
        let _ = self.0.send(is_there());
    }
}

async fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_call_stays_where_it_is_unless_its_guest_computes_on_and_then_moves_for_good() {
    let (scheduler, habit) = (scheduler(), Habit::default());
    assert_eq!(run(task(&scheduler, &habit), computes(4)).await, [false; 4]);
    let task = task(&scheduler, &habit);
    let inner = task.clone();
    let call = async move {
        let mut places = computes(2).await;
        inner.make_yield();
        tokio::task::yield_now().await;
        assert!(inner.is_in_background());
        places.extend(computes(3).await);
        places
    };
    assert!(!task.is_in_background());
    assert_eq!(run(task, call).await, [false, false, true, true, true]);
}

#[tokio::test]
async fn a_plugin_whose_calls_compute_on_begins_there_until_enough_of_them_were_short() {
    let (scheduler, habit) = (scheduler(), Habit::default());
    let long = || run(of_one_that_computes_on(&scheduler, &habit), computes(2));
    let short = || run(task(&scheduler, &habit), computes(1));
    assert_eq!(long().await, [false, true]);
    assert_eq!(long().await, [true, true]);
    // Long calls and short ones alternate: none begins on this thread.
    for _ in 0..BEGIN_THERE {
        assert_eq!(short().await, [true]);
        assert_eq!(long().await, [true, true]);
    }
    for _ in 0..BEGIN_THERE {
        assert_eq!(short().await, [true]);
    }
    for _ in 0..2 {
        assert_eq!(run(task(&scheduler, &habit), computes(2)).await, [false, false]);
    }
    // Nobody waits for the call's end, and the call counts all the same.
    let mut left = of_one_that_computes_on(&scheduler, &habit).run(pending::<()>(), ());
    assert!(Pin::new(&mut left).poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    drop(left);
    assert_eq!(short().await, [true]);
}

#[tokio::test]
async fn a_call_that_moved_has_the_timers_and_tasks_of_where_it_comes_from() {
    let scheduler = scheduler();
    let home = Handle::current().id();
    let call = async move {
        tokio::task::yield_now().await;
        assert!(is_there());
        tokio::time::sleep(Duration::from_millis(1)).await;
        (Handle::current().id(), tokio::spawn(async { is_there() }).await.unwrap())
    };
    let task = of_one_that_computes_on(&scheduler, &Habit::default());
    let (inside, was_spawned_there) = run(task, call).await;
    assert_eq!(inside, home);
    assert!(!was_spawned_there);
}

/// The rest of a stream goes on so after its head was set in the background.
#[tokio::test]
async fn what_goes_on_here_after_a_call_that_moved_has_not_moved() {
    let scheduler = scheduler();
    let task = of_one_that_computes_on(&scheduler, &Habit::default());
    assert_eq!(run(task.clone(), computes(2)).await, [false, true]);
    let stays = task.clone();
    task.begin_poll();
    while task.habit().begins_in_background() {
        task.habit().was_short();
    }
    assert!(!run(task, async move { stays.is_in_background() }).await);
}

#[tokio::test]
async fn what_a_call_holds_goes_after_the_call_however_it_ends() {
    struct Tells(mpsc::Sender<&'static str>, &'static str);
    impl Drop for Tells {
        fn drop(&mut self) {
            self.0.send(self.1).unwrap();
        }
    }
    let (scheduler, habit) = (scheduler(), Habit::default());
    for moves in [false, true] {
        for is_dropped in [false, true] {
            let (told, order) = mpsc::channel();
            let guest = Tells(told.clone(), "guest");
            let call = async move {
                let _guest = guest;
                tokio::task::yield_now().await;
                if is_dropped {
                    pending::<()>().await;
                }
            };
            let task = if moves {
                of_one_that_computes_on(&scheduler, &habit)
            } else {
                task(&scheduler, &Habit::default())
            };
            let mut run = Box::pin(task.run(call, Tells(told, "permits")));
            if is_dropped {
                assert!(tokio::time::timeout(Duration::from_millis(5), run.as_mut()).await.is_err());
                drop(run);
            } else {
                drop(run.await);
            }
            let told = [(); 2].map(|()| order.recv_timeout(PATIENCE).unwrap());
            assert_eq!(told, ["guest", "permits"], "moves: {moves}, dropped: {is_dropped}");
        }
    }
}

#[tokio::test]
async fn calls_that_are_there_have_ended_when_the_threads_are_shut_down() {
    let scheduler = scheduler();
    let (told, ended) = mpsc::channel();
    let call = async move {
        let _told = Told(told);
        pending::<()>().await;
    };
    let mut run = Box::pin(of_one_that_computes_on(&scheduler, &Habit::default()).run(call, ()));
    assert!(tokio::time::timeout(Duration::from_millis(5), run.as_mut()).await.is_err());
    let shut = scheduler.clone();
    tokio::task::spawn_blocking(move || shut.shut_down()).await.unwrap();
    assert!(ended.try_recv().is_ok());
    // A poll after the end has no result, and does no harm.
    for _ in 0..2 {
        assert!(tokio::time::timeout(Duration::from_millis(1), run.as_mut()).await.is_err());
    }
    scheduler.shut_down();
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_where_it_computes_and_one_that_is_stopped_has_ended() {
    let scheduler = scheduler();
    for is_stopped in [false, true] {
        let (told, ended) = mpsc::channel();
        let (begun, began) = mpsc::channel();
        let call = async move {
            let _told = Told(told);
            loop {
                begun.send(is_there()).unwrap();
                tokio::task::yield_now().await;
            }
        };
        let mut run = Box::pin(of_one_that_computes_on(&scheduler, &Habit::default()).run(call, ()));
        assert!(tokio::time::timeout(Duration::from_millis(5), run.as_mut()).await.is_err());
        until("it has moved", || began.try_recv() == Ok(true)).await;
        if is_stopped {
            run.stop().await;
            assert_eq!(ended.try_recv(), Ok(true), "it has ended by now");
        } else {
            drop(run);
            assert_eq!(ended.recv_timeout(PATIENCE), Ok(true));
        }
    }
}

#[tokio::test]
async fn a_call_that_did_not_move_is_gone_when_it_is_stopped() {
    let scheduler = scheduler();
    let (told, ended) = mpsc::channel();
    let told = Told(told);
    let call = async move {
        let _told = told;
        pending::<()>().await;
    };
    let mut run = task(&scheduler, &Habit::default()).run(call, ());
    run.stop().await;
    assert_eq!(ended.try_recv(), Ok(false));
}

#[tokio::test]
async fn a_panic_there_goes_on_here() {
    let scheduler = scheduler();
    let call = async {
        tokio::task::yield_now().await;
        panic!("as it may");
    };
    let panics = tokio::spawn(of_one_that_computes_on(&scheduler, &Habit::default()).run(call, ()));
    assert!(panics.await.unwrap_err().is_panic());
    let again = run(of_one_that_computes_on(&scheduler, &Habit::default()), computes(2)).await;
    assert_eq!(again, [false, true], "the thread is there");
}
