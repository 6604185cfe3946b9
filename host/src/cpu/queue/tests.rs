use std::num::NonZeroU32;

use super::*;

const MS: u64 = 1_000_000;

/// A call that is not short.
const LONG: TurnRequest = TurnRequest { used_ns: 2 * MS, has_moved: false };

fn account(weight: u32) -> CpuAccount {
    CpuAccount::new(NonZeroU32::new(weight).unwrap(), None)
}

fn wait(queue: &RunQueue, account: &CpuAccount) -> Arc<TurnWaiter> {
    let moved = TurnRequest { has_moved: true, ..LONG };
    queue.take_or_wait(account, moved, &Context::from_waker(Waker::noop())).expect_err("it waits")
}

proptest::proptest! {
    #[test]
    fn what_a_tenant_uses_counts_by_its_weight_in_however_small_pieces(
        weight in 1_u32..2000,
        pieces in proptest::collection::vec(0_u64..3000, 1..200),
    ) {
        let (queue, account) = (RunQueue::new(1), account(weight));
        let mut lanes = queue.lanes();
        // CPU that was used before is of an earlier spell.
        lanes.settle(&account);
        let before = account.standing().virtual_time;
        for piece in &pieces {
            account.charge(*piece);
            lanes.settle(&account);
        }
        let counted = account.standing().virtual_time - before;
        proptest::prop_assert_eq!(counted, pieces.iter().sum::<u64>() / u64::from(weight));
    }
}

#[test]
fn who_has_had_more_than_whoever_is_served_waits_and_who_has_had_no_more_does_not() {
    for weight in [1, 3, 1000] {
        let queue = RunQueue::new(1);
        let (busy, quiet) = (account(weight), account(weight));
        let context = Context::from_waker(Waker::noop());
        // The busy tenant's calls wait, and so the CPU is short.
        assert!(queue.take_free());
        let _busy: Vec<_> = (0..2).map(|_| wait(&queue, &busy)).collect();
        queue.lanes().clock = MS;
        // The tenant is new, so it is where the others are.
        assert!(matches!(queue.take_or_wait(&quiet, LONG, &context), Ok(CpuTurn::Extra)), "{weight}");
        queue.give_back(&quiet, CpuTurn::Extra);
        quiet.charge(u64::from(weight));
        assert!(queue.take_or_wait(&quiet, LONG, &context).is_err(), "{weight}");
    }
}

#[test]
fn one_that_has_moved_has_no_extra_turn() {
    let queue = RunQueue::new(1);
    let (busy, quiet) = (account(1), account(1));
    let context = Context::from_waker(Waker::noop());
    assert!(queue.take_free());
    let _busy = wait(&queue, &busy);
    let moved = |used_ns| TurnRequest { used_ns, has_moved: true };
    assert!(queue.take_or_wait(&quiet, moved(0), &context).is_err());
    assert!(queue.take_or_wait(&account(1), moved(0), &context).is_err());
    assert!(matches!(queue.take_or_wait(&account(1), LONG, &context), Ok(CpuTurn::Extra)));
}

#[test]
fn whoever_was_idle_goes_next_and_has_saved_up_nothing() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let _entered = runtime.enter();
    let queue = RunQueue::new(1);
    let (busy, quiet) = (account(1), account(1));
    let context = Context::from_waker(Waker::noop());
    assert!(queue.take_free());
    let mut waiting: Vec<_> = (0..8).map(|_| wait(&queue, &busy)).collect();
    // The busy tenant has its turns for a while.
    for _ in 0..4 {
        busy.charge(MS);
        queue.give_back(&busy, CpuTurn::Usual);
        assert!(waiting.remove(0).is_granted(&context));
        waiting.push(wait(&queue, &busy));
    }
    let asked: Vec<_> = (0..3).map(|_| wait(&queue, &quiet)).collect();
    busy.charge(MS);
    queue.give_back(&busy, CpuTurn::Usual);
    assert!(asked[0].is_granted(&context), "it goes before all that waited longer");
    quiet.charge(3 * MS);
    queue.give_back(&quiet, CpuTurn::Usual);
    assert!(!asked[1].is_granted(&context), "but what it uses counts from then on");
    assert!(waiting[0].is_granted(&context));
}

