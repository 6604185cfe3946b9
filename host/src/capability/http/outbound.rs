//! The outbound client of one plugin: from a request that a guest makes to an answer that the guest may read.
//!
//! Owns the order of the checks, the host's part of the request's head, the deadlines until the answer's head, and
//! the plugin's pool of connections. Leaves addresses to `connect` and bodies to `body`. Redirects are answers like
//! others: following one is a further request of the plugin, with all its checks.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::CONTENT_LENGTH;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};

use super::body::{Exchange, ReceivingBody, RequestBody, ResponseBody, SendingBody};
use super::budget::OutboundBudget;
use super::client::HttpClient;
use super::connect::{Connector, MAX_CONNECT, Secured, Served};
use super::error::OutboundError;
use super::fields;
use super::origin::Origin;
use super::secret::Credential;

/// The longest wait for an answer's head, from the time when the connection stood or the request's body last moved:
/// twice the 30 s that a plugin's call usually has, for calls with a higher limit.
pub const MAX_FIRST_BYTE: Duration = Duration::from_secs(60);

/// The longest pause in an answer's body: servers of event streams send keep-alives more often.
pub const MAX_BETWEEN_BYTES: Duration = Duration::from_secs(60);

/// The most bytes that the head of an answer has.
pub const MAX_RESPONSE_HEAD_BYTES: u32 = 64 * 1024;

/// The most fields that the head of an answer has.
pub const MAX_RESPONSE_FIELDS: usize = 128;

/// The most requests of one plugin under way; each is until both its bodies are done.
const MAX_REQUESTS: usize = 256;

/// The most connections of one plugin beside idle ones: concurrent HTTP/1.1 requests.
pub const MAX_BUSY_CONNECTIONS: usize = 64;

/// The idle connections to one origin that are kept for its next request, and the time that they are kept.
const MAX_IDLE_CONNECTIONS: usize = 8;
const MAX_IDLE: Duration = Duration::from_secs(30);

/// The receive window of one HTTP/2 stream: at 50 ms to the server, 5 MB/s.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;

/// The receive window of one HTTP/2 connection: 32 bodies that the plugin does not read leave room for the others.
const CONNECTION_WINDOW_BYTES: u32 = 8 * 1024 * 1024;

/// The send buffer of one HTTP/2 stream: bytes that are given to the stream and not sent yet.
const SEND_BUFFER_BYTES: usize = 64 * 1024;

/// The time between pings on an HTTP/2 connection in use, and the time that the server has to answer one: without
/// pings, the pool would go on giving out a connection whose server is gone.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest waits of each stage of a request. A wait that is not set, or is longer than its maximum, is the
/// maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// The longest wait for a connection; at most [`MAX_CONNECT`].
    pub connect: Option<Duration>,
    /// The longest wait from the connection, or from the last movement of the request's body, until the answer's
    /// head; at most [`MAX_FIRST_BYTE`].
    pub first_byte: Option<Duration>,
    /// The longest wait between two pieces of the answer's body; at most [`MAX_BETWEEN_BYTES`].
    pub between_bytes: Option<Duration>,
}

fn at_most(most: Duration, wanted: Option<Duration>) -> Duration {
    wanted.map_or(most, |wanted| wanted.min(most))
}

/// The outbound client of one plugin. Clones are cheap, and share connections and bounds.
#[derive(Clone)]
pub struct Outbound {
    shared: Arc<Shared>,
}

struct Shared {
    origins: BTreeSet<Origin>,
    credentials: Vec<Credential>,
    client: Client<Secured, SendingBody>,
    requests: Arc<Semaphore>,
}

impl Outbound {
    /// A client for these origins, with connections of its own. Credentials for other origins are never used.
    pub fn new(client: &HttpClient, origins: BTreeSet<Origin>, credentials: Vec<Credential>) -> Self {
        let idle = MAX_IDLE_CONNECTIONS.saturating_mul(origins.len());
        let connector = Connector::new(client.network(), MAX_BUSY_CONNECTIONS.saturating_add(idle));
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(MAX_IDLE)
            .pool_max_idle_per_host(MAX_IDLE_CONNECTIONS)
            .http1_max_buf_size(usize::try_from(MAX_RESPONSE_HEAD_BYTES).unwrap_or(usize::MAX))
            .http1_max_headers(MAX_RESPONSE_FIELDS)
            .http2_max_header_list_size(MAX_RESPONSE_HEAD_BYTES)
            .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
            .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .http2_max_send_buf_size(SEND_BUFFER_BYTES)
            .http2_keep_alive_interval(PING_INTERVAL)
            .http2_keep_alive_timeout(PING_TIMEOUT)
            .build(Secured::new(connector, client.tls()));
        let requests = Arc::new(Semaphore::new(MAX_REQUESTS));
        Self { shared: Arc::new(Shared { origins, credentials, client, requests }) }
    }

