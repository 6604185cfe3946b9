//! Failed logins: a client that presents wrong tokens again and again is turned away for a while.
//!
//! A client is an address; in IPv6 it is the address's /64, because a customer usually gets a whole /64.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::listen::customer;

/// The failed logins after which a client is turned away.
const FREE_FAILURES: u32 = 10;

/// The time for which it is turned away first. Each further failure doubles it.
const FIRST_WAIT: Duration = Duration::from_secs(30);

/// The longest time for which it is turned away, and for which failures are remembered after it.
const LONGEST_WAIT: Duration = Duration::from_secs(600);

/// The most clients whose failures are remembered. Beyond them, the client that failed longest ago is forgotten.
const MOST_CLIENTS: usize = 10_000;

/// The failed logins of all clients.
#[derive(Debug, Default)]
pub(super) struct Logins(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    latest: Instant,
    until: Instant,
}

impl Logins {
    /// The time for which a client is still turned away.
    pub(super) fn wait(&self, client: IpAddr, now: Instant) -> Option<Duration> {
        let until = self.clients().get(&customer(client))?.until;
        until.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// Counts a failed login.
    pub(super) fn failed(&self, client: IpAddr, now: Instant) {
        let client = customer(client);
        let mut clients = self.clients();
        let is_old = |failures: &Failures| {
            let wait = now.saturating_duration_since(failures.latest.max(failures.until));
            wait >= LONGEST_WAIT
        };
        if clients.get(&client).is_some_and(is_old) {
            clients.remove(&client);
        }
        if clients.len() >= MOST_CLIENTS && !clients.contains_key(&client) {
            let oldest = clients.iter().min_by_key(|(_, failures)| failures.latest);
            if let Some(oldest) = oldest.map(|(oldest, _)| *oldest) {
                clients.remove(&oldest);
            }
        }
        let failures = clients.entry(client).or_insert(Failures { count: 0, latest: now, until: now });
        failures.count = failures.count.saturating_add(1);
        failures.latest = now;
        if let Some(beyond) = failures.count.checked_sub(FREE_FAILURES) {
            let wait = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(beyond)).min(LONGEST_WAIT);
            failures.until = now.checked_add(wait).unwrap_or(now);
        }
    }

    /// Forgets a client's failures: it has a valid token.
    pub(super) fn succeeded(&self, client: IpAddr) {
        self.clients().remove(&customer(client));
    }

    fn clients(&self) -> MutexGuard<'_, HashMap<IpAddr, Failures>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenth_failure_closes_the_door_and_each_further_one_for_twice_as_long() {
        let logins = Logins::default();
        let client = IpAddr::from([192, 0, 2, 1]);
        let mut now = Instant::now();
        for _ in 1..FREE_FAILURES {
            logins.failed(client, now);
            assert_eq!(logins.wait(client, now), None);
        }
        for seconds in [30, 60, 120, 240, 480, 600, 600] {
            logins.failed(client, now);
            assert_eq!(logins.wait(client, now), Some(Duration::from_secs(seconds)));
            assert_eq!(logins.wait([192, 0, 2, 2].into(), now), None, "another client");
            now += Duration::from_secs(seconds);
            assert_eq!(logins.wait(client, now), None);
        }
        logins.succeeded(client);
        logins.failed(client, now);
        assert_eq!(logins.wait(client, now), None);
    }

    #[test]
    fn failures_are_forgotten_after_a_while_and_clients_are_bounded() {
        let logins = Logins::default();
        let now = Instant::now();
        let client = IpAddr::from([192, 0, 2, 1]);
        (0..FREE_FAILURES).for_each(|_| logins.failed(client, now));
        let later = now + FIRST_WAIT + LONGEST_WAIT;
        logins.failed(client, later);
        assert_eq!(logins.wait(client, later), None);
        for number in 0..u32::try_from(MOST_CLIENTS).unwrap() + 5 {
            logins.failed(IpAddr::V4(number.into()), later + Duration::from_millis(u64::from(number)));
        }
        assert_eq!(logins.clients().len(), MOST_CLIENTS);
        assert!(!logins.clients().contains_key(&client), "who failed longest ago is forgotten first");
    }
}
