//! The scheduler of one host: its turns, its threads and its ticks, from start to end.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;

use super::background::Background;
use super::clock;
use super::queue::RunQueue;
use super::ticker::{Activity, Ticker};

/// A reason why there is no scheduler.
#[derive(Debug, thiserror::Error)]
pub enum SchedulerError {
    /// The system does not tell the CPU that guests use.
    #[error(
        "cannot read the clock of a thread's CPU time (clock_gettime): {0}; without it no guest has a limit: permit it"
    )]
    Clock(io::Error),
    /// No thread could be started.
    #[error(
        "cannot start the threads that run and tick guests: raise `LimitNPROC=` (`ulimit -u`) and `TasksMax=`"
    )]
    Threads(#[source] io::Error),
}

/// The scheduler of one host. Clones are the same scheduler.
#[derive(Clone)]
pub struct Scheduler(Arc<Parts>);

struct Parts {
    queue: RunQueue,
    activity: Arc<Activity>,
    background: Background,
    _ticker: Ticker,
}

impl Scheduler {
    /// A scheduler of this many turns at once. Each thread on which guests compute runs `on_thread_start`. The
    /// ticker's thread runs `on_tick` at each tick, until it breaks: `on_tick` makes each guest that runs call
    /// [`CpuTask::tick`](super::CpuTask::tick) soon.
    pub fn start(
        turns: usize,
        on_thread_start: fn(),
        on_tick: impl FnMut() -> ControlFlow<()> + Send + 'static,
    ) -> Result<Self, SchedulerError> {
        clock::check().map_err(SchedulerError::Clock)?;
        let activity = Arc::<Activity>::default();
        let background = Background::start(on_thread_start).map_err(SchedulerError::Threads)?;
        let mut watch = background.watch();
        let ticker = Ticker::start(activity.clone(), move |now| watch.look(now), on_tick);
        let _ticker = ticker.map_err(SchedulerError::Threads)?;
        Ok(Self(Arc::new(Parts { queue: RunQueue::new(turns), activity, background, _ticker })))
    }

    pub(super) fn queue(&self) -> &RunQueue {
        &self.0.queue
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.0.activity
    }

    pub(super) fn background(&self) -> &Background {
        &self.0.background
    }

    /// True if the kernel lets threads be in the background, and come back from there.
    pub fn has_background(&self) -> bool {
        self.0.background.can_come_back()
    }

    /// Ends all calls in the background, and waits a short time for their end. It is called before the end of the
    /// runtime that these calls come from, whose timers they use, and on a thread that may block.
    pub fn shut_down(&self) {
        self.0.background.shut_down();
    }
}
