//! The chain of one route, run link by link: filters in order, the plugin, filters back.
//!
//! Each link is a call of its own (`call.rs`). Whoever answered, the answer goes back through the filters
//! that ran, last first; but a filter that fails ends the chain: what it was there to guard must not pass. Where no route
//! takes the method, the host is the last link.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, Version};
use http_body::Body;
use tokio::time::Instant;

use super::account::Account;
use super::admit::{Place, deadline};
use super::body::Content;
use super::call::{Beside, Held, Running};
use super::error::{MessageError, PluginError, RequestError, RoutingError};
use super::message::Asked;
use super::stream::{Going, StreamedBody};
use super::upload::Upload;
use super::{Requests, body, message, respond};
use crate::limits::Limits;
use crate::observe::Plug;
use crate::sandbox::message::{Forward, HeaderChange, Request, RequestHead, Verdict};
use crate::sandbox::{Answer, Called, Context, Streamed};
use crate::snapshot::{Plugin, Revision};
use crate::tenant::Patience;

/// A request that has its place in the tenant's quota.
pub(super) struct Admitted<'a> {
    pub(super) revision: &'a Arc<Revision>,
    pub(super) filters: &'a [Arc<Plugin>],
    pub(super) context: Arc<Context>,
    /// The head as the next link sees it.
    pub(super) head: Arc<RequestHead>,
    /// None while a caller's bytes are waited for, and for good if there was none afterwards: no guest runs for it then.
    pub(super) place: Option<Arc<Place>>,
    pub(super) version: Version,
    /// Whether its caller sends its body only when told to go on, and can be told.
    pub(super) asks_first: bool,
    pub(super) patience: Patience,
    /// When the last link's `wall` ends.
    pub(super) deadline: Instant,
    pub(super) account: &'a mut Account,
}

impl Admitted<'_> {
    /// What each of its calls holds.
    fn held(&self) -> Held {
        Held { revision: self.revision.clone(), _place: self.place.clone() }
    }

    /// The head, for the last link: nobody looks at it after that.
    fn take_head(&mut self) -> RequestHead {
        let nothing =
            RequestHead { method: String::new(), path: String::new(), query: None, headers: Vec::new() };
        Arc::unwrap_or_clone(std::mem::replace(&mut self.head, Arc::new(nothing)))
    }
}

/// What answers a request that all filters let pass.
pub(super) enum LastLink<'a> {
    /// A plugin.
    Plugin(&'a Arc<Plugin>),
    /// The host, for no route takes the method.
    Host(Box<Result<Response<Content>, RoutingError>>),
}

/// A filter that ran, and what it asked for on the way back.
struct Passed<'a> {
    filter: &'a Arc<Plugin>,
    /// The request's head as it saw it, if it is to see the answer too.
    seen: Option<Arc<RequestHead>>,
    changes: Vec<HeaderChange>,
}

/// What a request filter's verdict came to.
enum Heeded {
    /// The request goes on; these are for the answer.
    Next(Vec<HeaderChange>),
    /// It was answered.
    Respond(Box<Response<Content>>),
}

/// A failure, and the link where it happened.
struct Failed<'a> {
    error: RequestError,
    /// None is the host.
    plugin: Option<&'a Plugin>,
}

impl<'a> Failed<'a> {
    fn at(plugin: &'a Plugin) -> impl Fn(RequestError) -> Self {
        move |error| Self { error, plugin: Some(plugin) }
    }
}

