//! One connection: HTTP/1.1 or HTTP/2, until it is idle too long, too old, fails, or the host shuts down.
//!
//! Owns every deadline of a connection that no request's own limits cover. hyper's are off: it has none for a first
//! byte, half an HTTP/2 preface, a connection without requests, or a client that opens no window.

use std::convert::Infallible;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::forwarded::Asking;
use super::frames::Frames;
use super::http1::Strict;
use super::life::{Life, UnderWay, WatchedBody};
use super::linger::Linger;
use super::prefixed::{Prefixed, read_piece};
use super::socket::Orders;
use super::stall::StallGuard;
use super::unread::WatchedUpload;
use super::{Settings, Stage, gate};
use crate::observe::Closed;
use crate::request::{Caller, Requests};

/// The largest request head.
pub const MAX_HEAD_BYTES: usize = 64 << 10;

/// What hyper may hold of one head, or of answers that are not taken.
const MAX_BUFFER_BYTES: usize = MAX_HEAD_BYTES + (8 << 10);

/// The most fields in it.
pub const MAX_HEAD_FIELDS: usize = 128;

/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;

/// What HTTP/2 buffers of one answer that nobody reads.
const MAX_SEND_BUFFER_BYTES: usize = 64 << 10;

/// How often a silent HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_PATIENCE: Duration = Duration::from_secs(10);

/// How long a client may go on sending what nobody wants. An answer is read well within it.
pub(super) const LINGER: Duration = Duration::from_secs(2);

/// How long an HTTP/1 connection that is idle when the host stops is waited on: the next request may be on its way, and is
/// then answered with `connection: close`.
pub(super) const LAST_CALL: Duration = Duration::from_secs(1);

/// How long a client may take to know that a connection takes no further request.
const TIME_TO_KNOW: Duration = Duration::from_secs(3);

/// How long a request goes on whose client has closed its sending side, while nothing can be sent to it. Whether it has
/// closed the other side too shows only when something is sent: then it resets the connection.
pub(super) const AFTER_CLIENTS_END: Duration = Duration::from_secs(5);

/// How often such a connection is looked at, for that reset.
const LOOK_FOR_RESET: Duration = Duration::from_millis(500);

/// How long an HTTP/1 connection is without a request before it rests, without hyper: most connections are idle for most of
/// their time, and hyper's buffers are most of what they weigh.
const REST_AFTER: Duration = Duration::from_secs(5);

/// What an HTTP/2 client says first (RFC 9113 §3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A connection on which HTTP is spoken from now on.
pub(super) struct Connection {
    pub(super) requests: Arc<Requests>,
    pub(super) settings: Arc<Settings>,
    pub(super) stage: watch::Receiver<Stage>,
    pub(super) caller: Caller,
    /// Whether it is of a proxy whose word on clients is taken.
    pub(super) is_trusted: bool,
}

/// Which HTTP is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    /// HTTP/1.0 or 1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/2 if the client begins with its preface.
    AsItBegins,
}

/// What each request of a connection needs.
struct Service {
    requests: Arc<Requests>,
    asking: Asking,
    life: Arc<Life>,
    settings: Arc<Settings>,
}

