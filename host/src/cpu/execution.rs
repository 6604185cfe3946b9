//! The thread on which a call runs: the thread that polls it, or a thread of the background once its guest computes
//! on.

use std::mem;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

use super::task::CpuTask;
use super::ticker::MovedCall;

impl CpuTask {
    /// Runs the call where it is polled, and in the background once its guest computes on. If its plugin's habit says
    /// so, the call begins in the background. `holds` is kept until the call is gone, also when nobody waits for it
    /// any more.
    pub fn run<F, H>(&self, call: F, holds: H) -> Execution<F, H>
    where
        F: Future<Output: Send> + Send + 'static,
        H: Send + Unpin + 'static,
    {
        let call = Call { future: Box::pin(call), holds, task: self.clone(), has_computed_on: false };
        Execution(if self.habit().begins_in_background() {
            Location::Background(call.move_to_background())
        } else {
            Location::Home(call)
        })
    }
}

/// A call that runs. Its output is the call's, together with what the call held. If it is dropped, the call is ended:
/// at once, or in the background when its guest next yields.
pub struct Execution<F: Future, H>(Location<F, H>);

enum Location<F: Future, H> {
    Home(Call<F, H>),
    Background(AbortOnDropHandle<(F::Output, H)>),
    /// The call is over.
    Nowhere,
}

/// A call and what it holds. The future is dropped before `holds`.
struct Call<F, H> {
    future: Pin<Box<F>>,
    holds: H,
    task: CpuTask,
    has_computed_on: bool,
}

impl<F: Future, H> Execution<F, H> {
    /// Ends the call, and waits until it has ended.
    pub async fn stop(&mut self) {
        if let Location::Background(task) = mem::replace(&mut self.0, Location::Nowhere) {
            task.abort();
            // The call's result is of no interest any more.
            let _ = task.await;
        }
    }
}

impl<F, H> Future for Execution<F, H>
where
    F: Future<Output: Send> + Send + 'static,
    H: Send + Unpin + 'static,
{
    type Output = (F::Output, H);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if let Location::Home(call) = &mut self.0 {
            let poll = call.poll(context);
            if poll.is_pending() && !call.has_computed_on {
                return Poll::Pending;
            }
            let Location::Home(call) = mem::replace(&mut self.0, Location::Nowhere) else {
                return Poll::Pending;
            };
            match poll {
                Poll::Ready(output) => return Poll::Ready((output, call.holds)),
                Poll::Pending => self.0 = Location::Background(call.move_to_background()),
            }
        }
        let Location::Background(task) = &mut self.0 else { return Poll::Pending };
        let ended = ready!(Pin::new(task).poll(context));
        self.0 = Location::Nowhere;
        match ended.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(output) => Poll::Ready(output),
            Err(Ok(panic)) => resume_unwind(panic),
            // The background has been shut down, and the process is about to end.
            Err(Err(_)) => Poll::Pending,
        }
    }
}

impl<F: Future, H> Call<F, H> {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<F::Output> {
        let poll = self.future.as_mut().poll(context);
        if poll.is_pending() {
            if self.task.computes_on() {
                self.has_computed_on = true;
                self.task.habit().computes_on();
            }
        } else if self.has_computed_on {
            self.task.habit().computes_on();
        } else {
            self.task.habit().was_short();
        }
        poll
    }
}

impl<F, H> Call<F, H>
where
    F: Future<Output: Send> + Send + 'static,
    H: Send + Unpin + 'static,
{
    fn move_to_background(self) -> AbortOnDropHandle<(F::Output, H)> {
        let scheduler = self.task.scheduler().clone();
        let counted = scheduler.activity().move_call();
        let moved = BackgroundCall { call: Some(self), home: Handle::try_current().ok(), _counted: counted };
        AbortOnDropHandle::new(scheduler.background().threads().spawn(moved))
    }
}

/// A call in the background. It is polled and dropped inside the runtime that it comes from, so it has timers,
/// sockets and tasks there.
struct BackgroundCall<F, H> {
    /// None once the call is over.
    call: Option<Call<F, H>>,
    home: Option<Handle>,
    _counted: MovedCall,
}

impl<F: Future, H: Unpin> Future for BackgroundCall<F, H> {
    type Output = (F::Output, H);

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { call, home, _counted } = &mut *self;
        let _inside = home.as_ref().map(Handle::enter);
        let Some(running) = call else { return Poll::Pending };
        let output = ready!(running.poll(context));
        call.take().map_or(Poll::Pending, |call| Poll::Ready((output, call.holds)))
    }
}

impl<F, H> Drop for BackgroundCall<F, H> {
    fn drop(&mut self) {
        let _inside = self.home.as_ref().map(Handle::enter);
        drop(self.call.take());
    }
}

#[cfg(test)]
mod tests;