impl Requests {
    /// Runs the chain; what comes back can be sent as it is.
    pub(super) async fn run<B>(
        &self,
        request: &mut Admitted<'_>,
        last: LastLink<'_>,
        body: B,
    ) -> Response<Content>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let mut passed = Vec::with_capacity(request.filters.len());
        let answer = match self.inward(request, &mut passed).await {
            Ok(Some(answer)) => answer,
            Ok(None) => match self.last(request, last, body).await {
                Ok(answer) => answer,
                Err(failed) => self.refuse(request, failed),
            },
            Err(failed) => return self.refuse(request, failed),
        };
        if request.place.is_none() {
            return answer;
        }
        match self.outward(request, passed, answer).await {
            Ok(answer) => answer,
            Err(failed) => self.refuse(request, failed),
        }
    }

    /// Asks the filters in order. Some answer if one of them gives it.
    async fn inward<'a>(
        &self,
        request: &mut Admitted<'a>,
        passed: &mut Vec<Passed<'a>>,
    ) -> Result<Option<Response<Content>>, Failed<'a>> {
        let filters = request.filters;
        for filter in filters {
            let at = Failed::at(filter);
            let seen = filter.component().is(Plug::ResponseFilter).then(|| request.head.clone());
            if !filter.component().is(Plug::RequestFilter) {
                passed.push(Passed { filter, seen, changes: Vec::new() });
                continue;
            }
            match self.ask(request, filter).await.map_err(at)? {
                Heeded::Next(changes) => passed.push(Passed { filter, seen, changes }),
                Heeded::Respond(answer) => {
                    passed.push(Passed { filter, seen, changes: Vec::new() });
                    return Ok(Some(*answer));
                }
            }
        }
        Ok(None)
    }

    /// Has the last link answer.
    async fn last<'a, B>(
        &self,
        request: &mut Admitted<'_>,
        last: LastLink<'a>,
        body: B,
    ) -> Result<Response<Content>, Failed<'a>>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let plugin = match last {
            LastLink::Plugin(plugin) => plugin,
            LastLink::Host(answer) => {
                return (*answer).map_err(|error| Failed { error: error.into(), plugin: None });
            }
        };
        let answer = if plugin.component().streams() {
            self.handle_streams(request, plugin, body).await
        } else {
            self.handle_whole(request, plugin, body).await
        };
        answer.map_err(Failed::at(plugin))
    }

    /// Calls a plugin that takes and gives whole bodies, once the request's is there.
    async fn handle_whole<B>(
        &self,
        request: &mut Admitted<'_>,
        plugin: &Arc<Plugin>,
        body: B,
    ) -> Result<Response<Content>, RequestError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let body = self.whole_body(request, plugin, body).await?;
        let asked = Asked::by(&request.head);
        let message = Request { head: request.take_head(), body };
        let running = self.begin_inward(request, plugin, Plug::Handler).await?;
        let call = self.call(plugin, &request.context, request.deadline);
        let (running, called) = self
            .in_turns(running, call, request.account.cpu(), |sandbox, plugin, call| async move {
                sandbox.handle(&plugin.instances, call, message).await
            })
            .await;
        let answer = running.end(called, |answer| message::whole_response(&plugin.limits, asked, answer))?;
        Ok(answer.map(Content::from))
    }

    /// Waits for a request's body. Meanwhile the request holds nothing; afterwards it has its place again, if a guest is to
    /// run for it.
    async fn whole_body<B>(
        &self,
        request: &mut Admitted<'_>,
        plugin: &Plugin,
        body: B,
    ) -> Result<Vec<u8>, RequestError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body.is_end_stream() {
            return Ok(Vec::new());
        }
        request.place = None;
        let began = Instant::now();
        let body = body::read(body, plugin.limits.request_body, self.settings).await;
        request.deadline = request.deadline.checked_add(began.elapsed()).unwrap_or(request.deadline);
        if body.is_ok() || !request.filters.is_empty() {
            let place = Place::take(request.revision, &mut request.patience, request.deadline).await?;
            request.place = Some(Arc::new(place));
        }
        Ok(body?)
    }

    /// Calls a plugin that takes its body as it comes, and gives its answer's so.
    async fn handle_streams<B>(
        &self,
        request: &mut Admitted<'_>,
        plugin: &Arc<Plugin>,
        body: B,
    ) -> Result<Response<Content>, RequestError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let asks_first = request.asks_first && !body.is_end_stream();
        let (upload, watch) = Upload::new(body, plugin.limits.request_body, self.settings)?;
        let asked = Asked::by(&request.head);
        let running = self.begin_inward(request, plugin, Plug::Handler).await?;
        let call = self.call(plugin, &request.context, request.deadline);
        let (wall, watched) = (call.deadline, watch.clone());
        let message = message::streamed_request(request.take_head(), &request.context, upload)?;
        let cpu = request.account.cpu();
        let answer = self.in_turns(running, call, cpu, |sandbox, plugin, call| async move {
            sandbox.answer(&plugin.instances, call, message, watched.wall(wall)).await
        });
        let (running, Called { result, cpu }) = tokio::select! {
            biased;
            called = answer => called,
            fault = watch.fault() => return Err(MessageError::from(fault).into()),
        };
        // The plugin was told as well, but what became of the body is the caller's affair.
        if let Some(fault) = watch.fault_so_far() {
            drop(result);
            drop(running);
            return Err(MessageError::from(fault).into());
        }
        match result {
            Err(error) => {
                running.end(Called { result: Err(error), cpu }, |answer: Infallible| match answer {})
            }
            Ok(Answer::Whole { response, trailers }) => {
                if let Some(trailers) = trailers.as_ref().filter(|_| request.version != Version::HTTP_2) {
                    let announced = message::announced_trailers(response.headers());
                    let lost = trailers.keys().filter(|name| !announced.contains(name));
                    self.plugin_log(plugin, &request.context).trailers_not_announced(lost);
                }
                let ended = Called { result: Ok(response), cpu };
                running.end(ended, |answer| message::streamed_whole(&plugin.limits, asked, answer, trailers))
            }
            Ok(Answer::Streamed(Streamed { response, rest })) => {
                let (head, body) = response.into_parts();
                let head = match message::streamed_head(head, asked, body.is_end_stream()) {
                    Ok(head) => head,
                    Err(error) => {
                        // The instance goes before its permits do.
                        drop((body, rest));
                        let refused = Called { result: Ok(()), cpu };
                        return running.end(refused, |()| Err(PluginError::Answer(error)));
                    }
                };
                let log = self.plugin_log(plugin, &request.context);
                let (turns, sandbox) = (self.capacity.turns.clone(), self.sandbox.clone());
                let going = Going { rest, running, turns, sandbox };
                let mut body = StreamedBody::begin(body, going, log, &head.headers, request.version, watch);
                if asks_first {
                    body.until_asked_for().await;
                }
                Ok(Response::from_parts(head, body.into()))
            }
        }
    }

    /// Takes the answer back through the filters that ran, last first.
    async fn outward<'a>(
        &self,
        request: &mut Admitted<'a>,
        passed: Vec<Passed<'a>>,
        mut answer: Response<Content>,
    ) -> Result<Response<Content>, Failed<'a>> {
        for Passed { filter, seen, changes } in passed.into_iter().rev() {
            let at = Failed::at(filter);
            let changed = message::change_response(answer.headers_mut(), changes);
            changed.map_err(|error| at(PluginError::Answer(error).into()))?;
            let Some(seen) = seen else { continue };
            // A `wall` of its own: the plugin's may be what has just run out.
            let deadline = deadline(filter.limits.wall);
            let head = message::response_head(&answer);
            let beside = match answer.body() {
                Content::Streamed(_) => Beside::Stream,
                Content::Whole { .. } => Beside::Nothing,
            };
            let (held, patience) = (request.held(), &mut request.patience);
            let running = self.begin(filter, Plug::ResponseFilter, deadline, patience, held, beside).await;
            let running = running.map_err(&at)?;
            let call = self.call(filter, &request.context, deadline);
            let (running, called) = self
                .in_turns(running, call, request.account.cpu(), |sandbox, filter, call| async move {
                    sandbox.on_response(&filter.instances, call, &seen, &head).await
                })
                .await;
            let change = |changes| {
                message::change_response(answer.headers_mut(), changes).map_err(PluginError::Answer)
            };
            running.end(called, change).map_err(&at)?;
        }
        Ok(answer)
    }

    async fn ask(&self, request: &mut Admitted<'_>, filter: &Arc<Plugin>) -> Result<Heeded, RequestError> {
        let running = self.begin_inward(request, filter, Plug::RequestFilter).await?;
        let call = self.call(filter, &request.context, request.deadline);
        let head = request.head.clone();
        let (running, called) = self
            .in_turns(running, call, request.account.cpu(), |sandbox, filter, call| async move {
                sandbox.on_request(&filter.instances, call, &head).await
            })
            .await;
        running.end(called, |verdict| heed(verdict, Arc::make_mut(&mut request.head), &filter.limits))
    }

    /// Begins a call on the way in, while no other of its request's is alive.
    async fn begin_inward(
        &self,
        request: &mut Admitted<'_>,
        plugin: &Arc<Plugin>,
        plug: Plug,
    ) -> Result<Running, RequestError> {
        let (held, deadline) = (request.held(), request.deadline);
        self.begin(plugin, plug, deadline, &mut request.patience, held, Beside::Nothing).await
    }

    /// Turns a failure into an answer.
    fn refuse(&self, request: &mut Admitted<'_>, failed: Failed<'_>) -> Response<Content> {
        request.account.failed(&failed.error, failed.plugin.map(|plugin| &plugin.name));
        respond::problem(&failed.error, &request.context.request_id)
    }
}

/// Makes the changes that a filter asks for, or takes its answer.
fn heed(verdict: Verdict, head: &mut RequestHead, limits: &Limits) -> Result<Heeded, PluginError> {
    match verdict {
        Verdict::Next(Forward { request_headers, response_headers }) => {
            message::change_request(head, request_headers).map_err(PluginError::Answer)?;
            Ok(Heeded::Next(response_headers))
        }
        Verdict::Respond(answer) => {
            let answer = message::whole_response(limits, Asked::by(head), answer)?;
            Ok(Heeded::Respond(Box::new(answer.map(Content::from))))
        }
    }
}
