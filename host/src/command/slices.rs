//! The kernel's slices of CPU time: short ones, so that threads which compute give way soon.
//!
//! A host's threads run guests for a millisecond at a time while others wake for microseconds: to read a request,
//! to tick. By default Linux lets the one that runs have some 3 ms first.
#![allow(unsafe_code)]

/// The shortest that Linux knows.
#[cfg(target_os = "linux")]
const SLICE_NS: u64 = 100_000;

/// Asks for short slices for the calling thread, and all that it starts from now on. A kernel before 6.12 knows no
/// slices of a thread's own, and gives the usual ones.
#[cfg(target_os = "linux")]
pub(super) fn shorten() {
    // SAFETY: it takes no memory, and asks of the calling thread.
    let policy = unsafe { libc::sched_getscheduler(0) };
    if policy != libc::SCHED_OTHER {
        // Whoever started this process chose another one.
        return;
    }
    let mut wanted = libc::sched_attr {
        size: 0,
        sched_policy: libc::SCHED_OTHER.unsigned_abs(),
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: SLICE_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    wanted.size = u32::try_from(size_of_val(&wanted)).unwrap_or(0);
    // What the thread's niceness is, it stays: this call sets both.
    wanted.sched_nice = rustix::process::getpriority_process(None).unwrap_or(0);
    // SAFETY: the structure is as large as it says, and lives for the call, which only reads it. A system that refuses
    // changes nothing.
    let _ = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const wanted, 0) };
}

/// Other systems have no such thing.
#[cfg(not(target_os = "linux"))]
pub(super) fn shorten() {}
