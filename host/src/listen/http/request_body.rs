//! The body of a request, and the unread rest of it when its request is answered early.
//!
//! Owns how much of an unread rest is still read, and whether the connection is kept after it. Over HTTP/1 the next
//! request begins after the rest. So a short rest is read and the connection kept; before a longer rest, or one of
//! unknown length, the response says that the connection is closed (RFC 9112 §9.6), and the wire reads on while it
//! closes. Over HTTP/2 a stream whose body is dropped is reset, which RFC 9113 §8.1 allows, but clients that still
//! send take the reset for the response: so the rest is read on for a while.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Version, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::timeout;

use crate::listen::bounds::{LINGER, MAX_DRAINED_BYTES};
use crate::listen::socket::{WireCommand, WireHandle};

/// A request's body, which notes how far it was read, and whether it was dropped before its end.
pub(super) struct RequestBody {
    /// The body; none once it was dropped.
    body: Option<Incoming>,
    /// The unread part; none if there is no body.
    unread: Option<Arc<UnreadBody>>,
}

/// The part of a body that has not been read.
pub(super) struct UnreadBody {
    wire: Arc<WireHandle>,
    version: Version,
    /// True if the client sends the body only after a `100 Continue` (RFC 9110 §10.1.1).
    asks_first: bool,
    /// The longest time in which a short rest comes.
    patience: Duration,
    /// The runtime of the connection: a guest drops a body on a thread of its own, which has no runtime.
    runtime: Handle,
    state: Mutex<State>,
}

struct State {
    rest: Rest,
    /// True if a part of the body was asked for, upon which the client is told to continue.
    is_begun: bool,
    holder: Holder,
}

/// The length of the part that has not been read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rest {
    Nothing,
    Bytes(u64),
    Unknown,
    /// The body broke off: nothing comes after it.
    Broken,
}

/// The holder of a body.
enum Holder {
    /// The request, or the plugin that answers it.
    Reader,
    /// No reader, and no response yet.
    Nobody(Incoming),
    /// A response has begun, which says that the connection is closed unless it is kept. A plugin may still have the
    /// body.
    Answered { is_kept: bool },
}

impl RequestBody {
    /// The body of `request`, and its unread part if there is one.
    pub(super) fn of(
        request: Request<Incoming>,
        wire: &Arc<WireHandle>,
        patience: Duration,
    ) -> (Request<Self>, Option<Arc<UnreadBody>>) {
        let (head, body) = request.into_parts();
        let is_empty = body.is_end_stream();
        wire.command(if is_empty { WireCommand::CloseAtOnce } else { WireCommand::CloseLingering });
        let unread = (!is_empty).then(|| {
            Arc::new(UnreadBody {
                wire: wire.clone(),
                version: head.version,
                asks_first: head.headers.contains_key(header::EXPECT),
                patience,
                runtime: Handle::current(),
                state: Mutex::new(State { rest: Rest::of(&body), is_begun: false, holder: Holder::Reader }),
            })
        });
        let upload = Self { body: Some(body), unread: unread.clone() };
        (Request::from_parts(head, upload), unread)
    }
}

impl Rest {
    fn of(body: &Incoming) -> Self {
        match body.size_hint().exact() {
            _ if body.is_end_stream() => Self::Nothing,
            Some(bytes) => Self::Bytes(bytes),
            None => Self::Unknown,
        }
    }

    fn is_short(self) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes <= MAX_DRAINED_BYTES)
    }
}

impl UnreadBody {
    /// Notes that a response begins. `is_last` is true if the connection is closed in any case. Returns true if the
    /// connection can be kept; if not, the response has to say so. A plugin that still has the body may read on or
    /// not: that is not waited for.
    pub(super) fn answered(self: &Arc<Self>, is_last: bool) -> bool {
        let mut state = self.state();
        let rest = state.rest;
        let is_kept = match rest {
            _ if self.version == Version::HTTP_2 => true,
            Rest::Nothing => true,
            // The body may come or not, so the start of the next request is unknown.
            _ if self.asks_first && !state.is_begun => false,
            _ => rest.is_short() && !is_last,
        };
        let holder = std::mem::replace(&mut state.holder, Holder::Answered { is_kept });
        drop(state);
        if let Holder::Nobody(body) = holder
            && is_kept
        {
            self.drain(body, rest);
        }
        is_kept
    }

    /// Notes that the body was dropped by its reader.
    fn dropped(self: &Arc<Self>, body: Incoming) {
        let mut state = self.state();
        let rest = state.rest;
        match state.holder {
            _ if matches!(rest, Rest::Nothing | Rest::Broken) => {}
            Holder::Reader | Holder::Nobody(_) => state.holder = Holder::Nobody(body),
            Holder::Answered { is_kept } => {
                drop(state);
                if is_kept {
                    self.drain(body, rest);
                }
            }
        }
    }

    /// Reads on for a while. A body that is dropped before its end closes its connection, or resets its stream.
    fn drain(self: &Arc<Self>, mut body: Incoming, rest: Rest) {
        let whole = if rest.is_short() { self.patience } else { LINGER };
        let unread = self.clone();
        let read_on = async move {
            while let Ok(frame) = timeout(LINGER, body.frame()).await {
                unread.has_read(&body, frame.as_ref());
                if !matches!(frame, Some(Ok(_))) {
                    break;
                }
            }
        };
        drop(self.runtime.spawn(timeout(whole, read_on)));
    }

    fn has_read(&self, body: &Incoming, frame: Option<&Result<Frame<Bytes>, hyper::Error>>) {
        let rest = match frame {
            None => Rest::Nothing,
            Some(Err(_)) => Rest::Broken,
            Some(Ok(frame)) if frame.is_trailers() => Rest::Nothing,
            Some(Ok(_)) => Rest::of(body),
        };
        self.state().rest = rest;
        if rest == Rest::Nothing {
            self.wire.command(WireCommand::CloseAtOnce);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let Self { body: Some(body), unread } = &mut *self else { return Poll::Ready(None) };
        let frame = Pin::new(&mut *body).poll_frame(context);
        if let Some(unread) = unread {
            unread.state().is_begun = true;
            if let Poll::Ready(frame) = &frame {
                unread.has_read(body, frame.as_ref());
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if let (Some(body), Some(unread)) = (self.body.take(), &self.unread) {
            unread.dropped(body);
        }
    }
}
