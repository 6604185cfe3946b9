//! The rate limiter: owns the counters behind `jackfield:plugin/limiter`, per tenant and plugin, in bounded
//! memory.
//!
//! A sliding window over two counters: the cost that was taken in the present window counts in full, that of the
//! previous window in proportion to how much of it the last window's length covers. [`Window`] is one key's two
//! counters; [`Limiter`] keeps one for every key, and [`Limiters`] a limiter for every plugin, across its revisions.
//! All counters end with the process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use moka::Expiry;
use moka::sync::Cache;

use crate::tenant::{PluginName, TenantName};

/// The longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 256;

/// The most keys that one plugin's limiter remembers; the least used are forgotten first.
pub const MAX_KEYS: u64 = 65_536;

/// The longest window: a day.
pub const MAX_WINDOW_MS: u32 = 24 * 60 * 60 * 1000;

/// The limiter's decision about one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// True if the cost was taken. If not, nothing was taken.
    pub allowed: bool,
    /// The cost that may still be taken at this instant.
    pub remaining: u32,
    /// Milliseconds until the present window ends.
    pub reset_ms: u32,
    /// Milliseconds until the same call would be allowed if no other call took anything; 0 if it was allowed.
    pub retry_after_ms: u32,
}

/// The reason why no decision was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// The key is too long.
    #[error("the key has {bytes} bytes, and {MAX_KEY_BYTES} are allowed")]
    KeyTooLong {
        /// The key's length.
        bytes: usize,
    },
    /// The limit or the window is 0, or the window is more than a day.
    #[error(
        "a limit of {limit} in {window_ms} ms: both must be at least 1, \
         and the window at most {MAX_WINDOW_MS} ms"
    )]
    InvalidWindow {
        /// The limit.
        limit: u32,
        /// The window.
        window_ms: u32,
    },
    /// The cost is 0, or more than the limit, and could never be allowed.
    #[error("a cost of {cost} of a limit of {limit}: it must be at least 1 and at most the limit")]
    InvalidCost {
        /// The cost.
        cost: u32,
        /// The limit.
        limit: u32,
    },
}

/// The parameters of one call, which are valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Take {
    limit: u32,
    window_ms: u32,
    cost: u32,
}

impl Take {
    /// A call that takes `cost` of the `limit` that is allowed every `window_ms` milliseconds.
    pub fn new(limit: u32, window_ms: u32, cost: u32) -> Result<Self, TakeError> {
        if limit == 0 || window_ms == 0 || window_ms > MAX_WINDOW_MS {
            return Err(TakeError::InvalidWindow { limit, window_ms });
        }
        if cost == 0 || cost > limit {
            return Err(TakeError::InvalidCost { cost, limit });
        }
        Ok(Self { limit, window_ms, cost })
    }
}

/// The two counters of one key. All calls of one `Window` have the same `window_ms`; the limit may differ from call
/// to call, and each call is decided by its own limit against the sum of all that was taken.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// The start of the present window; none before the first call.
    start_ms: Option<u64>,
    present: u64,
    before: u64,
}

impl Window {
    /// Decides on one call at `now_ms`, on any clock that does not go backwards, and takes its cost if it is
    /// allowed.
    pub fn take(&mut self, now_ms: u64, call: Take) -> Decision {
        let window = u64::from(call.window_ms);
        let (limit, cost) = (u64::from(call.limit), u64::from(call.cost));
        let elapsed = self.advance(now_ms, window);
        let left = window.saturating_sub(elapsed);
        // All factors are below 2³², so no product overflows.
        let carried = self.before.saturating_mul(left).div_ceil(window);
        let used = self.present.saturating_add(carried);
        let allowed = used.saturating_add(cost) <= limit;
        if allowed {
            self.present = self.present.saturating_add(cost);
        }
        let used = self.present.saturating_add(carried);
        Decision {
            allowed,
            remaining: to_u32(limit.saturating_sub(used)),
            reset_ms: to_u32(left),
            retry_after_ms: if allowed {
                0
            } else {
                to_u32(self.wait(window, left, limit.saturating_sub(cost)))
            },
        }
    }

    /// The decision that a call at `now_ms` would get; nothing is taken.
    pub fn peek(&self, now_ms: u64, call: Take) -> Decision {
        let decision = self.clone().take(now_ms, call);
        let given_back = if decision.allowed { call.cost } else { 0 };
        Decision { remaining: decision.remaining.saturating_add(given_back), ..decision }
    }

