//! One connection: HTTP/1.1 or HTTP/2 by what the client sends first, until it is idle too long, fails,
//! or the host shuts down.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use super::linger::Linger;
use super::socket::{Orders, Socket};
use super::stall::StallGuard;
use super::{Settings, Stage, gate};
use crate::request::{AnswerBody, Requests};

/// The largest request head.
pub const MAX_HEAD_BYTES: usize = 64 << 10;

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
const LINGER: Duration = Duration::from_secs(2);

pub(super) struct Connection {
    pub(super) requests: Arc<Requests>,
    pub(super) client: Option<IpAddr>,
    pub(super) settings: Settings,
    pub(super) stage: watch::Receiver<Stage>,
}

/// Signs of life.
#[derive(Default)]
struct Life {
    /// Requests begun.
    begun: AtomicU64,
    /// Of them, those whose answer's last piece was taken, or that were given up.
    ended: AtomicU64,
    /// Answers over HTTP/2 of which the next piece may be taken, and since when: a client that opens no window
    /// stalls one, and no socket tells.
    offered: Mutex<BTreeMap<u64, Instant>>,
    /// Whether the last request has not been read to its end.
    has_unread: Arc<AtomicBool>,
    orders: Arc<Orders>,
}

impl Life {
    fn offered(&self) -> MutexGuard<'_, BTreeMap<u64, Instant>> {
        self.offered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    pub(super) async fn run(self, stream: impl AsyncRead + AsyncWrite + AsFd + Unpin + Send + 'static) {
        let Self { requests, client, settings, mut stage } = self;
        let life = Arc::new(Life::default());
        let service = {
            let life = life.clone();
            service_fn(move |request: Request<Incoming>| {
                let (requests, life) = (requests.clone(), life.clone());
                async move {
                    let under_way = UnderWay::begin(life.clone());
                    let version = request.version();
                    let checked = gate::check(&request);
                    let request = request.map(|body| WatchedUpload::new(body, &life));
                    let answer = requests.serve(request, client, checked).await;
                    Ok::<_, Infallible>(answer.map(|body| WatchedBody::new(body, under_way, version)))
                }
            })
        };
        let builder = builder(settings.head);
        let stream = Socket::new(stream, life.orders.clone());
        let stream = StallGuard::new(stream, settings.write, settings.rate_bytes_per_second);
        let taken = stream.taken();
        let stream = TokioIo::new(Linger::new(stream, LINGER, life.has_unread.clone()));
        let mut connection = pin!(builder.serve_connection(stream, service));
        let mut watch = Watch::default();
        let mut look = after(settings.head);
        let mut is_draining = false;
        loop {
            tokio::select! {
                // How a connection ends is its own affair: each request was accounted for.
                _ended = connection.as_mut() => return,
                // hyper has no deadline for a connection's first byte, half an HTTP/2 preface, an HTTP/2
                // connection without requests, or one whose client opens no window.
                () = tokio::time::sleep_until(look) => {
                    life.orders.look.store(true, Ordering::Relaxed);
                    match watch.look(&life, taken.load(Ordering::Relaxed), settings.write) {
                        Seen::Life => {}
                        Seen::Idle if !is_draining => {
                            connection.as_mut().graceful_shutdown();
                            is_draining = true;
                        }
                        Seen::Idle | Seen::Silence | Seen::Stall => return,
                    }
                    look = after(settings.head);
                }
                stage = next_stage(&mut stage, is_draining) => {
                    if stage == Stage::Ending {
                        return;
                    }
                    connection.as_mut().graceful_shutdown();
                    is_draining = true;
                }
            }
        }
    }
}

fn builder(head: Duration) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(MAX_HEAD_BYTES)
        .max_headers(MAX_HEAD_FIELDS);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_PATIENCE)
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buf_size(MAX_SEND_BUFFER_BYTES)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).unwrap_or(u32::MAX));
    builder
}

/// The stage that follows: of a connection that serves, the next; of one that drains already, the end.
async fn next_stage(stage: &mut watch::Receiver<Stage>, is_draining: bool) -> Stage {
    let is_next = |stage: &Stage| *stage == Stage::Ending || (!is_draining && *stage == Stage::Draining);
    // A sender that is gone has nothing more to serve for.
    stage.wait_for(is_next).await.map_or(Stage::Ending, |stage| *stage)
}

fn after(patience: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(patience).unwrap_or(now)
}

/// What a look at a connection's signs of life says.
enum Seen {
    /// Something is under way, or was since the last look.
    Life,
    /// Nothing since the last look.
    Idle,
    /// Nothing ever.
    Silence,
    /// Answers, of which nothing was taken for too long.
    Stall,
}

/// What was seen before.
#[derive(Default)]
struct Watch {
    begun: u64,
    ended: u64,
    /// Writes of which the client's side took something: the end of an answer outlives its request.
    taken: u64,
}

impl Watch {
    fn look(&mut self, life: &Life, taken: u64, patience: Duration) -> Seen {
        let [begun, ended] = [&life.begun, &life.ended].map(|count| count.load(Ordering::Relaxed));
        let is_same = (begun, ended, taken) == (self.begun, self.ended, self.taken);
        *self = Self { begun, ended, taken };
        match life.offered().values().min() {
            _ if begun == 0 => Seen::Silence,
            _ if begun == ended && is_same => Seen::Idle,
            Some(since) if since.elapsed() >= patience => Seen::Stall,
            _ => Seen::Life,
        }
    }
}

/// Counts a request as ended when it is dropped: with the last piece of its answer, or given up before.
struct UnderWay {
    life: Arc<Life>,
    number: u64,
}

impl UnderWay {
    fn begin(life: Arc<Life>) -> Self {
        let number = life.begun.fetch_add(1, Ordering::Relaxed);
        Self { life, number }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.life.ended.fetch_add(1, Ordering::Relaxed);
    }
}

/// A request's body, which tells when it was read to its end.
struct WatchedUpload {
    body: Incoming,
    has_unread: Arc<AtomicBool>,
}

impl WatchedUpload {
    fn new(body: Incoming, life: &Life) -> Self {
        life.has_unread.store(!body.is_end_stream(), Ordering::Relaxed);
        Self { body, has_unread: life.has_unread.clone() }
    }
}

impl Body for WatchedUpload {
    type Data = <Incoming as Body>::Data;
    type Error = <Incoming as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.body.is_end_stream() {
            self.has_unread.store(false, Ordering::Relaxed);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer's body, as a sign of life.
struct WatchedBody {
    body: AnswerBody,
    under_way: UnderWay,
    version: Version,
}

impl WatchedBody {
    fn new(body: AnswerBody, under_way: UnderWay, version: Version) -> Self {
        let watched = Self { body, under_way, version };
        if !watched.body.is_end_stream() {
            watched.offer();
        }
        watched
    }

    /// From now on it is the client that is waited for.
    fn offer(&self) {
        if self.version == Version::HTTP_2 {
            self.under_way.life.offered().insert(self.under_way.number, Instant::now());
        }
    }

    fn withdraw(&self) {
        if self.version == Version::HTTP_2 {
            self.under_way.life.offered().remove(&self.under_way.number);
        }
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Body for WatchedBody {
    type Data = <AnswerBody as Body>::Data;
    type Error = <AnswerBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(Some(Ok(_))) => self.offer(),
            Poll::Ready(Some(Err(_))) if self.version == Version::HTTP_10 => {
                self.under_way.life.orders.reset.store(true, Ordering::Relaxed);
            }
            _ => self.withdraw(),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
