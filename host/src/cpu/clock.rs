//! The clock of the calling thread's CPU time.
//!
//! `Instant` would bill a guest for other processes' time. But this clock is a system call of 0.3 to 1 µs, and most
//! guests are left again before the kernel could have given their processor to anybody else. So each thread reads it
//! at most every [`FRESH`], and `Instant` tells what came since: a guest is billed for no less than it used, and for
//! at most [`SHORT`], or [`FRESH`], more ([`Reading`]). While a guest computes, its CPU is read once a tick.

use std::cell::Cell;
use std::io;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, DynamicClockId, clock_gettime_dynamic};

const SECOND_NS: u64 = 1_000_000_000;

/// The CPU time of the calling thread. None if the system refuses to tell it.
pub(super) fn now_ns() -> Option<u64> {
    let time = clock_gettime_dynamic(DynamicClockId::Known(ClockId::ThreadCPUTime)).ok()?;
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u64::try_from(time.tv_nsec).ok()?);
    Some(seconds.saturating_mul(SECOND_NS).saturating_add(nanos))
}

/// The age up to which a reading of the clock stands in for another.
const FRESH: Duration = Duration::from_micros(200);

/// The time up to which all that passed counts as CPU.
const SHORT: Duration = Duration::from_micros(100);

thread_local! {
    /// The thread's last reading of its clock, and when that was.
    static LAST: Cell<Option<(Instant, u64)>> = const { Cell::new(None) };
}

/// The CPU time of the calling thread, with two bounds.
pub(super) struct Reading {
    at: Instant,
    /// The thread has used at least this. None where the system does not tell it.
    at_least_ns: Option<u64>,
    /// The thread has used at most this.
    pub(super) at_most_ns: Option<u64>,
}

impl Reading {
    /// Reads the clock, unless the thread has done so a moment ago.
    pub(super) fn now() -> Self {
        let at = Instant::now();
        let last = LAST.get().map(|(read_at, read_ns)| (at.saturating_duration_since(read_at), read_ns));
        match last {
            Some((age, read_ns)) if age < FRESH => {
                Self { at, at_least_ns: Some(read_ns), at_most_ns: Some(read_ns.saturating_add(nanos(age))) }
            }
            _ => {
                let now_ns = read(at);
                Self { at, at_least_ns: now_ns, at_most_ns: now_ns }
            }
        }
    }

    /// The CPU time that the calling thread, which is the same as before, has used since: no less than it is, and a
    /// moment more at most. Zero where the system does not tell it.
    pub(super) fn elapsed_ns(&self) -> u64 {
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.at);
        let Some(began_ns) = self.at_least_ns else { return 0 };
        if passed < SHORT {
            return nanos(passed);
        }
        read(now).map_or(0, |now_ns| now_ns.saturating_sub(began_ns).min(nanos(passed)))
    }
}

/// Reads the clock, and notes that it was read.
fn read(at: Instant) -> Option<u64> {
    let now_ns = now_ns();
    LAST.set(now_ns.map(|now_ns| (at, now_ns)));
    now_ns
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Fails where the system does not tell CPU time at all: without it no limit on CPU holds.
pub(super) fn check() -> io::Result<()> {
    clock_gettime_dynamic(DynamicClockId::Known(ClockId::ThreadCPUTime)).map(drop).map_err(Into::into)
}

#[cfg(test)]
mod tests {
    use std::thread::sleep;

    use super::*;

    fn burn(ns: u64) -> u64 {
        let began_ns = now_ns().unwrap();
        loop {
            let used_ns = now_ns().unwrap() - began_ns;
            if used_ns >= ns {
                return used_ns;
            }
        }
    }

    #[test]
    fn no_less_is_told_than_was_used_and_a_wait_counts_as_nothing() {
        for idle_us in [0, 50, 150, 300, 3000] {
            for ns in [0, 10_000, 90_000, 150_000, 3_000_000] {
                sleep(Duration::from_micros(idle_us));
                let reading = Reading::now();
                let used_ns = burn(ns);
                sleep(Duration::from_micros(idle_us));
                let told_ns = reading.elapsed_ns();
                assert!(told_ns >= used_ns, "{told_ns} of {used_ns} behind {idle_us} µs");
                // What is told above is the thread's own work since the clock was last read, at most.
                let most_ns = used_ns + nanos(FRESH).max(nanos(SHORT)) + 1_000_000;
                assert!(told_ns <= most_ns, "{told_ns} of {used_ns} behind {idle_us} µs");
            }
        }
    }

    #[test]
    fn the_two_bounds_enclose_the_clock() {
        for idle_us in [0, 20, 100, 190, 300] {
            burn(1_000_000);
            let _read = Reading::now();
            sleep(Duration::from_micros(idle_us));
            let reading = Reading::now();
            let now_ns = now_ns().unwrap();
            assert!(reading.at_least_ns.unwrap() <= now_ns);
            assert!(reading.at_most_ns.unwrap() + 1_000_000 >= now_ns);
        }
    }
}
