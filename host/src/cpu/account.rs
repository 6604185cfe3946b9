//! A tenant's account of the CPU: its weight, the CPU that it has used, and its quota `cpu`.
//!
//! An account outlives revisions. Its weight and its quota change in place: calls under way keep their place in the
//! queue, and used CPU stays used. The order of tenants when the CPU is short is `queue.rs`'s.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const SECOND_NS: u64 = 1_000_000_000;

/// A tenant's account of the CPU. Clones are the same account.
#[derive(Debug, Clone)]
pub struct CpuAccount(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    weight: AtomicU32,
    used_ns: AtomicU64,
    bucket: Mutex<Option<Bucket>>,
    standing: Mutex<Standing>,
}

/// A tenant's position in the queue: its virtual time, which is the CPU that it used divided by its weight, and its
/// account's number.
pub(super) type Position = (u64, usize);

/// A tenant's standing in the queue. It is read and written under the queue's lock alone.
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The spell of shortage to which the other fields belong.
    pub(super) spell: u64,
    /// The CPU that the tenant had used when it was last settled.
    pub(super) seen_ns: u64,
    pub(super) virtual_time: u64,
    /// The CPU that was charged and is less than one unit of virtual time.
    pub(super) rest_ns: u64,
    /// The tenant's position in the queue, if any of its calls waits.
    pub(super) position: Option<Position>,
    /// The extra turns that the tenant's calls have now.
    pub(super) extra: usize,
}

/// The quota `cpu` as a token bucket: the CPU that may be used each second, and the part of it that is left.
#[derive(Debug)]
struct Bucket {
    rate_ns: u64,
    /// The CPU that is left: one second's worth at most. A call may overdraw it.
    left_ns: i64,
    filled: Instant,
    /// The part of a nanosecond that was earned until `filled`, in billionths of a nanosecond.
    rest: u64,
    /// The CPU that the tenant had used at `filled`.
    seen_ns: u64,
}

impl CpuAccount {
    /// An account of this weight. `cpu` is CPU time a second; none is no quota.
    pub fn new(weight: NonZeroU32, cpu: Option<Duration>) -> Self {
        let account = Self(Arc::new(Inner {
            weight: AtomicU32::new(weight.get()),
            used_ns: AtomicU64::new(0),
            bucket: Mutex::new(None),
            standing: Mutex::default(),
        }));
        account.set(weight, cpu);
        account
    }