    /// Moves on to the window that `now_ms` is in, and returns the time since its start.
    fn advance(&mut self, now_ms: u64, window: u64) -> u64 {
        let start = *self.start_ms.get_or_insert(now_ms);
        let elapsed = now_ms.saturating_sub(start);
        if elapsed < window {
            return elapsed;
        }
        let next = start.saturating_add(window);
        let past_next = now_ms.saturating_sub(next);
        if past_next < window {
            self.before = self.present;
            self.present = 0;
            self.start_ms = Some(next);
            past_next
        } else {
            // The last window's length passed without a call: the key counts as new.
            *self = Self { start_ms: Some(now_ms), ..Self::default() };
            0
        }
    }

    /// The time until at most `room` is used, where `left` of the present window remains.
    fn wait(&self, window: u64, left: u64, room: u64) -> u64 {
        match room.checked_sub(self.present) {
            // The previous window has to fade far enough; at the end of the present one it no longer counts.
            Some(beside_present) => left.saturating_sub(share(beside_present, window, self.before)),
            // The present window has to fade, as the previous one of the next window.
            None => left.saturating_add(window.saturating_sub(share(room, window, self.present))),
        }
    }
}

/// The longest part of `window` for which a counter of `used`, counted in proportion, is at most `room`.
fn share(room: u64, window: u64, used: u64) -> u64 {
    room.saturating_mul(window).checked_div(used).unwrap_or(window).min(window)
}

