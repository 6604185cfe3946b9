use std::num::NonZeroU32;
use std::sync::atomic::AtomicUsize;

use super::*;

const MS: u64 = 1_000_000;

/// A call that is not short.
const LONG: Reading = Reading { used_ns: 2 * MS, uncharged_ns: 0, computes_on: false, has_moved: false };

fn share(weight: u32) -> Share {
    Share::new(NonZeroU32::new(weight).unwrap(), None)
}

fn wait(turns: &Turns, share: &Share) -> Arc<Waiter> {
    let moved = Reading { has_moved: true, ..LONG };
    match turns.take_or_wait(share, moved, &Context::from_waker(Waker::noop())) {
        Taken::Waits(waiter) => waiter,
        taken => panic!("{taken:?}"),
    }
}

/// A call that computes for ever, `slice_ns` in each of its turns.
async fn greedy(turns: Turns, share: Share, slice_ns: u64, has_moved: bool) {
    let (used_ns, charged_ns) = (AtomicU64::new(0), AtomicU64::new(0));
    let has_turn = std::cell::Cell::new(false);
    let meter = |turn| {
        has_turn.set(turn);
        let used_ns = used_ns.load(Ordering::Relaxed);
        let uncharged_ns = used_ns - charged_ns.swap(used_ns, Ordering::Relaxed);
        Reading { used_ns, uncharged_ns, computes_on: true, has_moved }
    };
    let guest = poll_fn::<(), _>(|context| {
        if has_turn.get() {
            used_ns.fetch_add(slice_ns, Ordering::Relaxed);
            // As at the epoch's tick: it goes on as soon as it is polled again.
            context.waker().wake_by_ref();
        }
        Poll::Pending
    });
    turns.run(&share, meter, guest).await;
}

/// What each of these tenants has used in the end, in milliseconds: their weight, how many calls they have at
/// once, and how long one of their turns is. Those that have not moved all wait before the first has its turn; those that
/// have are polled one after the other.
fn used_by(at_once: usize, has_moved: bool, tenants: &[(u32, usize, u64)]) -> Vec<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let turns = Turns::new(at_once);
        let shares: Vec<_> = tenants.iter().map(|(weight, ..)| share(*weight)).collect();
        let mut calls = tokio::task::JoinSet::new();
        let taken = if has_moved { 0 } else { at_once };
        for _ in 0..taken {
            assert!(turns.take_free());
        }
        let local = tokio::task::LocalSet::new();
        for ((_, count, slice_ns), share) in tenants.iter().zip(&shares) {
            for _ in 0..*count {
                calls.spawn_local_on(greedy(turns.clone(), share.clone(), *slice_ns, has_moved), &local);
            }
        }
        local
            .run_until(async {
                for _ in 0..100 {
                    tokio::task::yield_now().await;
                }
                for _ in 0..taken {
                    turns.give_back(&share(1));
                }
                let all = || shares.iter().map(Share::used).sum::<Duration>();
                while all() < Duration::from_secs(20) {
                    tokio::task::yield_now().await;
                }
            })
            .await;
        shares.iter().map(|share| u64::try_from(share.used().as_millis()).unwrap()).collect()
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

proptest::proptest! {
    #[test]
    fn what_a_tenant_uses_counts_by_its_weight_in_however_small_pieces(
        weight in 1_u32..2000,
        pieces in proptest::collection::vec(0_u64..3000, 1..200),
    ) {
        let (turns, share) = (Turns::new(1), share(weight));
        let mut queue = turns.queue();
        // What was used before is of an earlier spell.
        queue.settle(&share);
        let before = share.account().virtual_time;
        for piece in &pieces {
            share.charge(*piece);
            queue.settle(&share);
        }
        let counted = share.account().virtual_time - before;
        proptest::prop_assert_eq!(counted, pieces.iter().sum::<u64>() / u64::from(weight));
    }
}

#[test]
fn who_has_had_more_than_whoever_is_served_waits_and_who_has_had_no_more_does_not() {
    for weight in [1, 3, 1000] {
        let turns = Turns::new(1);
        let (busy, quiet) = (share(weight), share(weight));
        let context = Context::from_waker(Waker::noop());
        // They wait, and so the CPU is short.
        assert!(turns.take_free());
        let _busy: Vec<_> = (0..2).map(|_| wait(&turns, &busy)).collect();
        turns.queue().clock = MS;
        // Being new, it is where the others are.
        assert!(matches!(turns.take_or_wait(&quiet, LONG, &context), Taken::Extra), "{weight}");
        turns.give_back_extra(&quiet);
        quiet.charge(u64::from(weight));
        assert!(matches!(turns.take_or_wait(&quiet, LONG, &context), Taken::Waits(_)), "{weight}");
    }
}

#[test]
fn one_that_has_moved_has_no_extra_turn() {
    let turns = Turns::new(1);
    let (busy, quiet) = (share(1), share(1));
    let context = Context::from_waker(Waker::noop());
    assert!(turns.take_free());
    let _busy = wait(&turns, &busy);
    let moved = |used_ns| Reading { used_ns, uncharged_ns: 0, computes_on: false, has_moved: true };
    assert!(matches!(turns.take_or_wait(&quiet, moved(0), &context), Taken::Waits(_)));
    assert!(matches!(turns.take_or_wait(&share(1), moved(0), &context), Taken::Waits(_)));
    assert!(matches!(turns.take_or_wait(&share(1), LONG, &context), Taken::Extra));
}

