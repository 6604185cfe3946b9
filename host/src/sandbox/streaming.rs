//! A call whose message bodies are streams (`wasi:http/incoming-handler` 0.2): until its answer's head, and then the
//! rest of the guest's work.
//!
//! Most guests are done when the head is there, or have nothing left to do: their answer is whole, and their instance
//! gone. The others go on beside their answer's body, at most as long as `stream`. However such a call ends, a body
//! that the guest has not finished ends in an error.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use tokio::sync::oneshot;
use tokio::time::Instant;
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};
use wasmtime_wasi_http::{Error, WasiHttpView};

use super::call::Call;
use super::call_error::{CallError, CallStop};
use super::engine::Sandbox;
use super::http::Failures;
use super::instances::{Instance, Instances};
use super::state::CallState;
use crate::cpu::Guest;
use crate::limits::Limits;

/// The reason why a request's body ends before its end, which a guest is told in its interface's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFault {
    /// The body is larger than it may be.
    TooLarge {
        /// The plugin's `request-body`.
        limit_bytes: u64,
    },
    /// The body does not come.
    TimedOut,
    /// The body broke off.
    BrokenOff,
}

impl From<BodyFault> for Error {
    fn from(fault: BodyFault) -> Self {
        match fault {
            BodyFault::TooLarge { limit_bytes } => Self::HttpRequestBodySize(Some(limit_bytes)),
            BodyFault::TimedOut => Self::ConnectionReadTimeout,
            BodyFault::BrokenOff => Self::ConnectionTerminated,
        }
    }
}

/// An answer, as soon as its head is there.
pub enum Answer {
    /// The guest is done.
    Whole {
        /// Head and body.
        response: Response<Bytes>,
        /// The trailers that follow the body.
        trailers: Option<HeaderMap>,
    },
    /// The guest goes on.
    Streamed(Streamed),
}

/// An answer whose guest goes on beside it.
pub struct Streamed {
    /// The answer's head and its body, which comes only while `rest` runs.
    pub response: Response<GuestBody>,
    /// The rest of the guest's work.
    pub rest: Rest,
}

/// The error of a call that failed after its answer's head. It is set by the code that ends the call, before the body
/// ends.
#[derive(Clone, Default)]
struct LateError(Arc<Mutex<Option<CallError>>>);

impl LateError {
    fn seal(&self, error: CallError) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    fn error(&self) -> Option<CallError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A body as a guest writes it. At most two pieces of 64 KiB wait in it to be taken. It ends without an error only if
/// the guest has finished it.
pub struct GuestBody {
    status: StatusCode,
    body: HyperOutgoingBody,
    fate: LateError,
    failures: Failures,
}

impl Body for GuestBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        frame.map_err(|_broken_off| self.fate.error().unwrap_or_else(|| self.unfinished()))
    }

    /// True if the guest has given its answer no body at all.
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
}

impl GuestBody {
    /// The reason why a guest that had not failed left its body unfinished. Most likely the body that it was passing
    /// on ended, or it was to tell of a failure of its own.
    fn unfinished(&self) -> CallError {
        match self.failures.last() {
            Some(failure) if failure.is_in_body => CallError::Upstream {
                code: "its answer's body was left unfinished".into(),
                is_timeout: failure.is_timeout,
            },
            _ if self.status.is_server_error() => CallError::GaveUp { status: self.status.as_u16() },
            _ => CallError::Unfinished,
        }
    }
}

/// The run of a guest. A guest that has returned gives its instance.
type HandlerRun = dyn Future<Output = Result<Instance, CallError>> + Send;

/// The rest of a guest's work beside its answer's body. If it is dropped, the guest ends.
pub struct Rest {
    guest: Guest<HandlerRun>,
    fate: LateError,
    limit: Duration,
    /// The end of `stream`. None if it is beyond the clock's range.
    until: Option<Instant>,
}

impl Rest {
    /// Runs the guest to its end, but no longer than `stream` after its head.
    pub async fn run(mut self) -> Result<(), CallError> {
        let ended = match self.until {
            Some(until) => tokio::time::timeout_at(until, &mut self.guest).await,
            None => Ok((&mut self.guest).await),
        };
        let result = ended.unwrap_or_else(|_elapsed| {
            let error = CallError::Stream { limit: self.limit };
            // Set first, for the body ends with the guest.
            self.fate.seal(error.clone());
            Err(error)
        });
        self.guest.finish(|| result.map(Instance::give_back))
    }
}

