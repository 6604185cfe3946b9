//! The clock of the calling thread's CPU time.
//!
//! `Instant` would bill a guest for other processes' time. This one is a system call of about 0.3 µs, so it is read where a
//! guest is entered and left, and once a tick while it computes.

use std::io;

use rustix::time::{ClockId, DynamicClockId, clock_gettime_dynamic};

const SECOND_NS: u64 = 1_000_000_000;

/// The CPU time of this thread; none if the system refuses to tell.
pub(super) fn now_ns() -> Option<u64> {
    let time = clock_gettime_dynamic(DynamicClockId::Known(ClockId::ThreadCPUTime)).ok()?;
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u64::try_from(time.tv_nsec).ok()?);
    Some(seconds.saturating_mul(SECOND_NS).saturating_add(nanos))
}

/// The CPU time that this thread has used since then; nothing where it cannot be told.
pub(super) fn since_ns(began_ns: Option<u64>) -> u64 {
    began_ns.zip(now_ns()).map_or(0, |(began_ns, now_ns)| now_ns.saturating_sub(began_ns))
}

/// Fails where CPU time cannot be told at all: without it no limit of it holds.
pub(super) fn check() -> io::Result<()> {
    clock_gettime_dynamic(DynamicClockId::Known(ClockId::ThreadCPUTime)).map(drop).map_err(Into::into)
}
