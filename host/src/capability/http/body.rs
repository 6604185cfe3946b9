//! The bodies of outbound messages: requests from a plugin, and answers to it.
//!
//! Owns that both are counted as they pass, that a body which ends early is never taken for whole, and that
//! no pause of the server is longer than it may be. Leaves the budget to `budget`, and the wait for the
//! answer's head to `outbound`, to which the request's body tells how far it is.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::budget::OutboundBudget;
use super::error::OutboundError;
use super::fields;
use super::origin::Origin;

/// The body of a request, as a plugin gives it.
pub type RequestBody = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// The body of an answer. Its end is the answer's end; a body that breaks off ends with an error.
pub type ResponseBody = UnsyncBoxBody<Bytes, OutboundError>;

/// The state that the bodies of one request and its answer share. Its permit is given back when both bodies are gone,
/// because a server that answers early can keep the rest of the request waiting for long.
#[derive(Debug)]
pub(super) struct Exchange {
    pub(super) origin: Origin,
    pub(super) budget: Arc<OutboundBudget>,
    upload: Mutex<Upload>,
    _permit: OwnedSemaphorePermit,
}

#[derive(Debug, Clone)]
struct Upload {
    /// The time at which the plugin last gave a piece that was asked for, or the end.
    moved: Instant,
    /// True while a piece is asked for and has not come.
    waits_for_plugin: bool,
    /// The first failure of the request's body. hyper and h2 report such a failure as a reset of their own.
    failure: Option<OutboundError>,
}

impl Exchange {
    pub(super) fn new(origin: Origin, budget: Arc<OutboundBudget>, permit: OwnedSemaphorePermit) -> Self {
        let upload = Upload { moved: Instant::now(), waits_for_plugin: false, failure: None };
        Self { origin, budget, upload: Mutex::new(upload), _permit: permit }
    }

    /// The time at which the request's body last moved.
    pub(super) fn moved(&self) -> Instant {
        self.lock().moved
    }

    /// True if the request could go on if the plugin gave the next piece.
    pub(super) fn waits_for_plugin(&self) -> bool {
        self.lock().waits_for_plugin
    }

