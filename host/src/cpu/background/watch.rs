//! The watch over threads in the background: none starves.
//!
//! A thread that is awake, or is wanted, and has next to no CPU for a while is made an ordinary one for a time, and
//! all other threads of the background with it. The CPU that it had counts, not the progress of its guest: a guest
//! may compute for long in one instruction.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::kernel::{Policy, Thread};

/// The time that a thread is watched before it is judged.
const WINDOW: Duration = Duration::from_millis(30);

/// The part of a window, as its divisor, below which a thread's CPU means that it has starved.
const STARVED_PART: u32 = 20;

/// The time for which the threads are ordinary ones after one has starved.
const ORDINARY_FOR: Duration = Duration::from_secs(1);

/// The threads of the background that have started so far.
pub(super) struct Workers {
    each: Mutex<Vec<Arc<Worker>>>,
    can_come_back: bool,
}

struct Worker {
    thread: Thread,
    /// The thread has something to do.
    is_awake: AtomicBool,
}

thread_local! {
    static WORKER: OnceCell<Arc<Worker>> = const { OnceCell::new() };
}

impl Workers {
    pub(super) fn new(can_come_back: bool) -> Self {
        Self { each: Mutex::default(), can_come_back }
    }

    pub(super) fn can_come_back(&self) -> bool {
        self.can_come_back
    }

    pub(super) fn add_this_thread(&self) {
        let worker = Arc::new(Worker { thread: Thread::this(), is_awake: AtomicBool::new(true) });
        WORKER.with(|taken| taken.set(worker.clone()).ok());
        // First on the list, then in the background: a thread may stand still there at once. It is watched by then,
        // and does not hold the list's lock.
        self.each().push(worker.clone());
        if self.can_come_back {
            worker.thread.set(Policy::Background);
        }
    }

    fn each(&self) -> MutexGuard<'_, Vec<Arc<Worker>>> {
        self.each.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// True on each thread of the background.
pub(in crate::cpu) fn is_this_thread() -> bool {
    WORKER.with(|worker| worker.get().is_some())
}

/// Notes on the calling thread, if it is one of the background's, that it has something to do or has nothing.
pub(super) fn set_awake(is_awake: bool) {
    WORKER.with(|worker| {
        if let Some(worker) = worker.get() {
            worker.is_awake.store(is_awake, Ordering::Relaxed);
        }
    });
}

/// A watch over the threads of the background, so that none of them starves.
pub(in crate::cpu) struct StarvationWatch {
    workers: Arc<Workers>,
    threads: Handle,
    /// One window for each thread.
    windows: Vec<Option<Window>>,
    /// The end of the time in which the threads are ordinary ones. None while they are in the background.
    ordinary_until: Option<Instant>,
}

/// The start of a thread's window: the time, and the CPU that the thread had used by then.
struct Window {
    since: Instant,
    used: Duration,
}

impl StarvationWatch {
    pub(super) fn new(workers: Arc<Workers>, threads: Handle) -> Self {
        Self { workers, threads, windows: Vec::new(), ordinary_until: None }
    }

    /// Looks at each thread's CPU, and changes the policy of all if one has starved. True if a thread has something
    /// to do, or is to be sent back to the background soon.
    pub(in crate::cpu) fn look(&mut self, now: Instant) -> bool {
        let before = self.policy();
        let has_waiting = self.threads.metrics().global_queue_depth() > 0;
        let each = self.workers.each();
        self.windows.resize_with(each.len(), || None);
        let (mut is_any_awake, mut has_starved) = (has_waiting, false);
        for (worker, window) in each.iter().zip(&mut self.windows) {
            let is_awake = worker.is_awake.load(Ordering::Relaxed);
            is_any_awake |= is_awake;
            let wants = self.workers.can_come_back && (is_awake || has_waiting);
            has_starved |= has_starved_in(window, wants, now, || worker.thread.used());
        }
        if has_starved {
            self.ordinary_until = now.checked_add(ORDINARY_FOR);
        }
        self.ordinary_until = self.ordinary_until.filter(|until| now < *until);
        let policy = self.policy();
        // The policy is set again each time a thread has starved: a thread may have started meanwhile.
        if has_starved || policy != before {
            each.iter().for_each(|worker| _ = worker.thread.set(policy));
        }
        is_any_awake || policy == Policy::Ordinary
    }

