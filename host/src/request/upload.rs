//! A request's body on its way to a plugin that takes it as it comes.
//!
//! Owns the limit `request-body`, the client's deadlines of such a body, and the time that the plugin waited for the
//! client. Bytes that the plugin does not read are not read here either: hyper holds the client back.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::sync::Notify;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use super::error::MessageError;
use super::fields;
use super::service::Settings;
use crate::sandbox::BodyFault;

/// The bytes that a client must send for each second that the whole of a body may take longer. A body holds its
/// plugin's permit for as long as it comes.
const BYTES_FOR_ONE_MORE_SECOND: u64 = 64 << 10;

/// The shortest time between two checks of a `wall` that is put off.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// A request's body as the plugin reads it.
pub(super) struct Upload<B> {
    body: B,
    limit_bytes: u64,
    settings: Settings,
    taken_bytes: u64,
    /// Some while the next piece is awaited.
    deadline: Option<Pin<Box<Sleep>>>,
    is_begun: bool,
    is_over: bool,
    watch: UploadWatch,
}

/// The state of an upload for the task that waits for the plugin. Clones share it.
#[derive(Clone, Default)]
pub(super) struct UploadWatch(Arc<State>);

#[derive(Default)]
struct State {
    seen: Mutex<Seen>,
    faulted: Notify,
    decided: Notify,
}

#[derive(Default)]
struct Seen {
    waited: Duration,
    waiting: Option<Waiting>,
    fault: Option<BodyFault>,
    /// The plugin has asked for the body, or has let go of it.
    is_decided: bool,
}

struct Waiting {
    since: Instant,
    /// The part of the wait that is the client's doing, at most: a plugin that has begun to read need not go on.
    most: Duration,
}

impl Waiting {
    fn so_far(&self) -> Duration {
        self.since.elapsed().min(self.most)
    }
}