    /// Changes weight and quota. An overdrawn account stays overdrawn.
    pub fn set(&self, weight: NonZeroU32, cpu: Option<Duration>) {
        self.0.weight.store(weight.get(), Ordering::Relaxed);
        let now = Instant::now();
        let seen_ns = self.used_ns();
        let mut bucket = self.bucket();
        *bucket = cpu.map(|cpu| {
            let rate_ns = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX).max(1);
            let full_ns = i64::try_from(rate_ns).unwrap_or(i64::MAX);
            let left_ns = bucket.as_mut().map_or(full_ns, |bucket| bucket.fill(now, seen_ns).min(full_ns));
            Bucket { rate_ns, left_ns, filled: now, rest: 0, seen_ns }
        });
    }

    /// The tenant's weight.
    pub fn weight(&self) -> u32 {
        self.0.weight.load(Ordering::Relaxed)
    }

    /// The CPU that the tenant's calls have used in all.
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns())
    }

    /// The time until the quota `cpu` is paid back, if it is used up.
    pub fn overdrawn(&self) -> Option<Duration> {
        self.bucket().as_mut()?.overdrawn(Instant::now(), self.used_ns())
    }

    /// Charges CPU that a call has used. For `task.rs`, which charges the call as well.
    pub(super) fn charge(&self, ns: u64) {
        self.0.used_ns.fetch_add(ns, Ordering::Relaxed);
    }

    pub(super) fn used_ns(&self) -> u64 {
        self.0.used_ns.load(Ordering::Relaxed)
    }

    /// A number that no other account has while this one lives.
    pub(super) fn id(&self) -> usize {
        Arc::as_ptr(&self.0).addr()
    }

    pub(super) fn standing(&self) -> MutexGuard<'_, Standing> {
        self.0.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bucket(&self) -> MutexGuard<'_, Option<Bucket>> {
        self.0.bucket.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    /// Settles the CPU that was used, and then fills the bucket up: in this order, so that a tenant that uses CPU
    /// evenly and below the rate never empties it.
    fn fill(&mut self, now: Instant, used_ns: u64) -> i64 {
        let spent_ns = used_ns.saturating_sub(self.seen_ns);
        let elapsed_ns = u64::try_from(now.saturating_duration_since(self.filled).as_nanos());
        let earned = u128::from(elapsed_ns.unwrap_or(u64::MAX))
            .saturating_mul(u128::from(self.rate_ns))
            .saturating_add(u128::from(self.rest));
        let second = u128::from(SECOND_NS);
        let (earned_ns, rest) = (earned.checked_div(second), earned.checked_rem(second));
        self.rest = rest.and_then(|rest| u64::try_from(rest).ok()).unwrap_or(0);
        self.left_ns = self
            .left_ns
            .saturating_sub(i64::try_from(spent_ns).unwrap_or(i64::MAX))
            .saturating_add(i64::try_from(earned_ns.unwrap_or(0)).unwrap_or(i64::MAX))
            .min(i64::try_from(self.rate_ns).unwrap_or(i64::MAX));
        self.filled = now;
        self.seen_ns = used_ns;
        self.left_ns
    }

    fn overdrawn(&mut self, now: Instant, used_ns: u64) -> Option<Duration> {
        let left_ns = self.fill(now, used_ns);
        if left_ns > 0 {
            return None;
        }
        let missing_ns = u128::from(left_ns.unsigned_abs()).saturating_add(1);
        let wait_ns = missing_ns.saturating_mul(u128::from(SECOND_NS)).div_ceil(u128::from(self.rate_ns));
        Some(Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(u64::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn bucket(now: Instant, rate_ms: u64) -> Bucket {
        Bucket {
            rate_ns: rate_ms * MS,
            left_ns: i64::try_from(rate_ms * MS).unwrap(),
            filled: now,
            rest: 0,
            seen_ns: 0,
        }
    }

    proptest::proptest! {
        #[test]
        fn however_often_it_is_looked_at_it_earns_the_same(
            rate_ms in 1_u64..1000,
            steps in proptest::collection::vec(0_u64..2_000_000, 1..200),
        ) {
            let mut now = Instant::now();
            let empty = Bucket { left_ns: -i64::MAX / 2, ..bucket(now, rate_ms) };
            let (mut often, mut once) = (Bucket { ..empty }, empty);
            for step_ns in steps {
                now += Duration::from_nanos(step_ns);
                often.fill(now, 0);
            }
            proptest::prop_assert_eq!(often.left_ns, once.fill(now, 0));
        }
    }

    #[test]
    fn a_call_may_overdraw_the_bucket_and_the_next_ones_wait_until_it_is_paid_back() {
        let start = Instant::now();
        let mut bucket = bucket(start, 100);
        assert_eq!(bucket.overdrawn(start, 99 * MS), None);
        // 50 ms too much at 100 ms a second.
        let wait = bucket.overdrawn(start, 150 * MS).unwrap();
        assert!(wait > Duration::from_millis(500) && wait < Duration::from_millis(501), "{wait:?}");
        assert!(bucket.overdrawn(start + Duration::from_millis(499), 150 * MS).is_some());
        assert_eq!(bucket.overdrawn(start + Duration::from_millis(501), 150 * MS), None);
    }

    #[test]
    fn what_was_not_used_is_saved_for_one_second_and_no_longer() {
        let start = Instant::now();
        let mut bucket = bucket(start, 100);
        let later = start + Duration::from_secs(3600);
        assert_eq!(bucket.overdrawn(later, 0), None);
        assert!(bucket.overdrawn(later, 100 * MS).is_some());
    }

    #[test]
    fn who_stays_below_the_rate_is_never_turned_away() {
        let start = Instant::now();
        let mut bucket = bucket(start, 100);
        for second in 1..1000 {
            assert_eq!(bucket.overdrawn(start + Duration::from_secs(second), second * 99 * MS), None);
        }
    }

    #[test]
    fn a_change_of_the_quota_forgives_nothing_and_holds_at_once() {
        let one = NonZeroU32::MIN;
        let account = CpuAccount::new(one, Some(Duration::from_millis(10)));
        account.charge(SECOND_NS);
        let before = account.overdrawn().unwrap();
        assert!(before > Duration::from_secs(98), "{before:?}");
        account.set(one, Some(Duration::from_secs(10)));
        let after = account.overdrawn().unwrap();
        assert!(after < Duration::from_secs(1), "{after:?}");
        account.set(one, None);
        assert_eq!(account.overdrawn(), None);
    }
}
