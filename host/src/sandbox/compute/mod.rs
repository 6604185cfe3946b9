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

use std::panic::{catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{io, mem, thread};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::task::AbortOnDropHandle;
use wasmtime::Engine;

use super::meter::Meter;
use super::ticker::{Activity, MovedCall};
pub use kernel::stay_ordinary;
use watch::{Watch, Workers};

/// What the threads are called.
const NAME: &str = "compute";

/// How long they are waited for in the end: a guest has several ticks in it, but for one long instruction.
const SHUTDOWN: Duration = Duration::from_millis(50);

/// Takes what wasmtime keeps for a thread on which guests run, as that starts: when the first guest runs there is too late,
/// for wasmtime 50 panics if the system has no memory for it, and aborts as it unwinds.
fn prepare_for_guests() {
    // Of a thread that only blocks it is no loss; on one that has none, its first guest says so.
    let _ = catch_unwind(Engine::tls_eager_initialize);
}

/// The threads, as many as there are processors.
pub struct Compute {
    threads: Handle,
    activity: Arc<Activity>,
    /// None once it has been shut down.
    runtime: Mutex<Option<Runtime>>,
    workers: Arc<Workers>,
}

/// How many calls of a plugin begin on these threads after one that computed on. If it were only the next one, a plugin
/// whose calls are long and short in turns would hold a worker, until it is made to yield, with every other one.
const BEGIN_THERE: u32 = 16;

/// How many of a plugin's next calls begin on these threads: some, if one computed on lately.
#[derive(Debug, Clone, Default)]
pub struct Habit(Arc<AtomicU32>);

impl Habit {
    fn computes_on(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }

    fn note(&self, has_computed_on: bool) {
        // Most plugins' calls are alike: then nothing is written that other processors read.
        let next = |left: u32| {
            if has_computed_on { (left < BEGIN_THERE).then_some(BEGIN_THERE) } else { left.checked_sub(1) }
        };
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

impl Compute {
    pub(super) fn start(activity: Arc<Activity>) -> io::Result<Self> {
        let workers = Arc::new(Workers::new(kernel::can_come_back()));
        let started = workers.clone();
        let runtime = Builder::new_multi_thread()
            .thread_name(NAME)
            .worker_threads(thread::available_parallelism().map_or(1, usize::from))
            // Whoever comes does not wait for those that are here already.
            .global_queue_interval(1)
            .on_thread_start(move || {
                prepare_for_guests();
                started.add_this_thread();
            })
            .on_thread_park(|| watch::set_awake(false))
            .on_thread_unpark(|| watch::set_awake(true))
            .build()?;
        let threads = runtime.handle().clone();
        Ok(Self { threads, activity, runtime: Mutex::new(Some(runtime)), workers })
    }

    /// Whether the kernel lets them be in the background, and come back from there.
    pub fn is_in_background(&self) -> bool {
        self.workers.can_come_back()
    }

    /// What sees to it that none of them starves, if it is asked to look often.
    pub(super) fn watch(&self) -> Watch {
        Watch::new(self.workers.clone(), self.threads.clone())
    }

    /// Runs a call where it is polled, and on these threads once its guest computes on; there from the start if that is
    /// its plugin's habit.
    pub fn run<F>(&self, call: F, habit: Habit, meter: Arc<Meter>) -> Run<F>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let begins_there = habit.computes_on();
        meter.set_moved(begins_there);
        let activity = self.activity.clone();
        let call = Call { future: Box::pin(call), habit, meter, activity, has_computed_on: false };
        Run(if begins_there {
            Place::There(call.move_to(&self.threads))
        } else {
            Place::Here(call, self.threads.clone())
        })
    }
}

impl Compute {
    /// Ends all calls here and waits for it, but not for long: before the runtime ends that they come from, and whose
    /// timers they use. For a thread that may block.
    pub fn shut_down(&self) {
        if let Some(runtime) = self.take_runtime() {
            runtime.shutdown_timeout(SHUTDOWN);
        }
    }

    fn take_runtime(&self) -> Option<Runtime> {
        self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Compute {
    fn drop(&mut self) {
        if let Some(runtime) = self.take_runtime() {
            // Who drops it may be on a thread that must not block.
            runtime.shutdown_background();
        }
    }
}

/// A call that runs. Dropped, it is ended: at once, or where it has moved to, when its guest next yields.
pub struct Run<F: Future>(Place<F>);

enum Place<F: Future> {
    Here(Call<F>, Handle),
    There(AbortOnDropHandle<F::Output>),
    /// It is over.
    Nowhere,
}

impl<F: Future> Run<F> {
    /// Ends it, and waits until it has ended.
    pub async fn stop(&mut self) {
        if let Place::There(task) = mem::replace(&mut self.0, Place::Nowhere) {
            task.abort();
            // How it ended is of no interest any more.
            let _ = task.await;
        }
    }
}

impl<F> Future for Run<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        self.0 = match mem::replace(&mut self.0, Place::Nowhere) {
            Place::Here(mut call, threads) => match call.poll(context) {
                Poll::Ready(output) => return Poll::Ready(output),
                Poll::Pending if call.has_computed_on => Place::There(call.move_to(&threads)),
                Poll::Pending => Place::Here(call, threads),
            },
            place => place,
        };
        let Place::There(task) = &mut self.0 else { return Poll::Pending };
        match ready!(Pin::new(task).poll(context)) {
            Ok(output) => {
                self.0 = Place::Nowhere;
                Poll::Ready(output)
            }
            Err(error) => {
                self.0 = Place::Nowhere;
                match error.try_into_panic() {
                    Ok(panic) => resume_unwind(panic),
                    // The threads are no more, and the process is about to end.
                    Err(_) => Poll::Pending,
                }
            }
        }
    }
}

struct Call<F> {
    future: Pin<Box<F>>,
    habit: Habit,
    meter: Arc<Meter>,
    activity: Arc<Activity>,
    has_computed_on: bool,
}

impl<F: Future> Call<F> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        let poll = self.future.as_mut().poll(context);
        if poll.is_ready() {
            self.habit.note(self.has_computed_on);
        } else if self.meter.computes_on() {
            self.has_computed_on = true;
            // Now, and not when it ends: whoever waits for it may leave.
            self.habit.note(true);
        }
        poll
    }
}

impl<F> Call<F>
where
    F: Future<Output: Send> + Send + 'static,
{
    fn move_to(self, threads: &Handle) -> AbortOnDropHandle<F::Output> {
        self.meter.set_moved(true);
        let home = Handle::try_current().ok();
        let counted = self.activity.move_call();
        AbortOnDropHandle::new(threads.spawn(Moved { call: Some(self), home, _counted: counted }))
    }
}

/// A call on one of those threads, polled and dropped as if in the runtime that it comes from: it has timers, sockets and
/// tasks there.
struct Moved<F> {
    /// None only while it is dropped.
    call: Option<Call<F>>,
    home: Option<Handle>,
    _counted: MovedCall,
}

impl<F: Future> Future for Moved<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { call, home, _counted } = &mut *self;
        let _inside = home.as_ref().map(Handle::enter);
        call.as_mut().map_or(Poll::Pending, |call| call.poll(context))
    }
}

impl<F> Drop for Moved<F> {
    fn drop(&mut self) {
        let _inside = self.home.as_ref().map(Handle::enter);
        drop(self.call.take());
    }
}

#[cfg(test)]
mod tests;