#[test]
fn whoever_was_idle_goes_next_and_has_saved_up_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    let turns = Turns::new(1);
    let (busy, quiet) = (share(1), share(1));
    let context = Context::from_waker(Waker::noop());
    assert!(turns.take_free());
    let mut waiting: Vec<_> = (0..8).map(|_| wait(&turns, &busy)).collect();
    // The busy one has its turns for a while.
    for _ in 0..4 {
        busy.charge(MS);
        turns.give_back(&busy);
        assert!(waiting.remove(0).is_granted(&context));
        waiting.push(wait(&turns, &busy));
    }
    let asked: Vec<_> = (0..3).map(|_| wait(&turns, &quiet)).collect();
    busy.charge(MS);
    turns.give_back(&busy);
    assert!(asked[0].is_granted(&context), "it goes before all that waited longer");
    quiet.charge(3 * MS);
    turns.give_back(&quiet);
    assert!(!asked[1].is_granted(&context), "but what it uses counts from then on");
    assert!(waiting[0].is_granted(&context));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 10)]
async fn never_more_than_so_many_at_once_and_no_turn_is_lost() {
    static AT_ONCE: AtomicUsize = AtomicUsize::new(0);
    let turns = Turns::new(3);
    let shares = [share(1), share(2), share(5)];
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..3000_usize {
        let (turns, share) = (turns.clone(), shares[number % 3].clone());
        calls.spawn(async move {
            let has_turn = std::sync::atomic::AtomicBool::new(false);
            let mut polls = 0;
            let guest = poll_fn(|context| {
                if !has_turn.load(Ordering::Relaxed) {
                    return Poll::Pending;
                }
                // Three usual turns, and five extra ones.
                assert!(AT_ONCE.fetch_add(1, Ordering::SeqCst) < 8);
                std::hint::spin_loop();
                AT_ONCE.fetch_sub(1, Ordering::SeqCst);
                polls += 1;
                context.waker().wake_by_ref();
                if polls > 5 { Poll::Ready(()) } else { Poll::Pending }
            });
            let meter = |turn| {
                has_turn.store(turn, Ordering::Relaxed);
                Reading { computes_on: true, ..Reading::default() }
            };
            let run = turns.run(&share, meter, guest);
            // Every fifth leaves before it is done, wherever it stands.
            if number % 5 == 0 {
                let _ = tokio::time::timeout(Duration::from_micros(50), run).await;
            } else {
                run.await;
            }
        });
    }
    while let Some(call) = calls.join_next().await {
        call.unwrap();
    }
    assert_eq!(turns.waiting(), 0);
    for _ in 0..3 {
        assert!(turns.take_free());
    }
    assert!(!turns.take_free());
}

#[tokio::test]
async fn a_guest_that_panics_gives_its_turn_back() {
    let turns = Turns::new(1);
    let run = {
        let turns = turns.clone();
        tokio::spawn(async move {
            turns.run(&share(1), |_| Reading::default(), async { panic!("as it may") }).await
        })
    };
    assert!(run.await.unwrap_err().is_panic());
    assert!(turns.take_free());
}

#[tokio::test]
async fn a_stream_waits_while_its_tenants_quota_is_used_up() {
    let share = Share::new(NonZeroU32::MIN, Some(Duration::from_millis(500)));
    share.charge(550 * MS);
    let turns = Turns::new(1);
    let has_turn = std::cell::Cell::new(false);
    let meter = |turn| {
        has_turn.set(turn);
        Reading::default()
    };
    let began = Instant::now();
    turns
        .run_paced(&share, meter, poll_fn(|_| if has_turn.get() { Poll::Ready(()) } else { Poll::Pending }))
        .await;
    assert!(began.elapsed() >= Duration::from_millis(100));
    assert!(turns.take_free());
}

#[tokio::test]
async fn who_computes_on_waits_for_its_next_turn_at_once_unless_its_quota_is_used_up() {
    for is_paced in [false, true] {
        let (turns, other) = (Turns::new(1), share(1));
        let stream = Share::new(NonZeroU32::MIN, Some(Duration::from_millis(100)));
        let (used_ns, has_turn) = (std::cell::Cell::new(LONG.used_ns), std::cell::Cell::new(false));
        let charged_ns = std::cell::Cell::new(LONG.used_ns);
        let meter = |turn| {
            has_turn.set(turn);
            let uncharged_ns = used_ns.get() - charged_ns.replace(used_ns.get());
            Reading { used_ns: used_ns.get(), uncharged_ns, computes_on: true, has_moved: false }
        };
        let guest = poll_fn::<(), _>(|_| {
            used_ns.set(used_ns.get() + u64::from(has_turn.get()) * 150 * MS);
            Poll::Pending
        });
        let mut guest = pin!(guest);
        let mut call = Guest::new(&turns, &stream, is_paced, meter);
        let mut context = Context::from_waker(Waker::noop());
        assert!(turns.take_free());
        assert!(call.turn(&context).is_none());
        let _other = wait(&turns, &other);
        other.charge(MS);
        turns.queue().settle(&other);
        turns.give_back(&share(1));
        assert!(call.poll(&mut context, guest.as_mut()).is_pending());
        assert_eq!(used_ns.get(), LONG.used_ns + 150 * MS, "it has had its turn");
        // The other has the turn now.
        assert_eq!(turns.waiting(), u64::from(!is_paced));
    }
}

