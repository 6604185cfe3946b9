//! Calls of the kernel that no crate has: how threads are scheduled, and what CPU another one has used.
#![allow(unsafe_code)]

use std::time::Duration;

/// The kernel's policy for a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// As a process starts with, `SCHED_OTHER`.
    Ordinary,
    /// `SCHED_IDLE`: any ordinary one that wakes takes its processor at once.
    Background,
}

/// A thread of this process.
#[derive(Debug)]
pub(super) struct Thread {
    #[cfg(target_os = "linux")]
    id: libc::pid_t,
}

/// True if threads may be put into the background, and be had back from there: that takes `RLIMIT_NICE` 20, or
/// `CAP_SYS_NICE`.
pub(super) fn can_come_back() -> bool {
    std::thread::scope(|scope| {
        // On a thread that ends then: it may not come back.
        let tried = scope.spawn(|| {
            let thread = Thread::this();
            thread.is_ordinary() && thread.set(Policy::Background) && thread.set(Policy::Ordinary)
        });
        tried.join().unwrap_or(false)
    })
}

/// A function that each thread of a runtime that calls come from has to run when it starts. Where the calling one is ordinary, so is
/// each: one that is started by a thread in the background, to block in its place, would be there, too.
pub fn stay_ordinary() -> impl Fn() + Send + Sync {
    let is_ordinary = Thread::this().is_ordinary();
    move || {
        if is_ordinary {
            // Where it may not, no thread is in the background.
            let _ = Thread::this().set(Policy::Ordinary);
        }
    }
}

#[cfg(target_os = "linux")]
impl Thread {
    /// The one that calls.
    pub(super) fn this() -> Self {
        Self { id: rustix::thread::gettid().as_raw_pid() }
    }

    pub(super) fn is_ordinary(&self) -> bool {
        // SAFETY: it takes a number, and only reads.
        unsafe { libc::sched_getscheduler(self.id) == libc::SCHED_OTHER }
    }

    /// Sets its policy, if that is allowed. Its niceness stays what it is.
    pub(super) fn set(&self, policy: Policy) -> bool {
        let policy = match policy {
            Policy::Ordinary => libc::SCHED_OTHER,
            Policy::Background => libc::SCHED_IDLE,
        };
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: it only reads the structure, which lives for the call.
        unsafe { libc::sched_setscheduler(self.id, policy, &raw const parameters) == 0 }
    }

    /// The CPU time that it has used.
    pub(super) fn used(&self) -> Option<Duration> {
        // The clock of any thread, as linux/posix-timers.h numbers it: the complement of its id, then CPUCLOCK_PERTHREAD
        // (4) and CPUCLOCK_SCHED (2). No C library has a call for it that takes an id.
        let clock: libc::clockid_t = (!self.id).wrapping_shl(3) | 6;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: it only writes the structure, which lives for the call.
        let is_read = unsafe { libc::clock_gettime(clock, &raw mut time) == 0 };
        let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
        is_read.then(|| Duration::new(seconds, nanos))
    }
}

/// Other systems have nothing of the kind.
#[cfg(not(target_os = "linux"))]
impl Thread {
    pub(super) fn this() -> Self {
        Self {}
    }

    pub(super) fn is_ordinary(&self) -> bool {
        false
    }

    pub(super) fn set(&self, _: Policy) -> bool {
        false
    }

    pub(super) fn used(&self) -> Option<Duration> {
        None
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn what_another_thread_has_used_is_what_it_has_computed_and_not_what_it_has_slept() {
        let (told, thread) = mpsc::channel();
        let (go_on, waits) = mpsc::channel::<()>();
        let other = std::thread::spawn(move || {
            let this = Thread::this();
            let computed = Duration::from_millis(30);
            let used = || Thread::this().used().unwrap();
            while used() < computed {}
            told.send(this).unwrap();
            // The test ends.
            let _ = waits.recv();
        });
        let thread = thread.recv().unwrap();
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(50) {}
        let used = thread.used().unwrap();
        assert!(used >= Duration::from_millis(30) && used < Duration::from_millis(45), "{used:?}");
        drop(go_on);
        other.join().unwrap();
    }

    #[test]
    fn a_thread_is_scheduled_as_it_was_told() {
        std::thread::spawn(|| {
            let thread = Thread::this();
            assert!(thread.is_ordinary());
            assert!(thread.set(Policy::Background), "any thread may go there");
            assert!(!thread.is_ordinary());
            assert_eq!(thread.set(Policy::Ordinary), can_come_back());
            assert_eq!(thread.is_ordinary(), can_come_back());
        })
        .join()
        .unwrap();
    }
}
