//! The state of `wasi:http` 0.2 of one call, as far as wasmtime's crate leaves it to its embedder. Requests to other
//! servers go through the capability room. The reason why one failed is for the operator's log, and the guest gets
//! the WIT's error code.

use std::mem::{Discriminant, discriminant};
use std::pin::Pin;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Limited};
use tokio::runtime::Handle;
use tokio::time::timeout;
use wasmtime::component::ResourceTable;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::body::{HostOutgoingBody, StreamContext};
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpCtx,
    WasiHttpCtxView, WasiHttpHooks,
};

use super::output::Output;
use crate::capability::http::{Outbound, OutboundBudget, OutboundError, Timeouts};

/// The size of the pieces of a body. A guest may hand over two of them before the last was taken.
pub const PIECE_BYTES: usize = 64 << 10;
const PIECES_AHEAD: usize = 1;

/// The number of a call's first calls of the interface in which bodies have large pieces. Pieces are the host's
/// memory, and a guest has thousands of handles. So it has large pieces in its first calls, which few exceed, and
/// small ones in later calls: some 40 MiB in all, with every handle full.
pub const CALLS_AT_EASE: u32 = 256;
/// The size of a piece in later calls.
pub const PIECE_BYTES_LATER: usize = 4 << 10;

/// The fields that are the host's: a guest does not see them, and may not set them.
static FORBIDDEN: [HeaderName; 9] = DEFAULT_FORBIDDEN_HEADERS;

/// The time for which a guest may still write the body of a request that is denied. If the body were closed at once,
/// the guest's library would fail on that, and never look at the code that says why.
const DENIAL_PATIENCE: Duration = Duration::from_millis(10);

/// A failure of another server, or of the way to it, that a guest met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct UpstreamFailure {
    pub(super) is_timeout: bool,
    /// The failure came in the middle of an answer's body.
    pub(super) is_in_body: bool,
    /// The variant of the error that the guest was told, without its data.
    told: Discriminant<Error>,
}

impl UpstreamFailure {
    /// True if a guest that answers with this code hands on the error that it was given.
    pub(super) fn is_handed_on_as(&self, code: ErrorCode) -> bool {
        self.told == discriminant(&Error::from(code))
    }
}

/// The state of `wasi:http` of one call.
pub(super) struct HttpState {
    calls: u32,
    context: WasiHttpCtx,
    hooks: Hooks,
    /// The request was `HEAD`: the body of its answer is not sent.
    pub(super) asked_for_head_alone: bool,
    /// The handle of the answer's body that the guest took last and has not finished.
    pub(super) unfinished_body: Option<u32>,
}

impl HttpState {
    pub(super) fn new(outbound: Option<Outbound>, budget: Arc<OutboundBudget>, output: Arc<Output>) -> Self {
        let mut context = WasiHttpCtx::new();
        // The limit `fields` counts all fields together: a single list of them needs no limit of its own.
        context.set_field_size_limit(usize::MAX);
        let failures = Failures { output, last: Arc::default() };
        let hooks = Hooks { outbound, budget, failures, piece_bytes: PIECE_BYTES };
        Self { calls: 0, context, hooks, asked_for_head_alone: false, unfinished_body: None }
    }

    /// The view for one call of the interface.
    pub(super) fn view<'a>(&'a mut self, table: &'a mut ResourceTable) -> WasiHttpCtxView<'a> {
        self.calls = self.calls.saturating_add(1);
        if self.calls == CALLS_AT_EASE {
            self.hooks.piece_bytes = PIECE_BYTES_LATER;
        }
        WasiHttpCtxView { ctx: &mut self.context, table, hooks: &mut self.hooks }
    }

    pub(super) fn failures(&self) -> Failures {
        self.hooks.failures.clone()
    }
}

/// Ends every body that a guest has begun and not finished, as broken off.
pub(super) fn abort_unfinished_bodies(table: &mut ResourceTable) {
    if table.is_empty() {
        return;
    }
    let bodies = table.iter_mut().filter_map(|(_handle, entry)| {
        let entry: &mut dyn std::any::Any = entry;
        entry.downcast_mut::<HostOutgoingBody>()
    });
    for body in bodies {
        let (nothing, _unread) = HostOutgoingBody::new(StreamContext::Response, None, 1, 1);
        std::mem::replace(body, nothing).abort();
    }
}

