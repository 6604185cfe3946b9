//! One connection: HTTP/1.1 or HTTP/2 by what the client sends first, until it is idle too long, fails,
//! or the host shuts down.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::Instant;

use super::stall::StallGuard;
use super::{Settings, Stage, gate};
use crate::request::{AnswerBody, Requests};

/// The largest request head, and the most fields in it.
const MAX_HEAD_BYTES: usize = 64 << 10;
const MAX_HEAD_FIELDS: usize = 128;

/// Requests at once on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;

/// What HTTP/2 buffers of one answer that nobody reads.
const MAX_SEND_BUFFER_BYTES: usize = 64 << 10;

/// How often a silent HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_PATIENCE: Duration = Duration::from_secs(10);

pub(super) struct Connection {
    pub(super) requests: Arc<Requests>,
    pub(super) client: Option<IpAddr>,
    pub(super) settings: Settings,
    pub(super) stage: watch::Receiver<Stage>,
}

/// Signs of life: requests begun, and requests ended.
#[derive(Default)]
struct Life {
    begun: AtomicU64,
    ended: AtomicU64,
}

impl Connection {
    pub(super) async fn run(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let Self { requests, client, settings, mut stage } = self;
        let life = Arc::new(Life::default());
        let service = {
            let life = life.clone();
            service_fn(move |request: Request<Incoming>| {
                let (requests, life) = (requests.clone(), life.clone());
                async move {
                    life.begun.fetch_add(1, Ordering::Relaxed);
                    let _ended = Ended(&life);
                    let checked = gate::check(&request);
                    Ok::<Response<AnswerBody>, Infallible>(requests.serve(request, client, checked).await)
                }
            })
        };
        let builder = builder(settings.head);
        let stream = TokioIo::new(StallGuard::new(stream, settings.write));
        let mut connection = pin!(builder.serve_connection(stream, service));
        let mut seen = 0;
        let mut look = after(settings.head);
        let mut is_draining = false;
        loop {
            tokio::select! {
                // How a connection ends is its own affair: each request was accounted for.
                _ended = connection.as_mut() => return,
                // hyper has no deadline for a connection's first byte, half an HTTP/2 preface, or an HTTP/2
                // connection without requests. Twice the same count with nothing under way is idleness.
                () = tokio::time::sleep_until(look) => {
                    let begun = life.begun.load(Ordering::Relaxed);
                    if begun == life.ended.load(Ordering::Relaxed) && begun == seen {
                        if is_draining || begun == 0 {
                            return;
                        }
                        connection.as_mut().graceful_shutdown();
                        is_draining = true;
                    }
                    seen = begun;
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

/// Counts a request as ended, also when its future is dropped.
struct Ended<'a>(&'a Life);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
    }
}