#[test]
fn whoever_asks_for_far_less_than_the_others_have_does_not_wait_at_all() {
    let queue = RunQueue::new(1);
    let (busy, quiet) = (account(1), account(1));
    let context = Context::from_waker(Waker::noop());
    assert!(queue.take_free());
    let mut waiting: VecDeque<_> = (0..8).map(|_| wait(&queue, &busy)).collect();
    // From now on the tenant is known; being new it has saved up nothing.
    let asked = wait(&queue, &quiet);
    let mut busy_for = |ms: u64| {
        for _ in 0..ms {
            busy.charge(MS);
            queue.give_back(&busy, CpuTurn::Usual);
            if waiting.front().is_some_and(|waiter| waiter.is_granted(&context)) {
                waiting.pop_front();
            }
            waiting.push_back(wait(&queue, &busy));
        }
    };
    busy_for(1);
    assert!(asked.is_granted(&context));
    quiet.charge(MS / 10);
    queue.give_back(&quiet, CpuTurn::Usual);
    busy_for(8);
    // The quiet tenant has a turn however often it asks, for it has not used its part.
    for _ in 0..5 {
        assert!(matches!(queue.take_or_wait(&quiet, LONG, &context), Ok(CpuTurn::Extra)));
        quiet.charge(MS);
        queue.give_back(&quiet, CpuTurn::Extra);
    }
    assert!(matches!(queue.take_or_wait(&quiet, LONG, &context), Ok(CpuTurn::Extra)));
    // The extra turns are limited, and the CPU that is used in them counts.
    assert!(queue.take_or_wait(&account(1), LONG, &context).is_err());
    quiet.charge(4 * MS);
    queue.give_back(&quiet, CpuTurn::Extra);
    assert!(queue.take_or_wait(&quiet, LONG, &context).is_err());
    assert!(queue.take_or_wait(&busy, LONG, &context).is_err());
}

#[test]
fn nobody_saves_up_more_than_a_few_milliseconds() {
    let queue = RunQueue::new(1);
    let (busy, quiet) = (account(1), account(1));
    let context = Context::from_waker(Waker::noop());
    assert!(queue.take_free());
    // The tenant has waited once, and then asks for nothing for a second.
    drop((wait(&queue, &busy), wait(&queue, &quiet)));
    for _ in 0..1000 {
        busy.charge(MS);
        queue.give_back(&busy, CpuTurn::Usual);
        drop(wait(&queue, &busy));
    }
    let mut used_ms = 0;
    while matches!(queue.take_or_wait(&quiet, LONG, &context), Ok(CpuTurn::Extra)) {
        used_ms += 1;
        quiet.charge(MS);
        queue.give_back(&quiet, CpuTurn::Extra);
    }
    assert_eq!(used_ms, 11, "of 10 ms, until it has had more");
}

#[test]
fn short_calls_do_not_wait_for_each_other_and_long_ones_do() {
    let queue = RunQueue::new(2);
    let (one, other, context) = (account(1), account(1), Context::from_waker(Waker::noop()));
    let short = TurnRequest { used_ns: SHORT_NS, ..LONG };
    assert!(queue.take_free() && queue.take_free());
    for account in [&one, &one, &other] {
        assert!(matches!(queue.take_or_wait(account, short, &context), Ok(CpuTurn::Extra)));
    }
    assert!(queue.take_or_wait(&one, TurnRequest::default(), &context).is_err(), "there are only so many");
    queue.give_back(&one, CpuTurn::Extra);
    assert!(queue.take_or_wait(&one, TurnRequest::default(), &context).is_err(), "somebody waits");
}

#[test]
fn the_last_extra_turn_is_for_a_tenant_that_has_none() {
    let context = Context::from_waker(Waker::noop());
    for is_queue_empty in [true, false] {
        let queue = RunQueue::new(2);
        let (many, busy, other) = (account(1), account(1), account(1));
        assert!(queue.take_free() && queue.take_free());
        let _busy = (!is_queue_empty).then(|| wait(&queue, &busy));
        let short = TurnRequest::default();
        let take = |account: &CpuAccount| queue.lanes().take_extra(account, short.used_ns <= SHORT_NS);
        // No CPU of these turns is charged yet.
        assert_eq!([(); 4].map(|()| take(&many)), [true, true, false, false], "{is_queue_empty}");
        assert_eq!([take(&other), take(&other)], [true, false], "{is_queue_empty}");
        // No turn is lost: two are back, of which one is for tenants that have none.
        queue.give_back(&many, CpuTurn::Extra);
        queue.give_back(&other, CpuTurn::Extra);
        assert_eq!([take(&many), take(&many), take(&other)], [true, false, true], "{is_queue_empty}");
        assert!(!take(&account(1)));
        drop(queue.take_or_wait(&other, short, &context));
    }
}