    /// The origins that the plugin may send requests to.
    pub fn origins(&self) -> &BTreeSet<Origin> {
        &self.shared.origins
    }

    /// Sends a request and waits for the head of its answer. The future owns all that it needs; dropping it ends the
    /// request.
    pub fn send(
        &self,
        request: Request<RequestBody>,
        timeouts: Timeouts,
        budget: &Arc<OutboundBudget>,
    ) -> impl Future<Output = Result<Response<ResponseBody>, OutboundError>> + Send + use<> {
        let (outbound, budget) = (self.clone(), budget.clone());
        async move {
            let origin = outbound.allowed(request.method(), request.uri())?;
            budget.take_request()?;
            let connect_by = Instant::now().checked_add(at_most(MAX_CONNECT, timeouts.connect));
            let connect_by = connect_by.unwrap_or_else(Instant::now);
            let wait = connect_by.saturating_duration_since(Instant::now());
            let Ok(Ok(permit)) = timeout(wait, outbound.shared.requests.clone().acquire_owned()).await else {
                return Err(OutboundError::ConnectionLimit {
                    what: "outbound requests",
                    limit: MAX_REQUESTS,
                });
            };
            let exchange = Arc::new(Exchange::new(origin, budget, permit));
            let request = outbound.prepared(request, &exchange)?;
            let response = outbound.exchange(request, connect_by, timeouts, &exchange).await?;
            checked(response, timeouts, exchange)
        }
    }

    /// The origin of a request with this method and target, if the plugin may send such a request.
    pub fn allowed(&self, method: &Method, target: &Uri) -> Result<Origin, OutboundError> {
        if matches!(*method, Method::CONNECT | Method::TRACE) {
            return Err(OutboundError::MethodInvalid { method: method.clone() });
        }
        let origin = Origin::of(target)?;
        if self.shared.origins.contains(&origin) { Ok(origin) } else { Err(OutboundError::Denied { origin }) }
    }

    /// The request as it is sent: its target and `Host` in the origin's one form, without the fields of a connection,
    /// with the credentials.
    fn prepared(
        &self,
        request: Request<RequestBody>,
        exchange: &Arc<Exchange>,
    ) -> Result<Request<SendingBody>, OutboundError> {
        let origin = &exchange.origin;
        let (mut head, body) = request.into_parts();
        fields::take_out_those_of_the_connection(&mut head.headers);
        let stated = stated_length(&head.headers, origin)?;
        for credential in self.shared.credentials.iter().filter(|credential| credential.origin() == origin) {
            head.headers.insert(credential.header(), credential.value()?);
        }
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let invalid =
            |_| OutboundError::HeadInvalid { origin: origin.clone(), reason: "a target that is no URI" };
        head.uri = Uri::builder()
            .scheme(origin.scheme().as_str())
            .authority(origin.authority())
            .path_and_query(path)
            .build()
            .map_err(invalid)?;
        // The connection decides on the version.
        head.version = Version::HTTP_11;
        head.extensions = http::Extensions::new();
        Ok(Request::from_parts(head, SendingBody::new(body, exchange.clone(), stated)))
    }

    /// Sends the request, and sends it again if the server had closed its connection before the request arrived: a
    /// server may close an idle connection at any time, and a request without effect may be repeated (RFC 9112
    /// §9.3.1).
    async fn exchange(
        &self,
        mut request: Request<SendingBody>,
        connect_by: Instant,
        timeouts: Timeouts,
        exchange: &Arc<Exchange>,
    ) -> Result<Response<Incoming>, OutboundError> {
        for _ in 0..MAX_IDLE_CONNECTIONS {
            let again = RepeatableRequest::of(&request);
            match (self.attempt(request, connect_by, timeouts, exchange).await, again) {
                (Err(Failed { was_closed: true, .. }), Some(again)) => request = again.request(exchange),
                (answered, _) => return answered.map_err(|failed| failed.error),
            }
        }
        // All idle connections were closed.
        self.attempt(request, connect_by, timeouts, exchange).await.map_err(|failed| failed.error)
    }

