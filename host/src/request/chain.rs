//! A chain: filters in order, then the last link, then back through the filters that ran, last first.
//!
//! The last link is a plugin, or the host itself where no route takes the method. Each link of a plugin is a call of
//! its own (`link.rs`), with its own instance, budget and blame. A filter that fails fails the request: no further
//! link runs then.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Response, Version};
use http_body::Body;

use super::admit::{Admitted, NotAdmitted, RoutedRequest, deadline};
use super::body::{Answered, Content};
use super::error::{MessageError, PluginError, RequestError, RoutingError};
use super::head::Head;
use super::link::{Beside, Link};
use super::service::Requests;
use super::stream::StreamedBody;
use super::upload::Upload;
use super::{body, fields, message, respond};
use crate::observe::Plug;
use crate::sandbox::message::{Forward, HeaderChange, Request, RequestHead, Verdict};
use crate::sandbox::{Answer, Sandbox, Streamed};
use crate::snapshot::Plugin;

/// The link that answers a request that all filters let pass.
pub(super) enum LastLink<'a> {
    /// A plugin.
    Plugin(&'a Arc<Plugin>),
    /// The host, because no route takes the method.
    Host(Box<Result<Response<Content>, RoutingError>>),
}

impl LastLink<'_> {
    fn plugin(&self) -> Option<&Arc<Plugin>> {
        match self {
            Self::Plugin(plugin) => Some(plugin),
            Self::Host(_) => None,
        }
    }
}

/// A filter that let the request pass or answered it, with the data that its way back needs.
struct FilterRun<'a> {
    filter: &'a Arc<Plugin>,
    /// The request's head as the filter saw it. Some if the filter is to see the answer too.
    seen: Option<Arc<RequestHead>>,
    changes: Vec<HeaderChange>,
}

/// A request filter's decision.
enum FilterVerdict {
    /// The request goes on; these changes are for the answer.
    Next(Vec<HeaderChange>),
    /// The filter answered it.
    Respond(Box<Response<Content>>),
}

/// The result of a link.
type Linked<'a> = Result<Response<Content>, Failed<'a>>;

/// A failed link: the error, and the plugin that it happened in.
struct Failed<'a> {
    error: RequestError,
    /// None if the host itself is the link.
    plugin: Option<&'a Plugin>,
}

impl<'a> Failed<'a> {
    fn at(plugin: &'a Plugin) -> impl Fn(RequestError) -> Self {
        move |error| Self { error, plugin: Some(plugin) }
    }

    /// Turns the failure into an answer.
    fn answer(self, request: &mut RoutedRequest<'_>) -> Response<Content> {
        request.account.failed(&self.error, self.plugin.map(|plugin| &plugin.name));
        respond::problem(&self.error, &request.context.request_id)
    }
}

