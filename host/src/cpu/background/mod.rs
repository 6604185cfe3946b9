//! Threads for guests that compute on.
//!
//! A call begins where its request is served: most calls need a few microseconds, and nothing is faster. A call whose
//! guest was made to yield moves here for good, so that the runtime's workers are left to short calls and to
//! connections. The kernel tells these threads from the workers (`kernel.rs`): a worker that wakes runs at once,
//! however many guests compute.
//!
//! The price: where other threads leave no time at all, these threads have next to none. So they are watched
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

/// The longest wait for the threads at shutdown: a guest has several ticks in this time, unless one instruction takes
/// as long.
const SHUTDOWN: Duration = Duration::from_millis(50);

/// The threads, as many as there are processors: a runtime of their own, without timers and sockets.
pub(super) struct Background {
    threads: Handle,
    /// None once the runtime has been shut down.
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
            // A call that comes does not wait for the calls that are here already.
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

    /// The handle by which calls are spawned on these threads.
    pub(super) fn threads(&self) -> &Handle {
        &self.threads
    }

    /// True if the kernel lets these threads be in the background, and come back from there.
    pub(super) fn can_come_back(&self) -> bool {
        self.workers.can_come_back()
    }

    /// A watch over these threads. None of them starves, if [`StarvationWatch::look`] is called often.
    pub(super) fn watch(&self) -> StarvationWatch {
        StarvationWatch::new(self.workers.clone(), self.threads.clone())
    }

    /// Ends all calls on these threads, and waits a short time for their end.
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
            // The thread that drops the runtime may be one that must not block.
            runtime.shutdown_background();
        }
    }
}

/// Makes the calling thread count as one of the background's.
#[cfg(test)]
pub(super) fn join_this_thread() {
    Workers::new(false).add_this_thread();
}

#[cfg(test)]
mod tests;