fn to_u32(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// The counters of one plugin.
///
/// Counters belong to a key and a window's length together: a plugin that changes its window begins anew, and a
/// plugin that holds a key to a limit a second and another limit an hour counts both. A changed limit goes on with
/// the cost that has been taken.
#[derive(Debug)]
pub struct Limiter {
    windows: Cache<CounterKey, Arc<Mutex<Window>>>,
    origin: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct CounterKey {
    window_ms: u32,
    key: Box<str>,
}

impl Limiter {
    /// A limiter without counters.
    pub fn new() -> Self {
        let windows = Cache::builder().max_capacity(MAX_KEYS).expire_after(TwoWindowsIdle).build();
        Self { windows, origin: Instant::now() }
    }

    /// Takes `cost` from the `limit` of `key` in every `window_ms`. One atomic step.
    pub fn take(&self, key: &str, limit: u32, window_ms: u32, cost: u32) -> Result<Decision, TakeError> {
        let (counter, call) = counter(key, limit, window_ms, cost)?;
        let window = self.windows.get_with(counter, Arc::default);
        let mut window = window.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that no call finds a window that began after it.
        Ok(window.take(self.now_ms(), call))
    }

    /// The decision that [`Self::take`] would make; nothing is taken, and the key is not remembered.
    pub fn peek(&self, key: &str, limit: u32, window_ms: u32, cost: u32) -> Result<Decision, TakeError> {
        let (counter, call) = counter(key, limit, window_ms, cost)?;
        let window = self.windows.get(&counter).unwrap_or_default();
        let window = window.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(window.peek(self.now_ms(), call))
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

fn counter(key: &str, limit: u32, window_ms: u32, cost: u32) -> Result<(CounterKey, Take), TakeError> {
    if key.len() > MAX_KEY_BYTES {
        return Err(TakeError::KeyTooLong { bytes: key.len() });
    }
    let call = Take::new(limit, window_ms, cost)?;
    Ok((CounterKey { window_ms, key: key.into() }, call))
}

impl Default for Limiter {
    fn default() -> Self {
        Self::new()
    }
}

/// The expiry rule: two windows after the last call, a key's counters equal those of a new key.
struct TwoWindowsIdle;

impl TwoWindowsIdle {
    fn of(key: &CounterKey) -> Option<Duration> {
        Some(Duration::from_millis(u64::from(key.window_ms).saturating_mul(2)))
    }
}

impl Expiry<CounterKey, Arc<Mutex<Window>>> for TwoWindowsIdle {
    fn expire_after_create(&self, key: &CounterKey, _: &Arc<Mutex<Window>>, _: Instant) -> Option<Duration> {
        Self::of(key)
    }

    fn expire_after_read(
        &self,
        key: &CounterKey,
        _: &Arc<Mutex<Window>>,
        _: Instant,
        _: Option<Duration>,
        _: Instant,
    ) -> Option<Duration> {
        Self::of(key)
    }
}

/// The limiters of all plugins: each is shared by the revisions that use the plugin, and dropped with the last.
#[derive(Debug, Default)]
pub struct Limiters {
    known: Mutex<HashMap<(TenantName, PluginName), Weak<Limiter>>>,
}

impl Limiters {
    /// The limiter of a plugin: the present one, or a new one.
    pub fn get(&self, tenant: &TenantName, plugin: &PluginName) -> Arc<Limiter> {
        let mut known = self.lock();
        let name = (tenant.clone(), plugin.clone());
        if let Some(limiter) = known.get(&name).and_then(Weak::upgrade) {
            return limiter;
        }
        known.retain(|_, limiter| limiter.strong_count() > 0);
        let limiter = Arc::new(Limiter::new());
        known.insert(name, Arc::downgrade(&limiter));
        limiter
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(TenantName, PluginName), Weak<Limiter>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    fn call(limit: u32, window_ms: u32, cost: u32) -> Take {
        Take::new(limit, window_ms, cost).unwrap()
    }

    #[test]
    fn a_window_slides() {
        // Limit 10 a second; (now, cost) → (allowed, remaining, reset, retry after).
        let mut window = Window::default();
        for (now, cost, expected) in [
            (5_000, 4, (true, 6, 1000, 0)),
            (5_100, 6, (true, 0, 900, 0)),
            // Full: at 6,000 all ten still count, at 6,100 nine of them.
            (5_200, 1, (false, 0, 800, 900)),
            (5_200, 10, (false, 0, 800, 1800)),
            (5_999, 1, (false, 0, 1, 101)),
            (6_000, 1, (false, 0, 1000, 100)),
            (6_099, 1, (false, 0, 901, 1)),
            (6_100, 1, (true, 0, 900, 0)),
            (6_500, 5, (false, 4, 500, 100)),
            (6_500, 4, (true, 0, 500, 0)),
            // The previous window is gone, and the five of the present one fade.
            (7_000, 6, (false, 5, 1000, 200)),
            (7_200, 6, (true, 0, 800, 0)),
            // Two windows later the key is new, and its window begins now.
            (9_300, 10, (true, 0, 1000, 0)),
            (10_299, 10, (false, 0, 1, 1001)),
            (11_300, 10, (true, 0, 1000, 0)),
        ] {
            let decision = window.take(now, call(10, 1000, cost));
            let found = (decision.allowed, decision.remaining, decision.reset_ms, decision.retry_after_ms);
            assert_eq!(found, expected, "{cost} at {now}");
        }
    }

    #[test]
    fn a_limit_that_changes_goes_on_with_what_was_taken() {
        let mut window = Window::default();
        assert!(window.take(0, call(100, 1000, 60)).allowed);
        let lower = window.take(0, call(50, 1000, 1));
        assert_eq!((lower.allowed, lower.remaining), (false, 0));
        assert!(window.take(u64::from(lower.retry_after_ms), call(50, 1000, 1)).allowed);
        let higher = window.take(u64::from(lower.retry_after_ms), call(200, 1000, 100));
        assert_eq!((higher.allowed, higher.remaining), (true, 50));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (limit, window_ms, cost, error) in [
            (0, 1, 1, TakeError::InvalidWindow { limit: 0, window_ms: 1 }),
            (1, 0, 1, TakeError::InvalidWindow { limit: 1, window_ms: 0 }),
            (1, MAX_WINDOW_MS + 1, 1, TakeError::InvalidWindow { limit: 1, window_ms: MAX_WINDOW_MS + 1 }),
            (5, 1, 0, TakeError::InvalidCost { cost: 0, limit: 5 }),
            (5, 1, 6, TakeError::InvalidCost { cost: 6, limit: 5 }),
        ] {
            assert_eq!(Limiter::new().take("key", limit, window_ms, cost), Err(error));
        }
        let limiter = Limiter::new();
        assert!(limiter.take(&"k".repeat(MAX_KEY_BYTES), u32::MAX, MAX_WINDOW_MS, u32::MAX).unwrap().allowed);
        let long = "k".repeat(MAX_KEY_BYTES + 1);
        assert_eq!(limiter.take(&long, 1, 1, 1), Err(TakeError::KeyTooLong { bytes: 257 }));
    }

    #[test]
    fn of_two_hundred_calls_at_once_exactly_one_hundred_are_allowed() {
        let limiter = Arc::new(Limiter::new());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let limiter = Arc::clone(&limiter);
                thread::spawn(move || {
                    (0..50).filter(|_| limiter.take("key", 100, 60_000, 1).unwrap().allowed).count()
                })
            })
            .collect();
        assert_eq!(threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>(), 100);
        assert!(limiter.take("another key", 100, 60_000, 100).unwrap().allowed);
        assert!(limiter.take("key", 100, 59_000, 100).unwrap().allowed);
    }

    #[test]
    fn a_flood_of_keys_is_forgotten() {
        let limiter = Limiter::new();
        for index in 0..MAX_KEYS * 2 {
            limiter.take(&index.to_string(), 1, MAX_WINDOW_MS, 1).unwrap();
        }
        limiter.windows.run_pending_tasks();
        assert!(limiter.windows.entry_count() <= MAX_KEYS, "{} keys", limiter.windows.entry_count());
    }

    #[test]
    fn an_idle_key_is_forgotten_after_two_windows() {
        let key = CounterKey { window_ms: 500, key: "key".into() };
        let now = Instant::now();
        let second = Some(Duration::from_secs(1));
        assert_eq!(TwoWindowsIdle.expire_after_create(&key, &Arc::default(), now), second);
        let read = TwoWindowsIdle.expire_after_read(&key, &Arc::default(), now, Some(Duration::ZERO), now);
        assert_eq!(read, second);
    }

    #[test]
    fn a_plugins_counters_outlive_its_revisions_but_not_its_last_use() {
        let (shop, books) = (TenantName::parse("shop").unwrap(), PluginName::parse("books").unwrap());
        let limiters = Limiters::default();
        let first = limiters.get(&shop, &books);
        assert!(first.take("key", 1, 60_000, 1).unwrap().allowed);
        let second = limiters.get(&shop, &books);
        assert!(!second.take("key", 1, 60_000, 1).unwrap().allowed);
        let other = limiters.get(&TenantName::parse("other").unwrap(), &books);
        assert!(other.take("key", 1, 60_000, 1).unwrap().allowed);

        drop((first, second, other));
        assert!(limiters.get(&shop, &books).take("key", 1, 60_000, 1).unwrap().allowed);
        assert_eq!(limiters.lock().len(), 1, "the other tenant's entry is gone");
    }

    proptest! {
        #[test]
        fn what_a_window_says_is_true(
            limit in 1..50_u32,
            window_ms in 1..2_000_u32,
            calls in proptest::collection::vec((0..700_u64, 1..50_u32), 1..60),
        ) {
            let mut window = Window::default();
            let mut now = 1_000_000;
            let mut taken = Vec::new();
            for (pause, cost) in calls {
                now += pause * u64::from(window_ms) / 400;
                let cost = cost.min(limit);
                let decision = window.take(now, call(limit, window_ms, cost));
                prop_assert!(decision.remaining <= limit);
                prop_assert!((1..=window_ms).contains(&decision.reset_ms));
                prop_assert_eq!(decision.allowed, decision.retry_after_ms == 0);
                if decision.allowed {
                    taken.push((now, cost));
                }

                // The remaining cost can be taken now, and not one more.
                if decision.remaining > 0 {
                    let all = window.clone().take(now, call(limit, window_ms, decision.remaining));
                    prop_assert!(all.allowed && all.remaining == 0);
                }
                if decision.remaining < limit {
                    let more = call(limit, window_ms, decision.remaining + 1);
                    prop_assert!(!window.clone().take(now, more).allowed);
                }
                // A `peek` decides as the same call then does, and takes nothing.
                let seen = window.peek(now, call(limit, window_ms, cost));
                let next = window.clone().take(now, call(limit, window_ms, cost));
                prop_assert_eq!(seen.remaining, decision.remaining);
                prop_assert_eq!((seen.allowed, seen.retry_after_ms), (next.allowed, next.retry_after_ms));
                // The wait that was returned is long enough, and a millisecond less is not.
                if !decision.allowed {
                    let then = now + u64::from(decision.retry_after_ms);
                    prop_assert!(window.clone().take(then, call(limit, window_ms, cost)).allowed);
                    prop_assert!(!window.clone().take(then - 1, call(limit, window_ms, cost)).allowed);
                }
                // A call of higher cost waits as long or longer; a later call, no longer than that.
                if let (false, true) = (decision.allowed, cost < limit) {
                    let dearer = window.clone().take(now, call(limit, window_ms, cost + 1));
                    prop_assert!(dearer.retry_after_ms >= decision.retry_after_ms);
                    let later = window.clone().take(now + 1, call(limit, window_ms, cost));
                    prop_assert!(later.retry_after_ms <= decision.retry_after_ms);
                }
            }
            // A key's first window allows no more than the limit, and no window at all more than twice the limit.
            let sum = |from: u64| -> u64 {
                let within = |at: u64| at >= from && at < from + u64::from(window_ms);
                taken.iter().filter(|(at, _)| within(*at)).map(|(_, cost)| u64::from(*cost)).sum()
            };
            if let Some((first, _)) = taken.first() {
                prop_assert!(sum(*first) <= u64::from(limit));
            }
            for (at, _) in &taken {
                prop_assert!(sum(*at) < u64::from(limit) * 2);
            }
        }
    }
}