impl Connection {
    /// Serves it until it ends; why it did.
    pub(super) async fn run(
        mut self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        orders: Arc<Orders>,
        protocol: Protocol,
    ) -> Closed {
        let life = Arc::new(Life::new(orders));
        let rate = self.settings.rate_bytes_per_second;
        let stream = StallGuard::new(stream, self.settings.write, rate, life.clone());
        let mut stream = Linger::new(stream, LINGER, life.has_unread.clone());
        let begun = tokio::select! {
            begun = begin(&mut stream, protocol) => begun,
            () = sleep(self.settings.head) => return Closed::Silent,
            () = told_to_stop(&mut self.stage, LAST_CALL) => return Closed::Drained,
        };
        let Ok((came, protocol)) = begun else { return Closed::Client };
        let asking = Asking::new(self.caller, self.is_trusted.then(|| self.settings.trusted.clone()));
        let service = Arc::new(Service {
            requests: self.requests,
            asking,
            life: life.clone(),
            settings: self.settings.clone(),
        });
        let service = service_fn(move |request| service.clone().serve(request));
        // Over HTTP/2 a client is told which of its requests count.
        let last_call = if protocol == Protocol::Http2 { Duration::ZERO } else { LAST_CALL };
        let mut watch = Watch {
            life,
            settings: self.settings,
            ending: None,
            begun_in_time: None,
            last_call,
            last_call_ends: None,
            clients_end: None,
        };
        if protocol == Protocol::Http2 {
            watch.life.is_http2.store(true, Ordering::Relaxed);
            let stream = Frames::new(Prefixed::new(stream, came), watch.life.clone());
            // Boxed: what is HTTP/1, or says nothing, is not to have the size of HTTP/2.
            let mut connection = Box::pin(http2().serve_connection(TokioIo::new(stream), service));
            return match watch.until_over(connection.as_mut(), &mut self.stage, None).await {
                Over::Ended(why) | Over::Closed(why) => why,
                Over::Rests => Closed::Idle,
            };
        }
        let mut stream = Strict::new(stream, came, watch.life.clone());
        loop {
            let mut connection = http1().serve_connection(TokioIo::new(stream), service.clone());
            let over = watch.until_over(Pin::new(&mut connection), &mut self.stage, Some(REST_AFTER)).await;
            match over {
                Over::Closed(why) => return why,
                Over::Ended(why) => {
                    // hyper (1.12) leaves a connection open on which an upgrade was asked for, for whoever takes it over.
                    let mut stream = connection.into_parts().io.into_inner();
                    let _ = timeout(LINGER.saturating_mul(2), stream.shutdown()).await;
                    return why;
                }
                Over::Rests => {}
            }
            // hyper goes, with its buffers; it has read nothing of the next head, for it is given whole heads alone.
            let http1::Parts { io, read_buf, .. } = connection.into_parts();
            stream = io.into_inner();
            if !stream.is_between() || !read_buf.is_empty() {
                // Were it in the middle of a request, the next hyper would take a body for a head.
                return Closed::Client;
            }
            drop(read_buf);
            if let Some(why) = watch.while_it_rests(stream.more(), &mut self.stage).await {
                // A client of TLS is told.
                let _ = timeout(LINGER, stream.shutdown()).await;
                return why;
            }
        }
    }
}

impl Service {
    async fn serve(
        self: Arc<Self>,
        mut request: Request<Incoming>,
    ) -> Result<Response<WatchedBody>, Infallible> {
        let under_way = UnderWay::begin(self.life.clone());
        let version = request.version();
        if version == Version::HTTP_2 {
            gate::join_cookies(request.headers_mut());
        }
        let is_last_asked_for = version != Version::HTTP_11 || closes(request.headers());
        let refusal = self.life.refusal_of(under_way.number());
        let checked = refusal.map_or_else(|| gate::check(&request), |why| Err(why.clone()));
        let is_refused = refusal.is_some();
        gate::settle_host(&mut request);
        let caller = self.asking.for_request(request.headers_mut());
        let (request, unread) = WatchedUpload::of(request, &self.life, self.settings.head);
        if is_refused {
            // Of what stood there in truth nobody knows the end.
            self.life.has_unread.store(true, Ordering::Relaxed);
        }
        let mut answer = self.requests.serve(request, caller, checked).await;
        // Of a client that was too slow no more is waited for (RFC 9110 §15.5.9).
        let is_late = answer.status() == StatusCode::REQUEST_TIMEOUT;
        let is_last = self.life.is_last.load(Ordering::Relaxed);
        let is_kept = unread.is_none_or(|unread| unread.answered(is_last || is_late || is_last_asked_for));
        if version != Version::HTTP_2 && (is_last || !is_kept) {
            answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let rate = self.settings.rate_bytes_per_second;
        Ok(answer.map(|body| WatchedBody::new(body, under_way, version, rate)))
    }
}

/// Whether a client says that its request is the last of its connection.
fn closes(headers: &HeaderMap) -> bool {
    let options = headers.get_all(header::CONNECTION).into_iter();
    options
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.split(',').any(|option| option.trim().eq_ignore_ascii_case("close")))
}

fn http1() -> http1::Builder {
    let mut builder = http1::Builder::new();
    // A head has been measured before hyper sees it.
    builder.header_read_timeout(None).max_buf_size(MAX_BUFFER_BYTES).max_headers(MAX_HEAD_FIELDS);
    builder
}

fn http2() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_PATIENCE)
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));
    builder
}