struct Hooks {
    outbound: Option<Outbound>,
    budget: Arc<OutboundBudget>,
    failures: Failures,
    piece_bytes: usize,
}

type Sent = Result<(Response<WasiBody>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        static FILTER: LazyLock<ForbiddenHeaderFilter> =
            LazyLock::new(|| Arc::new(|name| FORBIDDEN.contains(name)));
        FILTER.clone()
    }

    fn send_request(
        &mut self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        _processed: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let outbound = match self.allowed(&request) {
            Ok(outbound) => outbound,
            Err(error) => {
                return Box::new(async move {
                    let _ended_or_not = timeout(DENIAL_PATIENCE, read_to_its_end(request.into_body())).await;
                    Err(error)
                });
            }
        };
        let (budget, failures) = (self.budget.clone(), self.failures.clone());
        let options = options.unwrap_or_default();
        let timeouts = Timeouts {
            connect: options.connect_timeout,
            first_byte: options.first_byte_timeout,
            between_bytes: options.between_bytes_timeout,
        };
        let request =
            request.map(|body| RequestBody { body, is_over: false }.map_err(Into::into).boxed_unsync());
        Box::new(async move {
            let sent = outbound.send(request, timeouts, &budget).await;
            let response = sent.map_err(|error| failures.note(&error, false))?;
            let response =
                response.map(|body| body.map_err(move |error| failures.note(&error, true)).boxed_unsync());
            let nothing_left: Box<dyn Future<Output = Result<(), Error>> + Send> =
                Box::new(std::future::ready(Ok(())));
            Ok((response, nothing_left))
        })
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        PIECES_AHEAD
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        self.piece_bytes
    }
}

impl Hooks {
    /// The way out for this request, if the plugin is granted its origin.
    fn allowed(&self, request: &Request<WasiBody>) -> Result<Outbound, Error> {
        let Some(outbound) = &self.outbound else {
            self.failures.output.host_call_failed(&no_origin(request));
            return Err(Error::HttpRequestDenied);
        };
        match outbound.allowed(request.method(), request.uri()) {
            Ok(_origin) => Ok(outbound.clone()),
            Err(error) => Err(self.failures.note(&error, false)),
        }
    }
}

async fn read_to_its_end(mut body: impl Body + Unpin) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// The body of a request, which is read on when the client drops it: hyper (1.12) sends no body with a GET whose head has
/// no length, and drops it unread, while the guest's library still writes its end and would trip over a closed stream.
struct RequestBody {
    body: WasiBody,
    is_over: bool,
}

/// The most of a dropped body that is read on, and for how long.
const UNWANTED_BYTES: usize = 64 << 10;
const UNWANTED_PATIENCE: Duration = Duration::from_secs(1);

impl Body for RequestBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        self.is_over = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Ok(runtime) = Handle::try_current() else { return };
        if self.is_end_stream() {
            return;
        }
        let rest = Limited::new(std::mem::take(&mut self.body), UNWANTED_BYTES);
        // It ends by itself.
        drop(runtime.spawn(async move {
            let _ended_or_not = timeout(UNWANTED_PATIENCE, read_to_its_end(rest)).await;
        }));
    }
}

fn no_origin(request: &Request<WasiBody>) -> String {
    let uri = request.uri();
    format!(
        "a request to {}://{} was denied: the plugin has no grant `http`",
        uri.scheme_str().unwrap_or_default(),
        uri.authority().map(http::uri::Authority::as_str).unwrap_or_default()
    )
}

/// The notes of failed requests to other servers. Clones share them.
#[derive(Clone)]
pub(super) struct Failures {
    output: Arc<Output>,
    last: Arc<Mutex<Option<UpstreamFailure>>>,
}

impl Failures {
    /// Notes a failure. The full story goes to the log; the guest is told a code.
    fn note(&self, error: &OutboundError, is_in_body: bool) -> Error {
        self.output.host_call_failed(&error.to_string());
        let told = code(error);
        if error.is_upstreams() {
            let failure =
                UpstreamFailure { is_timeout: error.is_timeout(), is_in_body, told: discriminant(&told) };
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        }
        told
    }