#[test]
fn whoever_asks_for_far_less_than_the_others_have_does_not_wait_at_all() {
    let turns = Turns::new(1);
    let (busy, quiet) = (share(1), share(1));
    let context = Context::from_waker(Waker::noop());
    assert!(turns.take_free());
    let mut waiting: VecDeque<_> = (0..8).map(|_| wait(&turns, &busy)).collect();
    // From now on it is known; being new it has saved up nothing.
    let asked = wait(&turns, &quiet);
    let mut busy_for = |ms: u64| {
        for _ in 0..ms {
            busy.charge(MS);
            turns.give_back(&busy);
            if waiting.front().is_some_and(|waiter| waiter.is_granted(&context)) {
                waiting.pop_front();
            }
            waiting.push_back(wait(&turns, &busy));
        }
    };
    busy_for(1);
    assert!(asked.is_granted(&context));
    quiet.charge(MS / 10);
    turns.give_back(&quiet);
    busy_for(8);
    // However often it asks meanwhile: it has not used what it could.
    for _ in 0..5 {
        assert!(matches!(turns.take_or_wait(&quiet, LONG, &context), Taken::Extra));
        quiet.charge(MS);
        turns.give_back_extra(&quiet);
    }
    assert!(matches!(turns.take_or_wait(&quiet, LONG, &context), Taken::Extra));
    // There are only so many extra turns, and what is used in them counts.
    assert!(matches!(turns.take_or_wait(&share(1), LONG, &context), Taken::Waits(_)));
    quiet.charge(4 * MS);
    turns.give_back_extra(&quiet);
    assert!(matches!(turns.take_or_wait(&quiet, LONG, &context), Taken::Waits(_)));
    assert!(matches!(turns.take_or_wait(&busy, LONG, &context), Taken::Waits(_)));
}

#[test]
fn nobody_saves_up_more_than_a_few_milliseconds() {
    let turns = Turns::new(1);
    let (busy, quiet) = (share(1), share(1));
    let context = Context::from_waker(Waker::noop());
    assert!(turns.take_free());
    // It has waited once, and then asked for nothing for a second.
    drop((wait(&turns, &busy), wait(&turns, &quiet)));
    for _ in 0..1000 {
        busy.charge(MS);
        turns.give_back(&busy);
        drop(wait(&turns, &busy));
    }
    let mut used_ms = 0;
    while matches!(turns.take_or_wait(&quiet, LONG, &context), Taken::Extra) {
        used_ms += 1;
        quiet.charge(MS);
        turns.give_back_extra(&quiet);
    }
    assert_eq!(used_ms, 11, "of 10 ms, until it has had more");
}

#[test]
fn short_calls_do_not_wait_for_each_other_and_long_ones_do() {
    let turns = Turns::new(2);
    let (one, other, context) = (share(1), share(1), Context::from_waker(Waker::noop()));
    let short = Reading { used_ns: SHORT_NS, ..LONG };
    assert!(turns.take_free() && turns.take_free());
    for share in [&one, &one, &other] {
        assert!(matches!(turns.take_or_wait(share, short, &context), Taken::Extra));
    }
    assert!(
        matches!(turns.take_or_wait(&one, Reading::default(), &context), Taken::Waits(_)),
        "there are only so many"
    );
    turns.give_back_extra(&one);
    assert!(
        matches!(turns.take_or_wait(&one, Reading::default(), &context), Taken::Waits(_)),
        "somebody waits"
    );
}

#[test]
fn the_last_extra_turn_is_for_a_tenant_that_has_none() {
    let context = Context::from_waker(Waker::noop());
    for is_queue_empty in [true, false] {
        let turns = Turns::new(2);
        let (many, busy, other) = (share(1), share(1), share(1));
        assert!(turns.take_free() && turns.take_free());
        let _busy = (!is_queue_empty).then(|| wait(&turns, &busy));
        let short = Reading::default();
        let take = |share: &Share| turns.queue().take_extra(share, short.used_ns <= SHORT_NS);
        // Nothing of it is charged yet.
        assert_eq!([(); 4].map(|()| take(&many)), [true, true, false, false], "{is_queue_empty}");
        assert_eq!([take(&other), take(&other)], [true, false], "{is_queue_empty}");
        // None is lost: two are back, of which one is for those who have none.
        turns.give_back_extra(&many);
        turns.give_back_extra(&other);
        assert_eq!([take(&many), take(&many), take(&other)], [true, false, true], "{is_queue_empty}");
        assert!(!take(&share(1)));
        drop(turns.take_or_wait(&other, short, &context));
    }
}
