use std::future::{pending, poll_fn};
use std::time::{Duration, Instant};

use super::*;

/// No step of a test takes longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whether this is one of those threads.
fn is_there() -> bool {
    thread::current().name() == Some(NAME)
}

fn meter() -> Arc<Meter> {
    Meter::new(Duration::from_secs(1))
}

/// That of a call whose guest is made to yield each time.
fn of_one_that_computes_on() -> Arc<Meter> {
    let meter = meter();
    meter.set_computes_on();
    meter
}

/// A call that is polled `polls` times, and waits for nothing: where each poll was.
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

/// Tells of its end, and where it ended.
struct Told(std::sync::mpsc::Sender<bool>);

impl Drop for Told {
    fn drop(&mut self) {
        // Nobody may be listening any more.
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
    let compute = Compute::start(Arc::default()).unwrap();
    let stays = compute.run(computes(4), Habit::default(), meter()).await;
    assert_eq!(stays, [false; 4]);
    let meter = meter();
    let inner = meter.clone();
    let call = async move {
        let mut places = computes(2).await;
        inner.set_computes_on();
        tokio::task::yield_now().await;
        assert!(inner.has_moved());
        places.extend(computes(3).await);
        places
    };
    assert!(!meter.has_moved());
    assert_eq!(compute.run(call, Habit::default(), meter).await, [false, false, true, true, true]);
}

#[tokio::test]
async fn a_plugin_whose_calls_compute_on_begins_there_until_enough_of_them_were_short() {
    let (compute, habit) = (Compute::start(Arc::default()).unwrap(), Habit::default());
    assert_eq!(compute.run(computes(2), habit.clone(), of_one_that_computes_on()).await, [false, true]);
    assert_eq!(compute.run(computes(2), habit.clone(), of_one_that_computes_on()).await, [true, true]);
    // Long and short in turns: none begins here.
    for _ in 0..BEGIN_THERE {
        assert_eq!(compute.run(computes(1), habit.clone(), meter()).await, [true]);
        assert_eq!(compute.run(computes(2), habit.clone(), of_one_that_computes_on()).await, [true, true]);
    }
    for _ in 0..BEGIN_THERE {
        assert_eq!(compute.run(computes(1), habit.clone(), meter()).await, [true]);
    }
    for _ in 0..2 {
        assert_eq!(compute.run(computes(2), habit.clone(), meter()).await, [false, false]);
    }
    // Nobody waits for its end, and it counts all the same.
    let mut left = compute.run(pending::<()>(), habit.clone(), of_one_that_computes_on());
    assert!(Pin::new(&mut left).poll(&mut Context::from_waker(std::task::Waker::noop())).is_pending());
    drop(left);
    assert_eq!(compute.run(computes(1), habit, meter()).await, [true]);
}

#[tokio::test]
async fn a_call_that_moved_has_the_timers_and_tasks_of_where_it_comes_from() {
    let compute = Compute::start(Arc::default()).unwrap();
    let home = Handle::current().id();
    let call = async move {
        tokio::task::yield_now().await;
        assert!(is_there());
        tokio::time::sleep(Duration::from_millis(1)).await;
        (Handle::current().id(), tokio::spawn(async { is_there() }).await.unwrap())
    };
    let (inside, was_spawned_there) = compute.run(call, Habit::default(), of_one_that_computes_on()).await;
    assert_eq!(inside, home);
    assert!(!was_spawned_there);
}

/// As the rest of a stream does whose head was set there.
#[tokio::test]
async fn what_goes_on_here_after_a_call_that_moved_has_not_moved() {
    let (compute, meter) = (Compute::start(Arc::default()).unwrap(), of_one_that_computes_on());
    compute.run(computes(2), Habit::default(), meter.clone()).await;
    assert!(meter.has_moved());
    let stays = meter.clone();
    let rest = async move { stays.has_moved() };
    assert!(!compute.run(rest, Habit::default(), meter).await);
}

#[cfg(target_os = "linux")]
#[test]
fn a_thread_that_is_started_from_there_to_block_is_an_ordinary_one() {
    let is_ordinary = |home: &mut Builder| {
        let home = home.enable_time().build().unwrap();
        home.block_on(async {
            let compute = Compute::start(Arc::default()).unwrap();
            let call = async {
                tokio::task::yield_now().await;
                assert!(is_there());
                tokio::task::spawn_blocking(|| kernel::Thread::this().is_ordinary()).await.unwrap()
            };
            let is_ordinary = compute.run(call, Habit::default(), of_one_that_computes_on()).await;
            (is_ordinary, compute.is_in_background())
        })
    };
    let (without, is_in_background) = is_ordinary(&mut Builder::new_multi_thread());
    assert_eq!(without, !is_in_background, "what it is for");
    let (with, _) = is_ordinary(Builder::new_multi_thread().on_thread_start(kernel::stay_ordinary()));
    assert!(with);
}

#[tokio::test]
async fn calls_that_are_there_have_ended_when_the_threads_are_shut_down() {
    let compute = Arc::new(Compute::start(Arc::default()).unwrap());
    let (told, ended) = std::sync::mpsc::channel();
    let call = async move {
        let _told = Told(told);
        pending::<()>().await;
    };
    let mut run = Box::pin(compute.run(call, Habit::default(), of_one_that_computes_on()));
    assert!(tokio::time::timeout(Duration::from_millis(5), run.as_mut()).await.is_err());
    let shut = compute.clone();
    tokio::task::spawn_blocking(move || shut.shut_down()).await.unwrap();
    assert!(ended.try_recv().is_ok());
    // Whoever polls it yet learns nothing, and does no harm.
    for _ in 0..2 {
        assert!(tokio::time::timeout(Duration::from_millis(1), run.as_mut()).await.is_err());
    }
    compute.shut_down();
}

#[tokio::test]
async fn a_call_that_is_dropped_ends_where_it_computes_and_one_that_is_stopped_has_ended() {
    let compute = Compute::start(Arc::default()).unwrap();
    for is_stopped in [false, true] {
        let (told, ended) = std::sync::mpsc::channel();
        let (begun, began) = std::sync::mpsc::channel();
        let call = async move {
            let _told = Told(told);
            loop {
                begun.send(is_there()).unwrap();
                tokio::task::yield_now().await;
            }
        };
        let mut run = Box::pin(compute.run(call, Habit::default(), of_one_that_computes_on()));
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
    let compute = Compute::start(Arc::default()).unwrap();
    let (told, ended) = std::sync::mpsc::channel();
    let told = Told(told);
    let call = async move {
        let _told = told;
        pending::<()>().await;
    };
    let mut run = compute.run(call, Habit::default(), meter());
    run.stop().await;
    assert_eq!(ended.try_recv(), Ok(false));
}

#[tokio::test]
async fn a_panic_there_goes_on_here() {
    let compute = Compute::start(Arc::default()).unwrap();
    let call = async {
        tokio::task::yield_now().await;
        panic!("as it may");
    };
    let run = tokio::spawn(compute.run(call, Habit::default(), of_one_that_computes_on()));
    assert!(run.await.unwrap_err().is_panic());
    assert_eq!(
        compute.run(computes(2), Habit::default(), of_one_that_computes_on()).await,
        [false, true],
        "the thread is there"
    );
}
