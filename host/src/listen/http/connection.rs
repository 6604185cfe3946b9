//! One connection: HTTP/1.1 or HTTP/2, until it is idle too long, too old, fails, or the host shuts down.
//!
//! `phase` decides, and the connection acts. hyper's own deadlines are off: it has none for a first byte, half an
//! HTTP/2 preface, a connection without requests, or a client that opens no window.

use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::activity::{Activity, Command};
use super::forwarded::ConnectionCaller;
use super::http1::Http1Stream;
use super::http2::Http2Stream;
use super::phase::{ClientEnd, ConnectionPhase, Scene, Step, after, tick};
use super::protocol::{Protocol, begin};
use super::service::Service;
use crate::listen::bounds::{LAST_CALL, LINGER, MAX_HEAD_BYTES, MAX_HEAD_FIELDS};
use crate::listen::settings::Settings;
use crate::listen::shutdown::Shutdown;
use crate::listen::socket::{WireCommand, WireHandle, Writing};
use crate::observe::Closed;
use crate::request::{Caller, Requests};

/// The most that hyper buffers of one head, or of responses that the client does not take.
const MAX_BUFFER_BYTES: usize = MAX_HEAD_BYTES + (8 << 10);

/// The most concurrent requests on one HTTP/2 connection.
const MAX_STREAMS: u32 = 100;

/// The most that HTTP/2 buffers of one response that the client does not take.
const MAX_SEND_BUFFER_BYTES: usize = 64 << 10;

/// The interval of pings to a silent HTTP/2 client, and the longest time for its answer.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_PATIENCE: Duration = Duration::from_secs(10);

/// A connection on which HTTP is spoken from now on.
pub(in crate::listen) struct Connection {
    pub(in crate::listen) requests: Arc<Requests>,
    pub(in crate::listen) settings: Arc<Settings>,
    pub(in crate::listen) shutdown: Shutdown,
    pub(in crate::listen) caller: Caller,
    /// True if the peer is a proxy that is trusted to name its clients.
    pub(in crate::listen) is_trusted: bool,
}

impl Connection {
    /// Serves the connection until it ends, and returns the reason for its end. The version of HTTP is agreed in TLS,
    /// or seen in the first bytes.
    pub(in crate::listen) async fn run(
        mut self,
        mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        wire: Arc<WireHandle>,
        agreed: Option<Protocol>,
    ) -> Closed {
        let activity = Arc::new(Activity::new(wire));
        let begun = tokio::select! {
            begun = begin(&mut stream, agreed) => begun,
            () = sleep(self.settings.head) => return Closed::Silent,
            () = self.shutdown.begun_since(LAST_CALL) => return Closed::Drained,
        };
        let Ok((first, protocol)) = begun else { return Closed::Client };
        let trusted = self.is_trusted.then(|| self.settings.trusted.clone());
        let service = Arc::new(Service {
            requests: self.requests,
            caller: ConnectionCaller::new(self.caller, trusted),
            activity: activity.clone(),
            settings: self.settings.clone(),
        });
        let mut supervisor = Supervisor {
            activity: activity.clone(),
            settings: self.settings,
            shutdown: self.shutdown,
            protocol,
            phase: ConnectionPhase::Open,
            client_end: None,
        };
        match protocol {
            Protocol::Http1 => {
                let stream = Http1Stream::new(stream, first, activity);
                supervisor.run_http1(stream, &service).await
            }
            Protocol::Http2 => {
                let stream = TokioIo::new(Http2Stream::new(stream, first, activity));
                let service = service_fn(move |request| service.clone().serve(request));
                // Boxed: a connection of HTTP/1, or a silent one, does not have the size of HTTP/2.
                let mut connection = Box::pin(http2().serve_connection(stream, service));
                match supervisor.until_over(connection.as_mut()).await {
                    Over::Ended(why) | Over::Cut(why) => why,
                    Over::Rests => Closed::Idle,
                }
            }
        }
    }
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

/// The supervisor of one connection: looks at the connection, and commands its layers.
struct Supervisor {
    activity: Arc<Activity>,
    settings: Arc<Settings>,
    shutdown: Shutdown,
    protocol: Protocol,
    phase: ConnectionPhase,
    client_end: Option<ClientEnd>,
}

/// The end of hyper's part in a connection.
enum Over {
    /// The connection ended with the last response.
    Ended(Closed),
    /// The connection ends as it stands.
    Cut(Closed),
    /// There has been no request for a while.
    Rests,
}

impl Supervisor {
    async fn run_http1(
        &mut self,
        mut stream: Http1Stream<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
        service: &Arc<Service>,
    ) -> Closed {
        loop {
            let service = service.clone();
            let service = service_fn(move |request| service.clone().serve(request));
            let mut connection = http1().serve_connection(TokioIo::new(stream), service);
            match self.until_over(Pin::new(&mut connection)).await {
                Over::Cut(why) => return why,
                Over::Ended(why) => {
                    // hyper (1.12) leaves a connection with a request for an upgrade open, so that other code can
                    // take it over.
                    let mut stream = connection.into_parts().io.into_inner();
                    let _ = timeout(LINGER.saturating_mul(2), stream.shutdown()).await;
                    return why;
                }
                Over::Rests => {}
            }
            // hyper is dropped, with its buffers. It has read nothing of the next head, because it is given only
            // whole heads.
            let http1::Parts { io, read_buf, .. } = connection.into_parts();
            stream = io.into_inner();
            if !stream.is_between() || !read_buf.is_empty() {
                // In the middle of a request, the next hyper would take a body for a head.
                return Closed::Client;
            }
            drop(read_buf);
            if let Some(why) = self.while_it_rests(stream.more()).await {
                // A client of TLS gets a `close_notify`.
                let _ = timeout(LINGER, stream.shutdown()).await;
                return why;
            }
        }
    }