/// Waits for a connection's first bytes, and tells by them what it speaks. Until then there is next to nothing of it.
async fn begin(stream: &mut (impl AsyncRead + Unpin), protocol: Protocol) -> io::Result<(Vec<u8>, Protocol)> {
    let mut came = Vec::new();
    loop {
        if read_piece(stream, &mut came).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if protocol != Protocol::AsItBegins {
            return Ok((came, protocol));
        }
        if came.starts_with(PREFACE) {
            return Ok((came, Protocol::Http2));
        }
        if !PREFACE.starts_with(&came) {
            return Ok((came, Protocol::Http1));
        }
    }
}

/// Ready so long after the host was told to stop.
pub(super) async fn told_to_stop(stage: &mut watch::Receiver<Stage>, patience: Duration) {
    // A sender that is gone has nothing more to serve for.
    let _ = stage.wait_for(|stage| *stage != Stage::Serving).await;
    sleep(patience).await;
}

/// Watches over one connection.
struct Watch {
    life: Arc<Life>,
    settings: Arc<Settings>,
    /// Why it takes no further request, and since when.
    ending: Option<(Closed, Instant)>,
    /// How many requests it had had when its client knew.
    begun_in_time: Option<u64>,
    /// How long a last request is waited for, and once there is to be no other, why not, and until when.
    last_call: Duration,
    last_call_ends: Option<(Closed, Instant)>,
    /// When the client closed its sending side, and how much it had been sent by then.
    clients_end: Option<(Instant, u64)>,
}

/// How watching ended.
enum Over {
    /// With the last answer.
    Ended(Closed),
    /// With the connection, as it stood.
    Closed(Closed),
    /// It has had no request for a while.
    Rests,
}

/// What is to be done about a connection.
enum Verdict {
    /// It goes on; when to look again.
    GoesOn(Instant),
    /// Its head is late, and is to be refused.
    HeadIsLate,
    /// Its next answer is its last.
    LastCall(Closed),
    /// It is to end with the requests that it is in.
    Ends(Closed),
    /// It is cut.
    IsCut(Closed),
}

impl Watch {
    /// Watches until the connection is over, or has been without a request for `rest_after`.
    async fn until_over(
        &mut self,
        mut connection: Pin<&mut impl GracefulConnection>,
        stages: &mut watch::Receiver<Stage>,
        rest_after: Option<Duration>,
    ) -> Over {
        let mut look = pin!(sleep_until(after(Instant::now(), self.tick())));
        let mut is_told = false;
        let orders = self.life.orders.clone();
        loop {
            tokio::select! {
                // How its requests ended is accounted for already.
                ended = connection.as_mut() => {
                    let why = self.why_it_ended();
                    return if ended.is_ok() { Over::Ended(why) } else { Over::Closed(why) };
                }
                () = look.as_mut() => {
                    self.life.orders.look.store(true, Ordering::Relaxed);
                    let now = Instant::now();
                    let rests_at = rest_after.and_then(|rest_after| self.rests_at(rest_after));
                    if rests_at.is_some_and(|rests_at| rests_at <= now) {
                        return Over::Rests;
                    }
                    match self.verdict(now) {
                        Verdict::GoesOn(next) => look.as_mut().reset(rests_at.map_or(next, |at| next.min(at))),
                        Verdict::HeadIsLate => {
                            self.life.head_is_late.store(true, Ordering::Relaxed);
                            look.as_mut().reset(after(now, self.tick()));
                        }
                        Verdict::LastCall(why) => {
                            self.call_last(why, now);
                            look.as_mut().reset(now);
                        }
                        Verdict::Ends(why) => {
                            self.ending = Some((why, now));
                            self.life.is_last.store(true, Ordering::Relaxed);
                            connection.as_mut().graceful_shutdown();
                            look.as_mut().reset(after(now, self.tick()));
                        }
                        Verdict::IsCut(why) => return Over::Closed(why),
                    }
                }
                () = orders.client_ended() => {
                    let now = Instant::now();
                    self.clients_end = Some((now, self.life.written_bytes()));
                    look.as_mut().reset(now);
                }
                () = told_to_stop(stages, Duration::ZERO), if !is_told => {
                    is_told = true;
                    let now = Instant::now();
                    self.call_last(Closed::Drained, now);
                    look.as_mut().reset(now);
                }
            }
        }
    }

    fn why_it_ended(&self) -> Closed {
        let Life { is_flooded, is_stalled, .. } = &*self.life;
        if is_flooded.load(Ordering::Relaxed) {
            return Closed::Flood;
        }
        if is_stalled.load(Ordering::Relaxed) {
            return Closed::Stalled;
        }
        self.ending.or(self.last_call_ends).map_or(Closed::Client, |(why, _)| why)
    }

