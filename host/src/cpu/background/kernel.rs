//! System calls that no crate has: the scheduling policy of a thread, and the CPU that another thread has used.
#![allow(unsafe_code)]

use std::time::Duration;

/// The kernel's policy for a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// `SCHED_OTHER`, with which a process starts.
    Ordinary,
    /// `SCHED_IDLE`: any ordinary thread that wakes takes the processor of such a thread at once.
    Background,
}

/// A thread of this process.
#[derive(Debug)]
pub(super) struct Thread {
    #[cfg(target_os = "linux")]
    id: libc::pid_t,
}

/// True if threads may be put into the background and back: the way back takes `RLIMIT_NICE` 20, or `CAP_SYS_NICE`.
pub(super) fn can_come_back() -> bool {
    std::thread::scope(|scope| {
        // On a thread that ends after the try: it may not come back.
        let tried = scope.spawn(|| {
            let thread = Thread::this();
            thread.is_ordinary() && thread.set(Policy::Background) && thread.set(Policy::Ordinary)
        });
        tried.join().unwrap_or(false)
    })
}

/// A function for the start of each thread of a runtime from which calls move to the background. If the calling
/// thread is ordinary, the function makes each thread ordinary: a thread that is started by one in the background, to
/// block in its place, would be in the background too.
pub fn stay_ordinary() -> impl Fn() + Send + Sync {
    let is_ordinary = Thread::this().is_ordinary();
    move || {
        if is_ordinary {
            // Where the kernel does not allow it, no thread is in the background.
            let _ = Thread::this().set(Policy::Ordinary);
        }
    }
}

#[cfg(target_os = "linux")]
impl Thread {
    /// The calling thread.
    pub(super) fn this() -> Self {
        Self { id: rustix::thread::gettid().as_raw_pid() }
    }

    pub(super) fn is_ordinary(&self) -> bool {
        // SAFETY: the call takes a number, and only reads.
        unsafe { libc::sched_getscheduler(self.id) == libc::SCHED_OTHER }
    }

    /// Sets the thread's policy, and returns true if that is allowed. The thread's niceness stays.
    pub(super) fn set(&self, policy: Policy) -> bool {
        let policy = match policy {
            Policy::Ordinary => libc::SCHED_OTHER,
            Policy::Background => libc::SCHED_IDLE,
        };
        let parameters = libc::sched_param { sched_priority: 0 };
        // SAFETY: the call only reads the structure, which lives for the call.
        unsafe { libc::sched_setscheduler(self.id, policy, &raw const parameters) == 0 }
    }

    /// The CPU time that the thread has used.
    pub(super) fn used(&self) -> Option<Duration> {
        // The clock of any thread, as linux/posix-timers.h numbers it: the complement of the thread's id, then
        // CPUCLOCK_PERTHREAD (4) and CPUCLOCK_SCHED (2). No C library has a call that takes a thread's id.
        let clock: libc::clockid_t = (!self.id).wrapping_shl(3) | 6;
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the call only writes the structure, which lives for the call.
        let is_read = unsafe { libc::clock_gettime(clock, &raw mut time) == 0 };
        let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
        is_read.then(|| Duration::new(seconds, nanos))
    }
}

/// The stand-in on other systems, which have no background policy.
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
