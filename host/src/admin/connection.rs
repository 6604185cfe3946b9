//! A connection to the admin API, from its TLS to its end: HTTP/1 or HTTP/2, each request through the gate to its call.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse as _, Response};
use http::Request;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower_service::Service as _;

use super::api::Stopping;
use super::gate::{Gate, Peer};
use super::problem::finish;
use super::settings::AdminSettings;
use crate::observe::Log;
use crate::request::RequestIds;

/// The most requests at once on a connection of HTTP/2.
const MAX_STREAMS: u32 = 32;

/// The largest head of a request, in bytes.
const MAX_HEAD_BYTES: u32 = 32 << 10;

/// What each connection needs.
pub(super) struct Reception {
    pub(super) router: Router,
    pub(super) gate: Gate,
    pub(super) ids: RequestIds,
    pub(super) settings: AdminSettings,
    pub(super) log: Log,
    /// The end of the API: connections end with their requests.
    pub(super) stopping: Stopping,
    /// Cancelled when they are to end at once.
    pub(super) cut: CancellationToken,
}

impl Reception {
    /// Serves a connection to its end.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
        speaks_tls: bool,
    ) {
        let cut = self.cut.clone();
        let serve = async move {
            if !speaks_tls {
                return self.speak(stream, peer).await;
            }
            let acceptor = TlsAcceptor::from(self.gate.certificates.config().clone());
            // A client whose handshake fails learns that from TLS itself.
            if let Ok(Ok(stream)) = timeout(self.settings.handshake, acceptor.accept(stream)).await {
                self.speak(stream, peer).await;
            }
        };
        tokio::select! {
            () = serve => {}
            () = cut.cancelled() => {}
        }
    }

    async fn speak(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        peer: Peer,
    ) {
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.settings.head)
            .max_buf_size(usize::try_from(MAX_HEAD_BYTES).unwrap_or(usize::MAX))
            // A client may close its sending side after its request.
            .half_close(true);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEAD_BYTES);
        let activity = Activity::default();
        let (reception, counted) = (self.clone(), activity.clone());
        let service = service_fn(move |request| {
            let (reception, busy) = (reception.clone(), counted.begin());
            async move {
                let response = reception.answer(request, peer).await;
                Ok::<_, Infallible>(response.map(|body| AnswerBody { body, _busy: busy }))
            }
        });
        let connection = builder.serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            // A client that breaks off learns nothing more, and nobody else needs to.
            _ = connection.as_mut() => return,
            () = self.stopping.begun() => {}
            () = activity.idle_for(self.settings.idle) => {}
        }
        connection.as_mut().graceful_shutdown();
        // What is idle ends at once; a client that does not take the end is not waited for longer than it was idle.
        let ending = async {
            tokio::select! {
                _ = connection => {}
                () = activity.idle_for(self.settings.idle) => {}
            }
        };
        ending.await;
    }

    /// The answer to a request.
    async fn answer(&self, request: Request<Incoming>, peer: Peer) -> Response {
        let id = self.ids.of(request.headers());
        let response = match self.gate.caller(&request, peer).await {
            Ok(caller) => {
                self.log
                    .debug("an admin call")
                    .field("request-id", &*id)
                    .display("by", &caller.actor)
                    .display("method", request.method())
                    .field("path", request.uri().path())
                    .send();
                let mut request = request.map(Body::new);
                request.extensions_mut().insert(Arc::new(caller));
                let Ok(response) = self.router.clone().call(request).await;
                response
            }
            Err(problem) => problem.into_response(),
        };
        finish(response, &id, &self.log)
    }
}

/// The requests of a connection that are under way, and when the last one ended.
#[derive(Clone, Default)]
struct Activity(Arc<Mutex<State>>);

struct State {
    under_way: usize,
    since: Instant,
}

impl Default for State {
    fn default() -> Self {
        Self { under_way: 0, since: Instant::now() }
    }
}

/// A request that is under way, until its answer is written.
struct Busy(Activity);

impl Activity {
    fn begin(&self) -> Busy {
        self.change(|under_way| under_way.saturating_add(1));
        Busy(self.clone())
    }

    fn change(&self, count: impl FnOnce(usize) -> usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { under_way: count(state.under_way), since: Instant::now() };
    }

    /// The time since when no request is under way.
    fn idle(&self) -> Duration {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.under_way == 0 { state.since.elapsed() } else { Duration::ZERO }
    }

    /// Ready when no request was under way for so long.
    async fn idle_for(&self, time: Duration) {
        loop {
            let left = time.saturating_sub(self.idle());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left).await;
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|under_way| under_way.saturating_sub(1));
    }
}

/// The body of an answer, which keeps its connection busy.
struct AnswerBody {
    body: Body,
    _busy: Busy,
}

impl http_body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