impl Sandbox {
    /// Calls a handler that streams, until its answer's head is there or `wall` is over.
    pub async fn answer<B>(
        &self,
        instances: &Instances,
        call: Call,
        request: Request<B>,
        wall: impl Future<Output = ()>,
    ) -> Result<Answer, CallError>
    where
        B: Body<Data = Bytes, Error = BodyFault> + Send + 'static,
    {
        let limits = call.limits.clone();
        let cpu = call.cpu.clone();
        let is_https = call.context.scheme == "https";
        let mut instance = instances.for_call(call);
        let (sender, mut head) = oneshot::channel();
        let arguments = match arguments(instance.state_mut(), is_https, request, sender) {
            Ok(arguments) => arguments,
            Err(error) => {
                let refused = CallError::Host(format!("its request cannot be made: {error:#}"));
                return Err(refused);
            }
        };
        let failures = instance.state_mut().failures();
        let fate = LateError::default();
        let run: Pin<Box<HandlerRun>> = Box::pin(run(instance, arguments, limits.clone(), fate.clone()));
        let mut guest = cpu.guest(run);
        let reached = tokio::select! {
            biased;
            result = &mut guest => Reached::End(result),
            set = &mut head => Reached::Head(set),
            () = wall => Reached::Wall,
        };
        match reached {
            Reached::Wall => Err(CallError::Wall),
            // Nothing is sent yet: the caller of a call that fails right after its head still gets an answer.
            Reached::End(Err(error)) => Err(error),
            Reached::End(Ok(instance)) => {
                let answer = match head.try_recv() {
                    Ok(set) => answered(set, &fate, &failures).and_then(whole),
                    Err(_) => Err(CallError::Unset),
                };
                guest.finish(|| match &answer {
                    Ok(_) => instance.give_back(),
                    Err(_) => drop(instance),
                });
                answer
            }
            Reached::Head(Err(_)) => Err(CallError::Unset),
            Reached::Head(Ok(set)) => answered(set, &fate, &failures).map(|response| {
                guest.begin_streaming();
                let (limit, until) = (limits.stream, Instant::now().checked_add(limits.stream));
                let rest = Rest { guest, fate, limit, until };
                Answer::Streamed(Streamed { response, rest })
            }),
        }
    }
}

/// The event that came first.
enum Reached {
    End(Result<Instance, CallError>),
    Head(Result<Set, oneshot::error::RecvError>),
    Wall,
}

type Set = Result<Response<HyperOutgoingBody>, ErrorCode>;

type Arguments = (Resource<HostIncomingRequest>, Resource<HostResponseOutparam>);

fn arguments<B>(
    state: &mut CallState,
    is_https: bool,
    request: Request<B>,
    head: oneshot::Sender<Set>,
) -> wasmtime::Result<Arguments>
where
    B: Body<Data = Bytes, Error = BodyFault> + Send + 'static,
{
    let scheme = if is_https { Scheme::Https } else { Scheme::Http };
    state.call.http_state().asked_for_head_alone = *request.method() == Method::HEAD;
    let mut view = state.http();
    Ok((view.new_incoming_request(scheme, request)?, view.new_response_outparam(head)?))
}

/// Runs the guest to its end. When this has returned an error, the guest's instance is gone.
async fn run(
    mut instance: Instance,
    arguments: Arguments,
    limits: Arc<Limits>,
    fate: LateError,
) -> Result<Instance, CallError> {
    match handle(&mut instance, arguments).await {
        Ok(()) => {
            instance.restore().await;
            Ok(instance)
        }
        Err(stop) => {
            let error = stop.explain(&limits, &instance.state().call.cpu, &instance.state().memory);
            // Set first, for the body ends with the instance.
            fate.seal(error.clone());
            Err(error)
        }
    }
}

async fn handle(instance: &mut Instance, (request, response): Arguments) -> Result<(), CallStop> {
    let (store, proxy) = instance.incoming_handler().await?;
    proxy
        .wasi_http_incoming_handler()
        .call_handle(&mut *store, request, response)
        .await
        .map_err(CallStop::Run)
}

/// The guest's answer, as it was set.
fn answered(set: Set, fate: &LateError, failures: &Failures) -> Result<Response<GuestBody>, CallError> {
    match set {
        Ok(response) => {
            let (fate, failures) = (fate.clone(), failures.clone());
            let status = response.status();
            Ok(response.map(|body| GuestBody { status, body, fate, failures }))
        }
        Err(code) => {
            let text = format!("{code:?}");
            Err(match failures.last() {
                Some(failure) if failure.is_handed_on_as(code) => {
                    CallError::Upstream { code: text, is_timeout: failure.is_timeout }
                }
                _ => CallError::Returned(text),
            })
        }
    }
}

/// The answer of a guest that is done: its whole body waits to be taken.
fn whole(response: Response<GuestBody>) -> Result<Answer, CallError> {
    let (head, mut body) = response.into_parts();
    let mut data: Option<Bytes> = None;
    let mut trailers = None;
    let mut context = TaskContext::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut body).poll_frame(&mut context) {
            Poll::Ready(None) => break,
            Poll::Ready(Some(Err(error))) => return Err(error),
            Poll::Pending => return Err(body.unfinished()),
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(piece) => {
                    data = Some(match data {
                        None => piece,
                        Some(before) => {
                            let mut both = BytesMut::from(before);
                            both.extend_from_slice(&piece);
                            both.freeze()
                        }
                    });
                }
                Err(frame) => trailers = frame.into_trailers().ok(),
            },
        }
    }
    Ok(Answer::Whole { response: Response::from_parts(head, data.unwrap_or_default()), trailers })
}