    /// The last request's failure that was no fault of the guest's.
    pub(super) fn last(&self) -> Option<UpstreamFailure> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The code that the guest is told: the WIT's, with no names and no addresses.
fn code(error: &OutboundError) -> Error {
    match error {
        OutboundError::Denied { .. } => Error::HttpRequestDenied,
        OutboundError::UriInvalid(_) => Error::HttpRequestUriInvalid,
        OutboundError::MethodInvalid { .. } => Error::HttpRequestMethodInvalid,
        OutboundError::AddressProhibited { .. } => Error::DestinationIpProhibited,
        OutboundError::DnsError { .. } => Error::DnsError { rcode: None, info_code: None },
        OutboundError::DnsTimeout { .. } => Error::DnsTimeout,
        OutboundError::ConnectionRefused { .. } => Error::ConnectionRefused,
        OutboundError::Unreachable { .. } => Error::DestinationUnavailable,
        OutboundError::ConnectionTimeout { .. } => Error::ConnectionTimeout,
        OutboundError::ConnectionLimit { .. } | OutboundError::TooManyRequests { .. } => {
            Error::ConnectionLimitReached
        }
        OutboundError::ConnectionTerminated { .. } => Error::ConnectionTerminated,
        OutboundError::TlsCertificate { .. } => Error::TlsCertificateError,
        OutboundError::TlsProtocol { .. } => Error::TlsProtocolError,
        OutboundError::ResponseTimeout { .. } => Error::HttpResponseTimeout,
        OutboundError::BetweenBytesTimeout { .. } => Error::ConnectionReadTimeout,
        OutboundError::HeadInvalid { .. }
        | OutboundError::HttpProtocol { .. }
        | OutboundError::RequestBody { .. } => Error::HttpProtocolError,
        OutboundError::ResponseHeadTooLarge { .. } => Error::HttpResponseHeaderSectionSize(None),
        OutboundError::TooManyBytes { limit } => Error::HttpResponseBodySize(Some(*limit)),
        OutboundError::Credential(_) => Error::ConfigurationError,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;
    use wasmtime_wasi_http::p2::bindings::http::types::DnsErrorPayload;

    use super::*;

    const PIECE: &[u8] = &[0; 16 << 10];

    /// A body of so many pieces, which counts those that are taken and says when it is gone.
    struct Pieces {
        left: usize,
        taken: Arc<AtomicUsize>,
        gone: Arc<Notify>,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
            let Some(left) = self.left.checked_sub(1) else { return Poll::Ready(None) };
            self.left = left;
            self.taken.fetch_add(1, Ordering::Relaxed);
            Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(PIECE)))))
        }
    }

    impl Drop for Pieces {
        fn drop(&mut self) {
            self.gone.notify_one();
        }
    }

    #[tokio::test]
    async fn a_body_that_is_dropped_is_read_on_to_its_end_or_its_bound() {
        let bound = UNWANTED_BYTES / PIECE.len();
        // The piece that goes beyond the bound is taken, and nothing behind it.
        for (pieces, expected) in [(0, 0), (2, 2), (bound, bound), (usize::MAX, bound + 1)] {
            let (taken, gone) = (Arc::<AtomicUsize>::default(), Arc::<Notify>::default());
            let body = Pieces { left: pieces, taken: taken.clone(), gone: gone.clone() }.boxed_unsync();
            drop(RequestBody { body, is_over: false });
            timeout(Duration::from_secs(10), gone.notified()).await.expect("it is let go");
            assert_eq!(taken.load(Ordering::Relaxed), expected, "of {pieces}");
        }
    }

    #[test]
    fn a_code_is_known_again_whatever_it_carries() {
        let noted = |error: &Error| UpstreamFailure {
            is_timeout: false,
            is_in_body: false,
            told: discriminant(error),
        };
        let handed_on = |error: Error, code: ErrorCode| noted(&error).is_handed_on_as(code);
        let payload = DnsErrorPayload { rcode: Some("x".into()), info_code: None };
        assert!(handed_on(Error::DnsError { rcode: None, info_code: None }, ErrorCode::DnsError(payload)));
        assert!(handed_on(Error::ConnectionRefused, ErrorCode::ConnectionRefused));
        assert!(handed_on(Error::HttpResponseTimeout, ErrorCode::HttpResponseTimeout));
        assert!(!handed_on(Error::ConnectionRefused, ErrorCode::ConnectionTimeout));
        assert!(!handed_on(Error::ConnectionRefused, ErrorCode::InternalError(None)));
    }
}
