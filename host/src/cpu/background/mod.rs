//! Threads for guests that compute on.
//!
//! A call begins where its request is served: most need a few microseconds, and nothing is faster. One whose guest was
//! made to yield moves here for good, so that the runtime's workers are left to calls that are short, and to
//! connections. The kernel tells the ones from the others (`kernel.rs`): a worker that wakes runs at once, however many
//! guests compute.
//!
//! That is had at a price: where others leave no time at all, these threads have next to none. So they are watched
//! (`watch.rs`).

mod kernel;
mod watch;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use tokio::runtime::{Builder, Handle, Runtime};

pub use kernel::stay_ordinary;
pub(super) use watch::is_this_thread;
use watch::{StarvationWatch, Workers};

/// The name of each thread.
pub(super) const NAME: &str = "compute";

/// The longest that they are waited for in the end: a guest has several ticks in it, but for one long instruction.
const SHUTDOWN: Duration = Duration::from_millis(50);

/// The threads, as many as there are processors: a runtime of their own, without timers and sockets.
pub(super) struct Background {
    threads: Handle,
    /// None once it has been shut down.
    runtime: Mutex<Option<Runtime>>,
    workers: Arc<Workers>,
}

impl Background {
    /// Starts the threads, each of which runs `on_thread_start` first.
    pub(super) fn start(on_thread_start: fn()) -> io::Result<Self> {
        let workers = Arc::new(Workers::new(kernel::can_come_back()));
        let started = workers.clone();
        let runtime = Builder::new_multi_thread()
            .thread_name(NAME)
            .worker_threads(thread::available_parallelism().map_or(1, usize::from))
            // Whoever comes does not wait for those that are here already.
            .global_queue_interval(1)
            .on_thread_start(move || {
                on_thread_start();
                started.add_this_thread();
            })
            .on_thread_park(|| watch::set_awake(false))
            .on_thread_unpark(|| watch::set_awake(true))
            .build()?;
        let threads = runtime.handle().clone();
        Ok(Self { threads, runtime: Mutex::new(Some(runtime)), workers })
    }

    /// The handle by which calls are spawned here.
    pub(super) fn threads(&self) -> &Handle {
        &self.threads
    }

    /// True if the kernel lets them be in the background, and come back from there.
    pub(super) fn can_come_back(&self) -> bool {
        self.workers.can_come_back()
    }

    /// A watch over them, so that none of them starves, if it is asked to look often.
    pub(super) fn watch(&self) -> StarvationWatch {
        StarvationWatch::new(self.workers.clone(), self.threads.clone())
    }

    /// Ends all calls here and waits for it, but not for long.
    pub(super) fn shut_down(&self) {
        if let Some(runtime) = self.take_runtime() {
            runtime.shutdown_timeout(SHUTDOWN);
        }
    }

    fn take_runtime(&self) -> Option<Runtime> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.take_runtime() {
            // Who drops it may be on a thread that must not block.
            runtime.shutdown_background();
        }
    }
}

/// From now on the calling thread passes for one of them.
#[cfg(test)]
pub(super) fn join_this_thread() {
    Workers::new(false).add_this_thread();
}

#[cfg(test)]
mod tests;
