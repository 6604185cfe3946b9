//! Signs of life: what requests and their bodies tell of the connection that they are on.
//!
//! Owns what is counted and noted; what is made of it, and when, is for `connection`.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::pace::Pace;
use super::socket::Orders;
use crate::request::{AnswerBody, MessageError};

/// One connection's signs of life.
pub(super) struct Life {
    began: Instant,
    /// Requests begun.
    begun: AtomicU64,
    /// Of them, those whose answer's last piece was taken, or that were given up.
    ended: AtomicU64,
    /// When the last of them ended, or something of an answer was taken, in nanoseconds since the connection began: the
    /// end of an answer outlives its request.
    active_at: AtomicU64,
    written_bytes: AtomicU64,
    /// When the head began that is not yet whole, likewise; `NOT` if there is none.
    head_since: AtomicU64,
    /// Answers over HTTP/2 of which the next piece may be taken, and since when: a client that opens no window
    /// stalls one, and no socket tells.
    offered: Mutex<BTreeMap<u64, Instant>>,
    /// The request of HTTP/1 that is none, by its number, and why.
    refused: OnceLock<(u64, MessageError)>,
    /// Whether nothing of a request has come that is not whole. Of HTTP/2 only its library knows.
    pub(super) is_between: AtomicBool,
    pub(super) is_http2: AtomicBool,
    /// Whether its client takes less of an answer than it must, or nothing.
    pub(super) is_stalled: AtomicBool,
    /// Whether a write waits for the client to take something.
    pub(super) is_write_waiting: AtomicBool,
    /// Whether the answers that come are the last.
    pub(super) is_last: AtomicBool,
    /// Whether a head that is not yet whole is to be refused.
    pub(super) head_is_late: AtomicBool,
    /// Whether its client sent more frames that ask for nothing than it may.
    pub(super) is_flooded: AtomicBool,
    /// Whether the last request has not been read to its end.
    pub(super) has_unread: Arc<AtomicBool>,
    pub(super) orders: Arc<Orders>,
}

/// No time of a connection.
const NOT: u64 = u64::MAX;

impl Life {
    pub(super) fn new(orders: Arc<Orders>) -> Self {
        Self {
            began: Instant::now(),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            active_at: AtomicU64::new(0),
            written_bytes: AtomicU64::new(0),
            head_since: AtomicU64::new(NOT),
            offered: Mutex::default(),
            refused: OnceLock::new(),
            is_between: AtomicBool::new(true),
            is_http2: AtomicBool::new(false),
            is_stalled: AtomicBool::new(false),
            is_write_waiting: AtomicBool::new(false),
            is_last: AtomicBool::new(false),
            head_is_late: AtomicBool::new(false),
            is_flooded: AtomicBool::new(false),
            has_unread: Arc::default(),
            orders,
        }
    }