    async fn attempt(
        &self,
        mut request: Request<SendingBody>,
        connect_by: Instant,
        timeouts: Timeouts,
        exchange: &Exchange,
    ) -> Result<Response<Incoming>, Failed> {
        let mut captured = capture_connection(&mut request);
        let mut response = pin!(self.shared.client.request(request));
        let answered = |response: Result<Response<Incoming>, Error>, connection: &CaptureConnection| {
            let served = connection.connection_metadata().as_ref().and_then(Served::of);
            match response {
                Ok(response) => {
                    served.iter().for_each(Served::set);
                    Ok(response)
                }
                Err(error) => Err(Failed {
                    was_closed: served.is_some_and(|served| served.is_set()) && was_closed(&error),
                    error: exchange.failure(&error),
                }),
            }
        };
        tokio::select! {
            biased;
            response = &mut response => return answered(response, &captured),
            () = async { drop(captured.wait_for_connection_metadata().await) } => {}
            () = sleep_until(connect_by) => {
                return Err(OutboundError::ConnectionTimeout { origin: exchange.origin.clone() }.into());
            }
        }
        let first_byte = at_most(MAX_FIRST_BYTE, timeouts.first_byte);
        let connected = Instant::now();
        loop {
            let since = connected.max(exchange.moved());
            let deadline = since.checked_add(first_byte).unwrap_or(since);
            tokio::select! {
                biased;
                response = &mut response => return answered(response, &captured),
                () = sleep_until(deadline) => {}
            }
            if exchange.moved() > since {
                continue;
            }
            let origin = exchange.origin.clone();
            let error = if exchange.waits_for_plugin() {
                let reason = format!("the plugin gave no more of it for {} ms", first_byte.as_millis());
                OutboundError::RequestBody { origin, reason }
            } else {
                OutboundError::ResponseTimeout { origin }
            };
            return Err(error.into());
        }
    }
}

/// The error of one attempt.
struct Failed {
    error: OutboundError,
    /// True if the server closed a connection that had served before, without an answer.
    was_closed: bool,
}

impl From<OutboundError> for Failed {
    fn from(error: OutboundError) -> Self {
        Self { error, was_closed: false }
    }
}

/// A request that may be sent again: it changes nothing, and has no body.
struct RepeatableRequest {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
}

impl RepeatableRequest {
    fn of(request: &Request<SendingBody>) -> Option<Self> {
        let (method, uri, headers) = (request.method(), request.uri(), request.headers());
        (method.is_safe() && request.body().is_end_stream()).then(|| Self {
            method: method.clone(),
            uri: uri.clone(),
            headers: headers.clone(),
        })
    }

    fn request(self, exchange: &Arc<Exchange>) -> Request<SendingBody> {
        let nothing = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let mut request = Request::new(SendingBody::new(nothing, exchange.clone(), None));
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = self.headers;
        request
    }
}

/// True if a connection ended before the first byte of an answer.
fn was_closed(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_canceled() || error.is_closed())
        {
            return true;
        }
        source = error.source();
    }
    false
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shared { origins, credentials, .. } = &*self.shared;
        f.debug_struct("Outbound")
            .field("origins", origins)
            .field("credentials", credentials)
            .finish_non_exhaustive()
    }
}

/// The length of the body, if the plugin stated one: it must be stated once, and as a number. Servers differ on what
/// else they accept as a length (RFC 9112 §6.3).
fn stated_length(fields: &HeaderMap, origin: &Origin) -> Result<Option<u64>, OutboundError> {
    let mut stated = fields.get_all(CONTENT_LENGTH).iter();
    let (Some(first), second) = (stated.next(), stated.next()) else {
        return Ok(None);
    };
    let is_number =
        |value: &HeaderValue| !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit);
    let length =
        if is_number(first) { first.to_str().ok().and_then(|value| value.parse().ok()) } else { None };
    let reason = match (length, second) {
        (Some(_), None) => return Ok(length),
        (Some(_), Some(_)) => "more than one content-length",
        (None, _) => "a content-length that is no number",
    };
    Err(OutboundError::HeadInvalid { origin: origin.clone(), reason })
}

/// The answer as the plugin gets it: its status and head are checked, and the connection's fields removed.
fn checked(
    response: Response<Incoming>,
    timeouts: Timeouts,
    exchange: Arc<Exchange>,
) -> Result<Response<ResponseBody>, OutboundError> {
    let origin = exchange.origin.clone();
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let reason = "it switched protocols, which it was not asked to".to_owned();
        return Err(OutboundError::HttpProtocol { origin, reason });
    }
    if response.headers().len() > MAX_RESPONSE_FIELDS || bytes(response.headers()) > MAX_RESPONSE_HEAD_BYTES {
        return Err(OutboundError::ResponseHeadTooLarge { origin });
    }
    let between_bytes = at_most(MAX_BETWEEN_BYTES, timeouts.between_bytes);
    let (mut head, body) = response.into_parts();
    fields::take_out_those_of_the_connection(&mut head.headers);
    head.extensions = http::Extensions::new();
    let body = ReceivingBody::new(body, head.version, exchange, between_bytes);
    Ok(Response::from_parts(head, body.boxed_unsync()))
}

/// The size of the fields in HTTP/1.1. hyper's own limit is that of a buffer, which can be exceeded.
fn bytes(fields: &HeaderMap) -> u32 {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        let bytes = name.as_str().len().saturating_add(value.len()).saturating_add(": \r\n".len());
        u32::try_from(bytes).unwrap_or(u32::MAX)
    };
    fields.iter().map(line).fold(0, u32::saturating_add)
}
