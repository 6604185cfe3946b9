//! The chain of one route, run link by link: filters in order, the plugin, filters back.
//!
//! Each link is a call of its own, with its own instance, permits, limits and metrics. Whoever answered,
//! the answer goes back through the filters that ran, last first; but a filter that fails ends the chain:
//! what it was there to guard must not pass.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tokio::time::Instant;

use super::account::Account;
use super::error::{AdmissionError, PluginError, RequestError};
use super::guest_log::PluginLog;
use super::{Requests, body, message, respond};
use crate::observe::{Held, Plug};
use crate::sandbox::message::{Forward, HeaderChange, Request, RequestHead, Verdict};
use crate::sandbox::{Call, Called, Context, Limits};
use crate::snapshot::{Chain, Plugin};
use crate::tenant::{Gate, Permit};

/// A request that has its place in the tenant's quota.
pub(super) struct Admitted<'a> {
    pub(super) chain: &'a Chain,
    pub(super) context: Arc<Context>,
    /// The head as the next link sees it.
    pub(super) head: RequestHead,
    pub(super) tenant: &'a Gate,
    /// None while a caller's bytes are waited for.
    pub(super) place: Option<Permit>,
    /// When `wall` of the route's plugin ends.
    pub(super) deadline: Instant,
}

/// A filter that ran, and what it asked for on the way back.
struct Passed<'a> {
    filter: &'a Arc<Plugin>,
    /// The request's head as it saw it, if it is to see the answer too.
    seen: Option<RequestHead>,
    changes: Vec<HeaderChange>,
}

/// What a call holds while it runs.
struct Slot {
    _place: Permit,
    _slot: Permit,
    _in_flight: Held,
}

/// A failure, and the link where it happened.
struct Failed<'a> {
    error: RequestError,
    plugin: &'a Plugin,
}