    /// From now on each answer over HTTP/1 says that it is the last. hyper is not told while there is a request: where the head of
    /// its answer has been sent, the client takes the connection for one that is kept, and may send another.
    fn call_last(&mut self, why: Closed, now: Instant) {
        self.life.is_last.store(true, Ordering::Relaxed);
        self.last_call_ends.get_or_insert((why, after(now, self.last_call)));
    }

    /// Waits for the next request's first bytes; none if they came, else why they are not waited for any longer.
    async fn while_it_rests(
        &mut self,
        more: impl Future<Output = io::Result<bool>>,
        stages: &mut watch::Receiver<Stage>,
    ) -> Option<Closed> {
        let Self { life, settings, .. } = self;
        let idle_ends = after(life.idle_since().unwrap_or_else(Instant::now), settings.idle);
        let age_ends = after(life.began(), settings.age);
        tokio::select! {
            came = more => if matches!(came, Ok(true)) { None } else { Some(Closed::Client) },
            () = sleep_until(idle_ends.min(age_ends)) => {
                Some(if idle_ends <= age_ends { Closed::Idle } else { Closed::Aged })
            }
            () = told_to_stop(stages, LAST_CALL) => Some(Closed::Drained),
        }
    }

    /// When hyper is of no use any more for now: there is no request, and all answers were taken.
    fn rests_at(&self, rest_after: Duration) -> Option<Instant> {
        let Self { life, ending, last_call_ends, .. } = self;
        let is_quiet = life.head_since().is_none()
            && !life.is_write_waiting.load(Ordering::Relaxed)
            && ending.is_none()
            && last_call_ends.is_none();
        life.idle_since().filter(|_| is_quiet).map(|since| after(since, rest_after))
    }

    fn verdict(&mut self, now: Instant) -> Verdict {
        let mut next = after(now, self.tick());
        let Self { life, settings, ending, begun_in_time, last_call, last_call_ends, clients_end } = self;
        let mut is_over = |since: Instant, patience| {
            let end = after(since, patience);
            if end > now {
                next = next.min(end);
            }
            end <= now
        };
        let takes_nothing = life.offered_since().is_some_and(|since| is_over(since, settings.write));
        if takes_nothing || life.is_stalled.load(Ordering::Relaxed) {
            return Verdict::IsCut(Closed::Stalled);
        }
        if let Some((since, written_before)) = *clients_end {
            let is_sent_nothing = life.written_bytes() == written_before;
            if is_sent_nothing && is_over(since, AFTER_CLIENTS_END) {
                return Verdict::IsCut(Closed::Client);
            }
            // Only for the look that goes with it.
            is_over(now, LOOK_FOR_RESET);
        }
        if life.head_since().is_some_and(|since| is_over(since, settings.head)) {
            let was_told = life.head_is_late.load(Ordering::Relaxed);
            return if was_told { Verdict::IsCut(Closed::LateHead) } else { Verdict::HeadIsLate };
        }
        let idle_since = life.idle_since().filter(|_| life.head_since().is_none());
        let (patience, idle) =
            if life.begun() > 0 { (settings.idle, Closed::Idle) } else { (settings.head, Closed::Silent) };
        if idle_since.is_some_and(|since| is_over(since, patience)) {
            return match ending {
                Some((why, _)) => Verdict::IsCut(*why),
                None => Verdict::Ends(idle),
            };
        }
        // h2 (0.4.20) goes on taking requests until the client has acknowledged that it was told, which it may never do.
        if let Some((why, told_at)) = ending
            && is_over(*told_at, TIME_TO_KNOW)
            && life.begun() > *begun_in_time.get_or_insert_with(|| life.begun())
        {
            return Verdict::IsCut(*why);
        }
        if ending.is_none()
            && let Some((why, end)) = last_call_ends
            && (last_call.is_zero()
                || (!life.is_under_way() && life.head_since().is_none() && is_over(*end, Duration::ZERO)))
        {
            return Verdict::Ends(*why);
        }
        if last_call_ends.is_none() && is_over(life.began(), settings.age) {
            return Verdict::LastCall(Closed::Aged);
        }
        Verdict::GoesOn(next)
    }

    /// No deadline begins and ends between two looks.
    fn tick(&self) -> Duration {
        let Settings { head, idle, write, age, .. } = &*self.settings;
        *head.min(idle).min(write).min(age).min(&REST_AFTER)
    }
}

fn after(since: Instant, patience: Duration) -> Instant {
    since.checked_add(patience).unwrap_or(since)
}