impl Requests {
    /// Runs the chain; the answer can be sent as it is.
    pub(super) async fn run_chain<B>(
        &self,
        mut request: Admitted<'_>,
        mut head: Head,
        last: LastLink<'_>,
        body: B,
    ) -> Answered
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let mut runs = Vec::with_capacity(request.filters.len());
        let compressed = request.negotiation.is_some().then(|| last.plugin().cloned()).flatten();
        let (mut request, linked) = match self.inward(&mut request, &mut head, &mut runs).await {
            Ok(Some(answer)) => (request, Ok(answer)),
            Ok(None) => match self.last(request, head, last, body).await {
                Ok(linked) => linked,
                Err((NotAdmitted { mut request, error }, plugin)) => {
                    let response = Failed::at(plugin)(error).answer(&mut request);
                    return Answered { response, place: None };
                }
            },
            Err(failed) => {
                let response = failed.answer(&mut request);
                return Answered { response, place: Some(request.into_place()) };
            }
        };
        // An answer of the host is small, and is sent as it is.
        let compressed = compressed.filter(|_| linked.is_ok());
        let answer = linked.unwrap_or_else(|failed| failed.answer(&mut request));
        let response = match (self.outward(&mut request, runs, answer).await, compressed) {
            (Ok(answer), Some(plugin)) => self.compress(&mut request, &plugin, answer).await,
            (Ok(answer), None) => answer,
            (Err(failed), _) => failed.answer(&mut request),
        };
        Answered { response, place: Some(request.into_place()) }
    }

    /// Asks the filters in order. Returns an answer if a filter gives one.
    async fn inward<'a>(
        &self,
        request: &mut Admitted<'a>,
        head: &mut Head,
        runs: &mut Vec<FilterRun<'a>>,
    ) -> Result<Option<Response<Content>>, Failed<'a>> {
        let filters = request.filters;
        for filter in filters {
            let seen = filter.component().is(Plug::ResponseFilter).then(|| head.values());
            if !filter.component().is(Plug::RequestFilter) {
                runs.push(FilterRun { filter, seen, changes: Vec::new() });
                continue;
            }
            match self.ask(request, head, filter).await.map_err(Failed::at(filter))? {
                FilterVerdict::Next(changes) => runs.push(FilterRun { filter, seen, changes }),
                FilterVerdict::Respond(answer) => {
                    runs.push(FilterRun { filter, seen, changes: Vec::new() });
                    return Ok(Some(*answer));
                }
            }
        }
        Ok(None)
    }

    /// Asks one filter.
    async fn ask(
        &self,
        request: &mut Admitted<'_>,
        head: &mut Head,
        filter: &Arc<Plugin>,
    ) -> Result<FilterVerdict, RequestError> {
        let values = head.values();
        let guest = |sandbox: Arc<Sandbox>, filter: Arc<Plugin>, call| async move {
            sandbox.on_request(&filter.instances, call, &values).await
        };
        let link = Link::inward(filter, Plug::RequestFilter, request);
        self.call(link, request, guest, |verdict| match verdict {
            Verdict::Next(Forward { request_headers, response_headers }) => {
                head.change(request_headers).map_err(PluginError::Answer)?;
                Ok(FilterVerdict::Next(response_headers))
            }
            Verdict::Respond(answer) => {
                let answer = message::whole_response(&filter.limits, head.asked(), answer)?;
                Ok(FilterVerdict::Respond(Box::new(answer.map(Content::from))))
            }
        })
        .await
    }

    /// Asks the last link for the answer. If the request is not admitted again after its upload, its answer passes no
    /// filter.
    async fn last<'a, 'b, B>(
        &self,
        mut request: Admitted<'a>,
        head: Head,
        last: LastLink<'b>,
        body: B,
    ) -> Result<(Admitted<'a>, Linked<'b>), (NotAdmitted<'a>, &'b Plugin)>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        match last {
            LastLink::Host(answer) => {
                Ok((request, (*answer).map_err(|error| Failed { error: error.into(), plugin: None })))
            }
            LastLink::Plugin(plugin) if plugin.component().streams() => {
                let answer = self.stream(&mut request, head, plugin, body).await;
                Ok((request, answer.map_err(Failed::at(plugin))))
            }
            LastLink::Plugin(plugin) => {
                let uploaded = self.upload(request, plugin, body).await;
                let (mut request, body) = uploaded.map_err(|refused| (refused, &**plugin))?;
                let answer = match body {
                    Ok(body) => self.handle(&mut request, head, plugin, body).await,
                    Err(error) => Err(error.into()),
                };
                Ok((request, answer.map_err(Failed::at(plugin))))
            }
        }
    }

    /// Waits for a request's body. The request holds nothing of the tenant's meanwhile; afterwards it is admitted
    /// again if a guest is to run for it.
    async fn upload<'a, B>(
        &self,
        request: Admitted<'a>,
        plugin: &Plugin,
        body: B,
    ) -> Result<(Admitted<'a>, Result<Vec<u8>, MessageError>), NotAdmitted<'a>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        if body.is_end_stream() {
            return Ok((request, Ok(Vec::new())));
        }
        let has_filters = !request.filters.is_empty();
        let uploading = request.upload();
        match body::read(body, plugin.limits.request_body, self.settings).await {
            Err(error) if !has_filters => Err(uploading.refuse(error.into())),
            read => Ok((uploading.admit().await?, read)),
        }
    }

    /// Calls a plugin that takes and gives whole bodies.
    async fn handle(
        &self,
        request: &mut Admitted<'_>,
        head: Head,
        plugin: &Arc<Plugin>,
        body: Vec<u8>,
    ) -> Result<Response<Content>, RequestError> {
        let asked = head.asked();
        let message = Request { head: head.into_values(), body };
        let guest = |sandbox: Arc<Sandbox>, plugin: Arc<Plugin>, call| async move {
            sandbox.handle(&plugin.instances, call, message).await
        };
        let link = Link::inward(plugin, Plug::Handler, request);
        let accept = |answer| message::whole_response(&plugin.limits, asked, answer);
        Ok(self.call(link, request, guest, accept).await?.map(Content::from))
    }

    /// Calls a plugin that reads its request's body as a stream, and may answer with a stream.
    async fn stream<B>(
        &self,
        request: &mut Admitted<'_>,
        head: Head,
        plugin: &Arc<Plugin>,
        body: B,
    ) -> Result<Response<Content>, RequestError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let asks_first = head.asks_first() && !body.is_end_stream();
        let (upload, watch) = Upload::new(body, plugin.limits.request_body, self.settings)?;
        let (asked, version) = (head.asked(), head.version());
        let in_flight = Link::inward(plugin, Plug::Handler, request).enter(&self.capacity, request).await?;
        let (wall, watched) = (in_flight.ends_at(), watch.clone());
        let message = head.into_request(&request.context.authority, upload)?;
        let answer = self.run(in_flight, request, |sandbox, plugin, call| async move {
            sandbox.answer(&plugin.instances, call, message, watched.wall(wall)).await
        });
        let (in_flight, result) = tokio::select! {
            biased;
            called = answer => called,
            fault = watch.fault() => return Err(MessageError::from(fault).into()),
        };
        // The plugin sees the fault as well, but the caller caused it.
        if let Some(fault) = watch.fault_so_far() {
            drop(result);
            drop(in_flight);
            return Err(MessageError::from(fault).into());
        }
        match result {
            Err(error) => in_flight.accept(Err(error), |answer: Infallible| match answer {}),
            Ok(Answer::Whole { response, trailers }) => {
                if let Some(trailers) = trailers.as_ref().filter(|_| version != Version::HTTP_2) {
                    let announced = fields::announced_trailers(response.headers());
                    let lost = trailers.keys().filter(|name| !announced.contains(name));
                    self.plugin_log(plugin, &request.context).trailers_not_announced(lost);
                }
                in_flight.accept(Ok(response), |answer| {
                    message::streamed_whole(&plugin.limits, asked, answer, trailers)
                })
            }
            Ok(Answer::Streamed(Streamed { response, rest })) => {
                let (head, body) = response.into_parts();
                let head = match message::streamed_head(head, asked, body.is_end_stream()) {
                    Ok(head) => head,
                    Err(error) => {
                        // The instance goes before its permits do.
                        drop((body, rest));
                        return in_flight.accept(Ok(()), |()| Err(PluginError::Answer(error)));
                    }
                };
                let log = self.plugin_log(plugin, &request.context);
                let mut body =
                    StreamedBody::begin(body, (rest, in_flight), log, &head.headers, version, watch);
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
        runs: Vec<FilterRun<'a>>,
        mut answer: Response<Content>,
    ) -> Linked<'a> {
        for FilterRun { filter, seen, changes } in runs.into_iter().rev() {
            let at = Failed::at(filter);
            let changed = message::change_response(answer.headers_mut(), changes);
            changed.map_err(|error| at(PluginError::Answer(error).into()))?;
            let Some(seen) = seen else { continue };
            // A `wall` of the filter's own: the plugin's wall may be the one that has just run out.
            let deadline = deadline(filter.limits.wall);
            let head = message::response_head(&answer);
            let beside = match answer.body() {
                Content::Streamed(_) => Beside::Stream,
                Content::Whole { .. } | Content::Encoded(_) => Beside::Nothing,
            };
            let link = Link { plugin: filter, plug: Plug::ResponseFilter, deadline, beside };
            let guest = |sandbox: Arc<Sandbox>, filter: Arc<Plugin>, call| async move {
                sandbox.on_response(&filter.instances, call, &seen, &head).await
            };
            let accept = |changes| {
                message::change_response(answer.headers_mut(), changes).map_err(PluginError::Answer)
            };
            self.call(link, request, guest, accept).await.map_err(at)?;
        }
        Ok(answer)
    }
}
