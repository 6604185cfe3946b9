//! The clock of the calling thread's CPU time.
//!
//! `Instant` would bill a guest for other processes' time. This clock is a system call of about 0.3 µs, so it is read
//! when a guest is entered and left, and once a tick while the guest computes.

use std::io;

use rustix::time::{ClockId, DynamicClockId, clock_gettime_dynamic};

const SECOND_NS: u64 = 1_000_000_000;

/// The CPU time of the calling thread. None if the system refuses to tell it.
pub(super) fn now_ns() -> Option<u64> {
    let time = clock_gettime_dynamic(DynamicClockId::Known(ClockId::ThreadCPUTime)).ok()?;
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u64::try_from(time.tv_nsec).ok()?);
    Some(seconds.saturating_mul(SECOND_NS).saturating_add(nanos))
}

/// The CPU time that the calling thread has used since `began_ns`. Zero where the system does not tell it.
pub(super) fn since_ns(began_ns: Option<u64>) -> u64 {
    began_ns.zip(now_ns()).map_or(0, |(began_ns, now_ns)| now_ns.saturating_sub(began_ns))
}

/// Fails where the system does not tell CPU time at all: without it no limit on CPU holds.
pub(super) fn check() -> io::Result<()> {
    clock_gettime_dynamic(DynamicClockId::Known(ClockId::ThreadCPUTime)).map(drop).map_err(Into::into)
}
