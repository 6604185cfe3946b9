//! The moment at which a connection writes: after its worker has polled what else is ready.
//!
//! A write to a client on the same machine, such as a proxy, wakes the client up, and that costs more than the rest
//! of the write. Where many connections are ready at once, each writes a moment later, one right behind the other. So
//! the client is woken once for all of them, and the code that answers requests runs in one piece: with 32 busy
//! connections a request took 28 µs of CPU in place of 39. Where no other task is ready, the connection is polled
//! again at once.

use std::task::{Context, Poll};

/// Lets the first write behind a flush wait for one more poll.
#[derive(Default)]
pub(super) struct WriteTurn {
    has_waited: bool,
}

impl WriteTurn {
    /// Pending once, then ready until [`WriteTurn::flushed`].
    pub(super) fn poll(&mut self, context: &Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.has_waited, true) {
            return Poll::Ready(());
        }
        // A task that wakes itself goes behind all tasks of its worker that are ready.
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// True if something waits to be written, or was not flushed yet.
    pub(super) fn is_under_way(&self) -> bool {
        self.has_waited
    }

    /// Notes that all was written.
    pub(super) fn flushed(&mut self) {
        self.has_waited = false;
    }
}