    /// When it began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Since when there is no request; none if there is one, or a body that its answer did not wait for.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let is_idle = !self.is_under_way() && self.is_between.load(Ordering::Relaxed);
        is_idle.then(|| self.at(self.active_at.load(Ordering::Relaxed)))
    }

    /// The client has taken so much, of whatever it is. Over HTTP/2 that may be a PING, and no sign of a request.
    pub(super) fn wrote(&self, bytes: usize) {
        self.written_bytes.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Ordering::Relaxed);
        if !self.is_http2.load(Ordering::Relaxed) {
            self.took();
        }
    }

    /// What the client has taken so far.
    pub(super) fn written_bytes(&self) -> u64 {
        self.written_bytes.load(Ordering::Relaxed)
    }

    /// The client has taken something of an answer.
    fn took(&self) {
        self.active_at.store(self.now(), Ordering::Relaxed);
    }

    /// The client takes too little of an answer, or nothing.
    pub(super) fn stalls(&self) {
        self.is_stalled.store(true, Ordering::Relaxed);
    }

    /// Whether there is a request of which the answer is not finished.
    pub(super) fn is_under_way(&self) -> bool {
        let [begun, ended] = [&self.begun, &self.ended].map(|count| count.load(Ordering::Acquire));
        begun != ended
    }

    /// How many of its requests were answered, or given up.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// How many requests there were yet.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// Since when a head has been coming; none if none is.
    pub(super) fn head_since(&self) -> Option<Instant> {
        let since = self.head_since.load(Ordering::Relaxed);
        (since != NOT).then(|| self.at(since))
    }

    /// A head has begun to come.
    pub(super) fn head_begins(&self) {
        if self.head_since.load(Ordering::Relaxed) == NOT {
            self.head_since.store(self.now(), Ordering::Relaxed);
        }
    }

    /// It is whole, or refused.
    pub(super) fn head_ends(&self) {
        self.head_since.store(NOT, Ordering::Relaxed);
    }

    /// Since when the answer has been offered that has been for longest.
    pub(super) fn offered_since(&self) -> Option<Instant> {
        self.offered().values().min().copied()
    }

    /// The request of this number, counted from 0, is none.
    pub(super) fn refuse(&self, number: u64, why: MessageError) {
        // There is one at most: nothing is read behind it.
        let _ = self.refused.set((number, why));
    }

    /// Why the request of this number is none, if it is.
    pub(super) fn refusal_of(&self, number: u64) -> Option<&MessageError> {
        self.refused.get().filter(|(refused, _)| *refused == number).map(|(_, why)| why)
    }

    fn offered(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(NOT)
    }

    fn at(&self, nanoseconds: u64) -> Instant {
        self.began.checked_add(Duration::from_nanos(nanoseconds)).unwrap_or(self.began)
    }
}

/// Counts a request as ended when it is dropped: with the last piece of its answer, or given up before.
pub(super) struct UnderWay {
    life: Arc<Life>,
    number: u64,
}

impl UnderWay {
    pub(super) fn begin(life: Arc<Life>) -> Self {
        let number = life.begun.fetch_add(1, Ordering::Relaxed);
        Self { life, number }
    }

    /// Its number on its connection, from 0.
    pub(super) fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.life.took();
        self.life.ended.fetch_add(1, Ordering::Release);
    }
}

/// Of the last piece of an answer over HTTP/2 that is larger, a byte is kept back: h2 takes a piece whole as soon as the
/// client has room for one byte of it, and by its end the answer's deadlines and permits would be gone.
const LAST_PIECE_BYTES: usize = 1 << 10;

type BrokenOff = <AnswerBody as Body>::Error;

/// An answer's body, as a sign of life.
pub(super) struct WatchedBody {
    body: AnswerBody,
    under_way: UnderWay,
    version: Version,
    /// Of an answer over HTTP/2; the socket has that of one over HTTP/1.
    pace: Option<Pace>,
    /// The last byte of an answer over HTTP/2.
    last: Option<Bytes>,
}

impl WatchedBody {
    pub(super) fn new(
        body: AnswerBody,
        under_way: UnderWay,
        version: Version,
        rate_bytes_per_second: u64,
    ) -> Self {
        let pace = (version == Version::HTTP_2)
            .then(|| Pace::new(rate_bytes_per_second, under_way.life.written_bytes()));
        let watched = Self { body, under_way, version, pace, last: None };
        if !watched.body.is_end_stream() {
            watched.offer();
        }
        watched
    }

    /// From now on it is the client that is waited for.
    fn offer(&self) {
        if self.pace.is_some() {
            self.under_way.life.offered().insert(self.under_way.number, Instant::now());
        }
    }

    /// It is waited for no longer.
    fn withdraw(&mut self) {
        let Some(pace) = &mut self.pace else { return };
        let life = &self.under_way.life;
        let since = life.offered().remove(&self.under_way.number);
        // That others of its answers are taken in its place is the client's choice.
        if since.is_some_and(|since| pace.is_too_slow(since.elapsed(), life.written_bytes())) {
            life.stalls();
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

impl Drop for WatchedBody {
    fn drop(&mut self) {
        if self.pace.is_some() {
            self.under_way.life.offered().remove(&self.under_way.number);
        }
    }
}

impl Body for WatchedBody {
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
                self.under_way.life.took();
                self.offer();
            }
            Poll::Ready(Some(Err(_))) if self.version == Version::HTTP_10 => {
                self.under_way.life.orders.reset.store(true, Ordering::Relaxed);
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
