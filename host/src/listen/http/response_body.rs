//! The body of a response, and its pace.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};

use super::activity::{Event, RequestInFlight};
use crate::listen::socket::{Pace, WireCommand};
use crate::request::AnswerBody;

/// The largest last piece of a response over HTTP/2 of which no byte is kept back: h2 takes a whole piece as soon as
/// the client has room for one byte of it, and with the body's end the response's deadlines and permits would be
/// gone.
const LAST_PIECE_BYTES: usize = 1 << 10;

type BrokenOff = <AnswerBody as Body>::Error;

/// A response's body, which reports whether the client takes it.
pub(super) struct ResponseBody {
    body: AnswerBody,
    request: RequestInFlight,
    version: Version,
    /// The pace of a response over HTTP/2; the wire has the pace of one over HTTP/1.
    pace: Option<Pace>,
    /// The last byte of a response over HTTP/2.
    last: Option<Bytes>,
}

impl ResponseBody {
    pub(super) fn new(
        body: AnswerBody,
        request: RequestInFlight,
        version: Version,
        rate_bytes_per_second: u64,
    ) -> Self {
        let pace = (version == Version::HTTP_2)
            .then(|| Pace::new(rate_bytes_per_second, request.activity().wire.signs().written_bytes));
        let response = Self { body, request, version, pace, last: None };
        if !response.body.is_end_stream() {
            response.offer();
        }
        response
    }

    /// Notes that the client is waited for.
    fn offer(&self) {
        if self.pace.is_some() {
            self.request.activity().offer(self.request.number());
        }
    }

    /// Notes that the client is no longer waited for.
    fn withdraw(&mut self) {
        let Some(pace) = &mut self.pace else { return };
        let since = self.request.activity().withdraw(self.request.number());
        // If the client takes others of its responses instead, that is its choice.
        if since.is_some_and(|since| {
            pace.is_too_slow(since.elapsed(), self.request.activity().wire.signs().written_bytes)
        }) {
            self.request.activity().report(Event::Stalled);
        }
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Some(last) = self.last.take() {
            return Poll::Ready(Some(Ok(Frame::data(last))));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if self.pace.is_none() || !self.body.is_end_stream() {
            return Poll::Ready(frame);
        }
        Poll::Ready(frame.map(|frame| {
            frame.map(|frame| {
                frame.map_data(|mut data| {
                    if data.len() > LAST_PIECE_BYTES {
                        self.last = Some(data.split_off(data.len().saturating_sub(1)));
                    }
                    data
                })
            })
        }))
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if self.pace.is_some() {
            self.request.activity().withdraw(self.request.number());
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        self.withdraw();
        let frame = self.poll_body(context);
        match &frame {
            Poll::Ready(Some(Ok(_))) => {
                self.request.activity().report(Event::ResponseTaken);
                self.offer();
            }
            Poll::Ready(Some(Err(_))) if self.version == Version::HTTP_10 => {
                self.request.activity().wire.command(WireCommand::Reset);
            }
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.last.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if let Some(last) = &self.last {
            return SizeHint::with_exact(u64::try_from(last.len()).unwrap_or(u64::MAX));
        }
        self.body.size_hint()
    }
}