    /// The error that the exchange failed with: the failure of the request's body if there is one, or else what
    /// `error` of the libraries says.
    pub(super) fn failure(&self, error: &(dyn Error + 'static)) -> OutboundError {
        self.lock().failure.clone().unwrap_or_else(|| OutboundError::sort(&self.origin, error))
    }

    fn moves(&self) {
        let mut upload = self.lock();
        upload.moved = Instant::now();
        upload.waits_for_plugin = false;
    }

    fn fails(&self, error: OutboundError) -> OutboundError {
        self.lock().failure.get_or_insert(error).clone()
    }

    fn lock(&self) -> MutexGuard<'_, Upload> {
        self.upload.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's body while it is sent.
pub(super) struct SendingBody {
    inner: RequestBody,
    exchange: Arc<Exchange>,
    /// The rest of the length that the plugin stated.
    stated_left: Option<u64>,
}

impl SendingBody {
    pub(super) fn new(inner: RequestBody, exchange: Arc<Exchange>, stated: Option<u64>) -> Self {
        Self { inner, exchange, stated_left: stated }
    }

    /// Counts a frame, and checks the stated length against it.
    fn pass(&mut self, frame: Option<&Frame<Bytes>>) -> Result<(), OutboundError> {
        let wrong = |reason: &str| OutboundError::RequestBody {
            origin: self.exchange.origin.clone(),
            reason: reason.to_owned(),
        };
        if let Some(data) = frame.and_then(Frame::data_ref) {
            self.exchange.budget.take_bytes(data.len())?;
            let bytes = u64::try_from(data.len()).unwrap_or(u64::MAX);
            if let Some(left) = self.stated_left {
                let left = left.checked_sub(bytes).ok_or_else(|| wrong("it is longer than was stated"))?;
                self.stated_left = Some(left);
            }
        } else if self.stated_left.is_some_and(|left| left > 0) {
            return Err(wrong("it is shorter than was stated"));
        }
        Ok(())
    }
}

impl Body for SendingBody {
    type Data = Bytes;
    type Error = OutboundError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OutboundError>>> {
        let Poll::Ready(next) = Pin::new(&mut self.inner).poll_frame(context) else {
            self.exchange.lock().waits_for_plugin = true;
            return Poll::Pending;
        };
        self.exchange.moves();
        let passed = match &next {
            Some(Err(error)) => {
                let origin = self.exchange.origin.clone();
                Err(OutboundError::RequestBody { origin, reason: error.to_string() })
            }
            Some(Ok(frame)) => self.pass(Some(frame)),
            None => self.pass(None),
        };
        Poll::Ready(match (passed, next) {
            (Err(error), _) => Some(Err(self.exchange.fails(error))),
            (Ok(()), Some(Ok(mut frame))) => {
                if let Some(trailers) = frame.trailers_mut() {
                    fields::take_out_those_of_the_connection(trailers);
                }
                Some(Ok(frame))
            }
            (Ok(()), _) => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.stated_left.unwrap_or(0) == 0
    }

    fn size_hint(&self) -> SizeHint {
        self.stated_left.map_or_else(|| self.inner.size_hint(), SizeHint::with_exact)
    }
}

/// An answer's body while it is received.
pub(super) struct ReceivingBody {
    /// The body from hyper; none once it has ended.
    inner: Option<Incoming>,
    exchange: Arc<Exchange>,
    protocol: Protocol,
    between_bytes: Duration,
    /// The pause timer. It runs while the server is waited for, and not while the plugin takes its time.
    pause: Option<Pin<Box<Sleep>>>,
}

/// The protocol's rule for a complete body.
enum Protocol {
    /// The end that hyper reports is the end of the message.
    Http1,
    /// hyper 1.12 reports a stream that is reset with `NO_ERROR` as ended, wherever it is (a server may end a request
    /// in this way after it has answered, RFC 9113 §8.1). So only an end of stream or the stated length counts.
    Http2,
}

impl ReceivingBody {
    pub(super) fn new(
        inner: Incoming,
        version: http::Version,
        exchange: Arc<Exchange>,
        between_bytes: Duration,
    ) -> Self {
        let protocol = if version == http::Version::HTTP_2 { Protocol::Http2 } else { Protocol::Http1 };
        Self { inner: Some(inner), exchange, protocol, between_bytes, pause: None }
    }

    /// Turns a frame or an end from hyper into the frame for the plugin; after an error, nothing follows.
    fn give(
        &mut self,
        next: Option<Result<Frame<Bytes>, hyper::Error>>,
    ) -> Option<Result<Frame<Bytes>, OutboundError>> {
        let given = match next {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    fields::take_out_those_of_the_connection(trailers);
                }
                let counted = self.exchange.budget.take_bytes(frame.data_ref().map_or(0, Bytes::len));
                Some(counted.map(|()| frame))
            }
            // After any error, the body counts as broken off.
            Some(Err(error)) => Some(Err(match self.exchange.failure(&error) {
                OutboundError::HttpProtocol { origin, reason } => {
                    OutboundError::ConnectionTerminated { origin, reason }
                }
                failure => failure,
            })),
            None if self.is_whole() => None,
            None => Some(Err(OutboundError::ConnectionTerminated {
                origin: self.exchange.origin.clone(),
                reason: "it reset the stream before the end of the body".to_owned(),
            })),
        };
        if !matches!(given, Some(Ok(_))) {
            self.inner = None;
        }
        given
    }

    fn is_whole(&self) -> bool {
        let ended = |body: &Incoming| body.is_end_stream() || body.size_hint().exact() == Some(0);
        matches!(self.protocol, Protocol::Http1) || self.inner.as_ref().is_none_or(ended)
    }
}

impl Body for ReceivingBody {
    type Data = Bytes;
    type Error = OutboundError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OutboundError>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(next) = Pin::new(inner).poll_frame(context) {
            self.pause = None;
            return Poll::Ready(self.give(next));
        }
        let between_bytes = self.between_bytes;
        let pause = self.pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(between_bytes)));
        if pause.as_mut().poll(context).is_pending() {
            return Poll::Pending;
        }
        self.inner = None;
        let origin = self.exchange.origin.clone();
        Poll::Ready(Some(Err(OutboundError::BetweenBytesTimeout { origin })))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}