impl Requests {
    /// Runs the chain; what comes back can be sent as it is.
    pub(super) async fn run<B>(
        &self,
        request: &mut Admitted<'_>,
        body: B,
        account: &mut Account,
    ) -> Response<Bytes>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut passed = Vec::with_capacity(request.chain.filters.len());
        let answer = match self.inward(request, &mut passed).await {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => self.handle(request, body).await,
            Err(failed) => return self.refuse(request, failed, account),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(failed) => self.refuse(request, failed, account),
        };
        match self.outward(request, passed, answer).await {
            Ok(answer) => answer,
            Err(failed) => self.refuse(request, failed, account),
        }
    }

    /// Asks the filters in order. Some answer if one of them gives it.
    async fn inward<'a>(
        &self,
        request: &mut Admitted<'a>,
        passed: &mut Vec<Passed<'a>>,
    ) -> Result<Option<Response<Bytes>>, Failed<'a>> {
        let chain = request.chain;
        for filter in &chain.filters {
            let at = |error| Failed { error, plugin: filter };
            let seen = filter.component.is(Plug::ResponseFilter).then(|| request.head.clone());
            if !filter.component.is(Plug::RequestFilter) {
                passed.push(Passed { filter, seen, changes: Vec::new() });
                continue;
            }
            match self.ask(request, filter).await.map_err(at)? {
                Verdict::Next(Forward { request_headers, response_headers }) => {
                    let invalid = |error| at(PluginError::Answer(error).into());
                    message::change_request(&mut request.head, request_headers).map_err(invalid)?;
                    passed.push(Passed { filter, seen, changes: response_headers });
                }
                Verdict::Respond(answer) => {
                    passed.push(Passed { filter, seen, changes: Vec::new() });
                    return checked(filter, answer).map(Some).map_err(at);
                }
            }
        }
        Ok(None)
    }

    /// Calls the plugin, once the body is whole. Until it is, the request holds no permit.
    async fn handle<'a, B>(&self, request: &mut Admitted<'a>, body: B) -> Result<Response<Bytes>, Failed<'a>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let chain = request.chain;
        let plugin = &chain.plugin;
        let at = |error| Failed { error, plugin };
        let body = if body.is_end_stream() {
            Vec::new()
        } else {
            request.place = None;
            let began = Instant::now();
            let body = body::read(body, plugin.limits.request_body, self.settings.body_patience).await;
            request.deadline = request.deadline.checked_add(began.elapsed()).unwrap_or(request.deadline);
            let body = body.map_err(|error| at(error.into()))?;
            let place = request.tenant.enter(request.deadline).await;
            request.place = Some(place.map_err(|refused| at(AdmissionError::Tenant(refused).into()))?);
            body
        };
        let message = Request { head: request.head.clone(), body };
        let slot = self.slot(plugin, request.deadline).await.map_err(at)?;
        let call = self.call(plugin, &request.context, request.deadline);
        let called = self.sandbox.handle(&plugin.component, call, message).await;
        drop(slot);
        let answer = settle(plugin, Plug::Handler, called).map_err(at)?;
        checked(plugin, answer).map_err(at)
    }

    /// Takes the answer back through the filters that ran, last first.
    async fn outward<'a>(
        &self,
        request: &Admitted<'a>,
        passed: Vec<Passed<'a>>,
        mut answer: Response<Bytes>,
    ) -> Result<Response<Bytes>, Failed<'a>> {
        for Passed { filter, seen, changes } in passed.into_iter().rev() {
            let at = |error| Failed { error, plugin: filter };
            let invalid = |error| at(PluginError::Answer(error).into());
            message::change_response(answer.headers_mut(), changes).map_err(invalid)?;
            let Some(seen) = seen else { continue };
            let head = message::response_head(&answer);
            let slot = self.slot(filter, request.deadline).await.map_err(at)?;
            let call = self.call(filter, &request.context, request.deadline);
            let called = self.sandbox.on_response(&filter.component, call, &seen, &head).await;
            drop(slot);
            let changes = settle(filter, Plug::ResponseFilter, called).map_err(at)?;
            message::change_response(answer.headers_mut(), changes).map_err(invalid)?;
        }
        Ok(answer)
    }

    async fn ask(&self, request: &Admitted<'_>, filter: &Arc<Plugin>) -> Result<Verdict, RequestError> {
        let slot = self.slot(filter, request.deadline).await?;
        let call = self.call(filter, &request.context, request.deadline);
        let called = self.sandbox.on_request(&filter.component, call, &request.head).await;
        drop(slot);
        settle(filter, Plug::RequestFilter, called)
    }

    /// The plugin's own permit, then one of the host's slots: in this order, so that a plugin that is full
    /// keeps nobody else from a slot.
    async fn slot(&self, plugin: &Plugin, deadline: Instant) -> Result<Slot, RequestError> {
        let rejected = |error| {
            plugin.metrics.queue_rejected();
            RequestError::Admission(error)
        };
        let waiting = plugin.metrics.waiting_guard();
        let place = plugin.gate.enter(deadline).await.map_err(|r| rejected(AdmissionError::Plugin(r)))?;
        let slot = self.slots.enter(deadline).await.map_err(|r| rejected(AdmissionError::Host(r)))?;
        drop(waiting);
        Ok(Slot { _place: place, _slot: slot, _in_flight: plugin.metrics.in_flight_guard() })
    }

    fn call(&self, plugin: &Arc<Plugin>, context: &Arc<Context>, deadline: Instant) -> Call {
        let limits = &plugin.limits;
        let own_deadline = Instant::now().checked_add(limits.wall).unwrap_or(deadline);
        Call {
            limits: Limits {
                cpu: limits.cpu,
                deadline: own_deadline.min(deadline),
                memory_bytes: limits.memory,
                response_body_bytes: limits.response_body,
                log_lines: limits.log_lines,
                log_bytes: limits.log_bytes,
            },
            context: context.clone(),
            abilities: plugin.abilities.clone(),
            log: Box::new(PluginLog::new(&self.books.log, plugin, &context.request_id)),
        }
    }

    /// Turns a failure into an answer.
    fn refuse(&self, request: &Admitted<'_>, failed: Failed<'_>, account: &mut Account) -> Response<Bytes> {
        account.failed(&failed.error, Some(&failed.plugin.name));
        respond::problem(&failed.error, &request.context.request_id)
    }
}

/// Counts a call that has ended, and takes out what it gave.
fn settle<T>(plugin: &Plugin, plug: Plug, called: Called<T>) -> Result<T, RequestError> {
    let outcome =
        called.result.as_ref().map_or_else(|error| error.outcome(), |_| crate::observe::Outcome::Ok);
    plugin.metrics.call(plug, outcome, called.cpu);
    called.result.map_err(|error| PluginError::Call(error).into())
}

/// A plugin's answer, if it is one that can be sent.
fn checked(
    plugin: &Plugin,
    answer: crate::sandbox::message::Response,
) -> Result<Response<Bytes>, RequestError> {
    let bytes = answer.body.len();
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > plugin.limits.response_body) {
        return Err(PluginError::BodyTooLarge { bytes, limit_bytes: plugin.limits.response_body }.into());
    }
    message::response(answer).map_err(|error| PluginError::Answer(error).into())
}

/// `wall` begins at admission.
pub(super) fn deadline(wall: Duration) -> Instant {
    let now = Instant::now();
    // A wall beyond what the clock can say is none; a century serves as well.
    now.checked_add(wall).unwrap_or_else(|| now.checked_add(CENTURY).unwrap_or(now))
}

const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