impl<B: Body<Data = Bytes> + Unpin> Upload<B> {
    /// The body under its limits. A body that states a larger length is refused before it is read.
    pub(super) fn new(
        body: B,
        limit_bytes: u64,
        settings: Settings,
    ) -> Result<(Self, UploadWatch), MessageError> {
        if body.size_hint().lower() > limit_bytes {
            return Err(MessageError::BodyTooLarge { limit_bytes });
        }
        let watch = UploadWatch::default();
        let upload = Self {
            body,
            limit_bytes,
            settings,
            taken_bytes: 0,
            deadline: None,
            is_begun: false,
            is_over: false,
            watch: watch.clone(),
        };
        Ok((upload, watch))
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<BodyFault> {
        if self.deadline.is_none() {
            let more = self.taken_bytes.checked_div(BYTES_FOR_ONE_MORE_SECOND).unwrap_or(0);
            let in_all = self.settings.whole_body_patience().saturating_add(Duration::from_secs(more));
            let left = in_all.saturating_sub(self.watch.waited()).min(self.settings.body_patience);
            self.watch.begin_waiting(left);
            self.deadline = Some(Box::pin(sleep(left)));
        }
        match &mut self.deadline {
            Some(deadline) => deadline.as_mut().poll(context).map(|()| BodyFault::TimedOut),
            None => Poll::Pending,
        }
    }

    fn check(&mut self, frame: &Frame<Bytes>) -> Result<(), BodyFault> {
        let Some(data) = frame.data_ref() else { return Ok(()) };
        let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.taken_bytes = self.taken_bytes.saturating_add(length);
        if self.taken_bytes > self.limit_bytes {
            return Err(BodyFault::TooLarge { limit_bytes: self.limit_bytes });
        }
        let waited = self.watch.waited();
        let due_bytes = self.settings.rate_bytes_per_second.saturating_mul(waited.as_secs());
        // One piece may take its whole patience, however small the piece is.
        if waited > self.settings.body_patience && self.taken_bytes < due_bytes {
            return Err(BodyFault::TimedOut);
        }
        Ok(())
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Upload<B> {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        let polled = Pin::new(&mut this.body).poll_frame(context);
        if !std::mem::replace(&mut this.is_begun, true) {
            // Only after the first poll of the body: that poll tells the client to go on.
            this.watch.decide();
        }
        let frame = match polled {
            Poll::Pending => match this.wait(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(fault) => Some(Err(fault)),
            },
            Poll::Ready(frame) => {
                this.deadline = None;
                this.watch.end_waiting();
                frame.map(|frame| {
                    let frame = frame.map_err(|_| BodyFault::BrokenOff)?;
                    this.check(&frame)?;
                    Ok(fields::without_misplaced_trailers(frame))
                })
            }
        };
        this.is_over = !matches!(frame, Some(Ok(_)));
        if let Some(Err(fault)) = &frame {
            this.watch.fault_seen(*fault);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }
}

impl UploadWatch {
    /// Ready once `wall` is over. The wall is put off by the time that is spent on waiting for the client.
    pub(super) async fn wall(&self, deadline: Instant) {
        loop {
            let now = Instant::now();
            let put_off = deadline.checked_add(self.waited()).unwrap_or(deadline);
            if put_off <= now {
                return;
            }
            let again = now.checked_add(LOOK_AGAIN).unwrap_or(put_off);
            sleep_until(put_off.max(again)).await;
        }
    }

    /// Ready once the body has a fault.
    pub(super) async fn fault(&self) -> BodyFault {
        loop {
            let faulted = self.0.faulted.notified();
            if let Some(fault) = self.fault_so_far() {
                return fault;
            }
            faulted.await;
        }
    }

    /// The body's fault, if one was seen.
    pub(super) fn fault_so_far(&self) -> Option<BodyFault> {
        self.seen().fault
    }

    /// Ready once the plugin has asked for the body, or has let go of it.
    pub(super) async fn decided(&self) {
        loop {
            let decided = self.0.decided.notified();
            if self.seen().is_decided {
                return;
            }
            decided.await;
        }
    }

    fn decide(&self) {
        self.seen().is_decided = true;
        self.0.decided.notify_waiters();
    }

    fn waited(&self) -> Duration {
        let seen = self.seen();
        seen.waited.saturating_add(seen.waiting.as_ref().map(Waiting::so_far).unwrap_or_default())
    }

    fn begin_waiting(&self, most: Duration) {
        self.seen().waiting = Some(Waiting { since: Instant::now(), most });
    }

    fn end_waiting(&self) {
        let mut seen = self.seen();
        if let Some(waiting) = seen.waiting.take() {
            seen.waited = seen.waited.saturating_add(waiting.so_far());
        }
    }

    fn fault_seen(&self, fault: BodyFault) {
        self.seen().fault = Some(fault);
        self.0.faulted.notify_waiters();
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the wait: a plugin may drop the body while it waits for it.
impl<B> Drop for Upload<B> {
    fn drop(&mut self) {
        self.watch.end_waiting();
        self.watch.decide();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;

    use super::*;

    #[test]
    fn a_client_that_sends_too_little_for_as_long_as_it_is_waited_for_is_too_slow() {
        let settings = Settings { body_patience: Duration::from_secs(30), rate_bytes_per_second: 240 };
        for (waited_s, came_before, is_too_slow) in [
            // However small it is, one piece may take its patience.
            (30, 0, false),
            (31, 0, true),
            (31, 7_400, false),
            (100, 23_000, true),
            (100, 24_000, false),
        ] {
            let (mut upload, watch) = Upload::new(Empty::new(), u64::MAX, settings).unwrap();
            upload.taken_bytes = came_before;
            watch.seen().waited = Duration::from_secs(waited_s);
            let checked = upload.check(&Frame::data(Bytes::from_static(&[0; 100])));
            let expected = if is_too_slow { Err(BodyFault::TimedOut) } else { Ok(()) };
            assert_eq!(checked, expected, "{came_before} bytes in {waited_s} s");
        }
    }
}
