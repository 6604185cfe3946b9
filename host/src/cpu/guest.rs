//! A call's guest: polled in turns, billed, paused where it can wait.
//!
//! A call has one budget until its answer's head. Once it streams it has as much again for each second: one that is ahead of
//! it is paced, since how fast a body moves is its client's choice as well. But a stretch of computing without any waiting
//! may never be longer than one budget, paced or not.

use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use tokio::time::{Sleep, sleep};

use super::queue::{CpuTurn, RunQueue, TurnRequest, Waiter};
use super::task::CpuTask;

/// A stream that waits for its tenant's quota looks at it again so soon: it may be raised.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A guest that computes in turns. Polled out of turn it computes nothing, and its waker is with whatever it waits for: the
/// queue, its pause, or what it waits for itself. What is around it, such as its deadline, waits for no turn.
pub struct Guest<F: ?Sized> {
    task: CpuTask,
    state: State,
    /// None until it streams.
    streaming: Option<Streaming>,
    /// CPU that the call had used when its present budget began: none until it streams, then as much as when it last
    /// waited.
    budget_from_ns: u64,
    /// None once it is done.
    future: Option<Pin<Box<F>>>,
}

enum State {
    /// It waits for something else than the CPU. Polled, it asks for a turn.
    Waiting,
    /// It waits for its turn.
    Queued(Arc<Waiter>),
    /// It streams, and waits for its budget or its tenant's quota.
    Paused(Pin<Box<Sleep>>),
    /// It is polled. One that is done has its last turn until its end is billed.
    InTurn(CpuTurn),
    Ended,
}

/// The moment at which an answer's head was set.
struct Streaming {
    since: Instant,
    /// CPU that the call had used by then.
    used_ns: u64,
}

impl CpuTask {
    /// The call's guest, of which there is one.
    pub fn guest<F: ?Sized>(&self, guest: Pin<Box<F>>) -> Guest<F> {
        let (state, streaming) = (State::Waiting, None);
        Guest { task: self.clone(), state, streaming, budget_from_ns: 0, future: Some(guest) }
    }
}

impl<F: ?Sized> Guest<F> {
    /// From now on the call streams. An answer has one head: it is called once.
    pub fn begin_streaming(&mut self) {
        let used_ns = self.task.used_ns();
        self.budget_from_ns = used_ns;
        self.streaming = Some(Streaming { since: Instant::now(), used_ns });
    }

    /// Does what ends the call, and bills it: in the last turn of a guest that is done.
    pub fn finish<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let stopwatch = self.task.stopwatch();
        let done = work();
        drop(stopwatch);
        self.go_to(State::Ended);
        done
    }

    /// The time that a stream has to wait which is ahead of its budget, or whose tenant is of its quota.
    fn pause(&self) -> Option<Duration> {
        let streaming = self.streaming.as_ref()?;
        let ahead = streaming.ahead(self.task.used_ns(), self.task.budget_ns());
        ahead.or_else(|| Some(self.task.account().overdrawn()?.min(LONGEST_PAUSE)))
    }

    /// Leads it to a turn, by its pause and the queue. A turn that was waited for is taken, paused or not.
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

    /// Gives its turn back. One that was made to yield in a usual turn waits for its next one before that.
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

    /// Leaves the state that it is in, and gives back what it has there.
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
    /// The time that a call has to wait for its next budget, if it has used more than was its so far.
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