    /// Looks at the connection until it is over, or rests.
    async fn until_over(&mut self, mut connection: Pin<&mut impl GracefulConnection>) -> Over {
        let mut look = pin!(sleep_until(after(Instant::now(), tick(&self.settings))));
        let mut is_told_to_stop = false;
        let wire = self.activity.wire.clone();
        let mut shutdown = self.shutdown.clone();
        loop {
            tokio::select! {
                // The end of the connection's requests is accounted for already.
                ended = connection.as_mut() => {
                    let why = self.why_it_ended();
                    return if ended.is_ok() { Over::Ended(why) } else { Over::Cut(why) };
                }
                () = look.as_mut() => {
                    wire.command(WireCommand::LookForClient);
                    let now = Instant::now();
                    look.as_mut().reset(match self.look(now) {
                        Step::GoOn(next) => next,
                        Step::Rest => return Over::Rests,
                        Step::RefuseHead => {
                            self.activity.command(Command::RefuseHead);
                            after(now, tick(&self.settings))
                        }
                        Step::LastCall(why) => {
                            self.call_last(why, now);
                            now
                        }
                        Step::Close(why) => {
                            self.phase.close(why, now);
                            self.activity.command(Command::SayLast);
                            connection.as_mut().graceful_shutdown();
                            after(now, tick(&self.settings))
                        }
                        Step::Cut(why) => return Over::Cut(why),
                    });
                }
                () = wire.client_ended() => {
                    let now = Instant::now();
                    self.client_end = Some(ClientEnd { at: now, written_bytes: wire.signs().written_bytes });
                    look.as_mut().reset(now);
                }
                () = shutdown.begun(), if !is_told_to_stop => {
                    is_told_to_stop = true;
                    let now = Instant::now();
                    self.call_last(Closed::Drained, now);
                    look.as_mut().reset(now);
                }
            }
        }
    }

    fn look(&mut self, now: Instant) -> Step {
        let scene = Scene {
            signs: self.activity.signs(),
            wire: self.activity.wire.signs(),
            client_end: self.client_end,
            protocol: self.protocol,
            settings: &self.settings,
        };
        self.phase.look(now, &scene)
    }

    fn call_last(&mut self, why: Closed, now: Instant) {
        self.activity.command(Command::SayLast);
        self.phase.call_last(why, now);
    }

    fn why_it_ended(&self) -> Closed {
        let writing = self.activity.wire.signs().writing;
        let stalled = (writing == Writing::Stalled).then_some(Closed::Stalled);
        self.activity.signs().fault.or(stalled).or(self.phase.why()).unwrap_or(Closed::Client)
    }

    /// Waits for the next request's first bytes; none if they came, else the reason why the wait ended.
    async fn while_it_rests(&mut self, more: impl Future<Output = io::Result<bool>>) -> Option<Closed> {
        let Self { activity, settings, shutdown, .. } = self;
        let signs = activity.signs();
        let idle_ends = after(signs.idle_since().unwrap_or_else(Instant::now), settings.idle);
        let age_ends = after(signs.began, settings.age);
        tokio::select! {
            came = more => if matches!(came, Ok(true)) { None } else { Some(Closed::Client) },
            () = sleep_until(idle_ends.min(age_ends)) => {
                Some(if idle_ends <= age_ends { Closed::Idle } else { Closed::Aged })
            }
            () = shutdown.begun_since(LAST_CALL) => Some(Closed::Drained),
        }
    }
}