    fn policy(&self) -> Policy {
        if self.ordinary_until.is_some() { Policy::Ordinary } else { Policy::Background }
    }
}

/// True if a thread that `wants` to compute has had next to no CPU for a whole window.
fn has_starved_in(
    window: &mut Option<Window>,
    wants: bool,
    now: Instant,
    used: impl FnOnce() -> Option<Duration>,
) -> bool {
    if !wants {
        *window = None;
        return false;
    }
    if window.as_ref().is_some_and(|window| now.saturating_duration_since(window.since) < WINDOW) {
        return false;
    }
    let next = used().map(|used| Window { since: now, used });
    let (Some(began), Some(ended)) = (std::mem::replace(window, next), window) else { return false };
    let (took, had) = (now.saturating_duration_since(began.since), ended.used.saturating_sub(began.used));
    had.saturating_mul(STARVED_PART) < took
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The number of times that a thread is found to have starved, if it is looked at every millisecond and has
    /// `part_of_it` of each millisecond.
    fn found(looks: u32, part_of_it: f64, wants: impl Fn(u32) -> bool) -> usize {
        let (start, mut window) = (Instant::now(), None);
        let looks = (0..looks).filter(|look| {
            let used = || Some((*look * MS).mul_f64(part_of_it));
            has_starved_in(&mut window, wants(*look), start + *look * MS, used)
        });
        looks.count()
    }

    #[test]
    fn a_thread_has_starved_that_wants_to_compute_for_a_whole_window_and_hardly_does() {
        assert_eq!(found(100, 0.0, |_| true), 3);
        assert_eq!(found(100, 0.04, |_| true), 3);
        assert_eq!(found(100, 0.06, |_| true), 0);
        assert_eq!(found(100, 1.0, |_| true), 0);
        assert_eq!(found(100, 0.0, |_| false), 0);
        assert_eq!(found(1000, 0.0, |look| look % 29 != 0), 0, "it has had nothing to do in between");
    }

    #[test]
    fn a_thread_whose_use_cannot_be_read_has_not_starved() {
        let (start, mut window) = (Instant::now(), None);
        assert!((0..100).all(|look| !has_starved_in(&mut window, true, start + look * MS, || None)));
    }

    /// True if the watch comes to this policy.
    #[cfg(target_os = "linux")]
    async fn becomes(watch: &mut StarvationWatch, policy: Policy) -> bool {
        let began = Instant::now();
        while watch.policy() != policy && began.elapsed() < Duration::from_secs(20) {
            watch.look(Instant::now());
            tokio::time::sleep(MS).await;
        }
        watch.policy() == policy
    }

    /// The threads compete here with others that leave no time to those in the background.
    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn threads_that_starve_are_ordinary_ones_for_a_while() {
        let background = super::super::Background::start(|| {}).unwrap();
        if !background.can_come_back() {
            eprintln!("SKIPPED: the kernel lets no thread of this process come back from the background");
            return;
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let processors = std::thread::available_parallelism().unwrap().get();
        let others: Vec<_> = (0..2 * processors)
            .map(|_| {
                let is_over = is_over.clone();
                let began = Instant::now();
                std::thread::spawn(move || {
                    while !is_over.load(Ordering::Relaxed) && began.elapsed() < Duration::from_secs(30) {}
                })
            })
            .collect();
        let computes = async {
            loop {
                let began = Instant::now();
                while began.elapsed() < MS {}
                tokio::task::yield_now().await;
            }
        };
        let call = background.threads().spawn(computes);
        let mut watch = background.watch();
        assert!(becomes(&mut watch, Policy::Ordinary).await);
        assert!(watch.workers.each().iter().all(|worker| worker.thread.is_ordinary()));
        is_over.store(true, Ordering::Relaxed);
        others.into_iter().for_each(|other| other.join().unwrap());
        assert!(becomes(&mut watch, Policy::Background).await, "not for ever");
        assert!(watch.workers.each().iter().all(|worker| !worker.thread.is_ordinary()));
        call.abort();
    }
}
