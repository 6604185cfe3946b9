//! `/livez`, `/readyz` and `/metrics`, on a thread and a runtime of their own: they answer while every
//! worker is busy with guests.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};

use super::bounds::PAUSE_AFTER_FAILED_ACCEPT;
use super::socket::{Address, BindError, bind};
use crate::observe::Metrics;

/// The longest time for a prober's request; a prober's connection may last six times as long.
const PATIENCE: Duration = Duration::from_secs(10);

/// The readiness of the host: whether callers should be sent to it.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// Makes the host ready from now on.
    pub fn set_ready(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Makes the host unready: it drains.
    pub fn set_draining(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// The thread of the probes; it ends when `Probes` is dropped.
pub struct Probes {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Probes {
    /// Probes answered at once.
    pub const MAX_CONNECTIONS: usize = 64;

    /// Binds `address` and answers there. `others` are the addresses that this host is bound to already.
    pub fn start(
        address: SocketAddr,
        others: &[Address],
        metrics: Metrics,
        readiness: Readiness,
    ) -> Result<Self, BindError> {
        let bound = bind::tcp(address).and_then(TcpListener::into_std);
        let listener = bound.map_err(|reason| BindError::new(Address::Tcp(address), reason, others))?;
        let failed = |reason: io::Error| BindError::without_hint(Address::Tcp(address), reason);
        let address = listener.local_addr().map_err(failed)?;
        // The runtime is the last step, because an early return would drop it inside another runtime, which panics.
        let of = |what: &'static str| {
            move |error: io::Error| failed(io::Error::new(error.kind(), format!("{what}: {error}")))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(of("no events (epoll, eventfd) for the probes"))?;
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = serve(listener, metrics, readiness) => {}
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name("probes".into()).spawn(run);
        let thread = thread.map_err(of("no thread for the probes"))?;
        Ok(Self { address, stop: Some(stop), thread: Some(thread) })
    }

    /// The probes' address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Probes {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, metrics: Metrics, readiness: Readiness) {
    let places = Arc::new(Semaphore::new(Probes::MAX_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE_AFTER_FAILED_ACCEPT).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let (metrics, readiness) = (metrics.clone(), readiness.clone());
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answer = answer(&request, &metrics, &readiness);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                // Without this, a prober that closes its sending side after its request would count as gone.
                .half_close(true)
                .serve_connection(TokioIo::new(stream), service);
            // A prober that fails or stays too long gets no answer, and nothing else suffers.
            let _ = tokio::time::timeout(PATIENCE.saturating_mul(6), connection).await;
            drop(place);
        });
    }
}

fn answer<B>(request: &Request<B>, metrics: &Metrics, readiness: &Readiness) -> Response<Full<Bytes>> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, content_type, body) = match request.uri().path() {
        _ if !is_read => (StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD are served here\n".into()),
        "/livez" => (StatusCode::OK, TEXT, "alive\n".into()),
        "/readyz" if readiness.is_ready() => (StatusCode::OK, TEXT, "ready\n".into()),
        "/readyz" => (StatusCode::SERVICE_UNAVAILABLE, TEXT, "not ready\n".into()),
        "/metrics" => (StatusCode::OK, Metrics::CONTENT_TYPE, metrics.encode()),
        _ => (StatusCode::NOT_FOUND, TEXT, "there are /livez, /readyz and /metrics\n".into()),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

const TEXT: &str = "text/plain; charset=utf-8";
