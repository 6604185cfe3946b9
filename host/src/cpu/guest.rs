//! A call's guest: polled in turns, billed, paused where it can wait.
//!
//! A call has one budget until its answer's head. Once it streams it has as much again for each second: a stream that
//! is ahead of its budget is paced, since the client as well decides how fast a body moves. But a stretch of
//! computing without any waiting may never be longer than one budget, paced or not.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

use super::queue::{CpuTurn, RunQueue, TurnRequest, TurnWaiter};
use super::task::CpuTask;

/// The longest pause of a stream that waits for its tenant's quota: the quota may be raised meanwhile.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A guest that computes in turns. If it is polled out of turn, it computes nothing, and its waker is with the thing
/// that it waits for: the queue, the pause, or the guest's own future. The futures around it, such as its deadline,
/// wait for no turn.
pub struct Guest<F: ?Sized> {
    task: CpuTask,
    state: State,
    /// None until the call streams.
    streaming: Option<Streaming>,
    /// The CPU that the call had used when its present budget began: zero until it streams, then its use when it last
    /// waited.
    budget_from_ns: u64,
    /// None once the guest is done.
    future: Option<Pin<Box<F>>>,
}

enum State {
    /// The guest waits for something else than the CPU. When it is polled, it asks for a turn.
    Waiting,
    /// The guest waits for its turn.
    Queued(Arc<TurnWaiter>),
    /// The guest streams, and waits for its budget or its tenant's quota.
    Paused(Pin<Box<Sleep>>),
    /// The guest is polled. A guest that is done has its last turn until its end is billed.
    InTurn(CpuTurn),
    Ended,
}

/// The moment at which an answer's head was set.
struct Streaming {
    since: Instant,
    /// The CPU that the call had used at `since`.
    used_ns: u64,
}

impl CpuTask {
    /// The call's guest. A call has one guest.
    pub fn guest<F: ?Sized>(&self, guest: Pin<Box<F>>) -> Guest<F> {
        let (state, streaming) = (State::Waiting, None);
        Guest { task: self.clone(), state, streaming, budget_from_ns: 0, future: Some(guest) }
    }
}

impl<F: ?Sized> Guest<F> {
    /// Notes that the call streams from now on. Called once, for an answer has one head.
    pub fn begin_streaming(&mut self) {
        let used_ns = self.task.used_ns();
        self.budget_from_ns = used_ns;
        self.streaming = Some(Streaming { since: Instant::now(), used_ns });
    }

    /// Does the work that ends the call, and bills it: in the last turn of a guest that is done.
    pub fn finish<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let stopwatch = self.task.stopwatch();
        let done = work();
        drop(stopwatch);
        self.go_to(State::Ended);
        done
    }

    /// The wait of a stream that is ahead of its budget, or whose tenant has used up its quota.
    fn pause(&self) -> Option<Duration> {
        let streaming = self.streaming.as_ref()?;
        let ahead = streaming.ahead(self.task.used_ns(), self.task.budget_ns());
        ahead.or_else(|| Some(self.task.account().overdrawn()?.min(LONGEST_PAUSE)))
    }

    /// Leads the guest to a turn, by its pause and the queue. A turn that was waited for is taken even if a pause is
    /// due.
    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            self.state = match &mut self.state {
                State::InTurn(_) => return Poll::Ready(()),
                State::Ended => return Poll::Pending,
                State::Waiting => match self.pause() {
                    Some(pause) => State::Paused(Box::pin(sleep(pause))),
                    None => self.ask_for_turn(context),
                },
                State::Paused(pause) => {
                    ready!(pause.as_mut().poll(context));
                    State::Waiting
                }
                State::Queued(waiter) => {
                    if !waiter.is_granted(context) {
                        return Poll::Pending;
                    }
                    State::InTurn(CpuTurn::Usual)
                }
            };
        }
    }

    fn ask_for_turn(&self, context: &Context<'_>) -> State {
        if self.queue().take_free() {
            return State::InTurn(CpuTurn::Usual);
        }
        match self.queue().take_or_wait(self.task.account(), self.request(), context) {
            Ok(turn) => State::InTurn(turn),
            Err(waiter) => State::Queued(waiter),
        }
    }

    /// Gives the guest's turn back. A guest that was made to yield in a usual turn first joins the queue for its next
    /// turn.
    fn end_turn(&mut self, context: &Context<'_>) {
        let mut next = State::Waiting;
        if !self.task.computes_on() {
            if self.streaming.is_some() {
                self.budget_from_ns = self.task.used_ns();
            }
        } else if matches!(self.state, State::InTurn(CpuTurn::Usual)) && self.pause().is_none() {
            let waiter = self.queue().wait_again(self.task.account(), self.request(), context);
            next = waiter.map_or(State::Waiting, State::Queued);
        }
        self.go_to(next);
    }

    /// Leaves the present state, and gives back the turn or the place in the queue that belongs to it.
    fn go_to(&mut self, next: State) {
        match mem::replace(&mut self.state, next) {
            State::InTurn(turn) => self.queue().give_back(self.task.account(), turn),
            State::Queued(waiter) => self.queue().give_up(self.task.account(), &waiter),
            State::Waiting | State::Paused(_) | State::Ended => {}
        }
    }

    fn queue(&self) -> &RunQueue {
        self.task.scheduler().queue()
    }

    fn request(&self) -> TurnRequest {
        TurnRequest { used_ns: self.task.used_ns(), has_moved: self.task.is_in_background() }
    }
}

impl Streaming {
    /// The wait of a call for its next budget, if it has used more than its budgets so far.
    fn ahead(&self, used_ns: u64, budget_ns: u64) -> Option<Duration> {
        // Each second begun brings one budget.
        let seconds = used_ns.saturating_sub(self.used_ns).checked_div(budget_ns)?;
        let until = self.since.checked_add(Duration::from_secs(seconds))?;
        Some(until.saturating_duration_since(Instant::now())).filter(|wait| !wait.is_zero())
    }
}

impl<F: Future + ?Sized> Future for Guest<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        this.task.begin_poll();
        ready!(this.poll_turn(context));
        let Some(future) = &mut this.future else { return Poll::Pending };
        let stopwatch = this.task.enter(this.budget_from_ns);
        let is_running = this.task.scheduler().activity().run();
        let poll = future.as_mut().poll(context);
        drop(is_running);
        if poll.is_ready() {
            this.future = None;
        }
        drop(stopwatch);
        if poll.is_pending() {
            this.end_turn(context);
        }
        poll
    }
}

impl<F: ?Sized> Drop for Guest<F> {
    fn drop(&mut self) {
        if let Some(future) = self.future.take() {
            let stopwatch = self.task.stopwatch();
            drop(future);
            drop(stopwatch);
        }
        self.go_to(State::Ended);
    }
}

#[cfg(test)]
mod tests;
