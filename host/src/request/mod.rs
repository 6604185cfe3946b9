//! The one path of a request: route, admit, chain, respond.
//!
//! [`Requests::serve`] is the whole of it. Each step has a file: `error.rs` lists all errors, `respond.rs` turns an
//! error into an answer, `admit.rs` gives a request its place in the tenant's quota, `chain.rs` runs filters and
//! plugin, `link.rs` runs one of them, and `account.rs` accounts for the request when it is over, however it ended.
//! `head.rs` has the request's head, and `message.rs` checks answers. Whole bodies are in `body.rs`; of the streamed
//! bodies, `upload.rs` has the request's and `stream.rs` the answer's. `compression.rs` compresses an answer.

mod account;
mod admit;
mod body;
mod chain;
mod compression;
mod encoder;
mod error;
mod fields;
mod head;
mod id;
mod link;
mod message;
mod negotiation;
mod place;
mod respond;
mod service;
mod stream;
mod upload;

use std::sync::Arc;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response};
use http_body::Body;

pub use crate::capability::http::Scheme;
pub use account::Ledger;
pub use body::AnswerBody;
pub use error::MessageError;
pub use id::{REQUEST_ID, RequestIds};
pub use service::{Authority, Caller, Capacity, Requests, Settings};

/// The bounds that are the same for every message.
pub mod bounds {
    pub use super::encoder::ENCODER_BYTES;
    pub use super::fields::{MAX_CHANGES, MAX_FIELD_BYTES, MAX_FIELDS};
    pub use super::negotiation::LEAST_BYTES as LEAST_COMPRESSED_BYTES;
}

use account::Account;
use admit::RoutedRequest;
use body::Answered;
use chain::LastLink;
use error::{AdmissionError, RequestError, RoutingError};
use head::Head;
use negotiation::Negotiation;

use crate::sandbox::Context;
use crate::snapshot::{Captures, Chain, HostAnswer, Plugin, RequestPath, Revision, RouteMatch};
use crate::tenant::Patience;

impl Requests {
    /// Answers one request. `gate` is the protocol gate's decision on the request's head.
    pub async fn serve<B>(
        &self,
        request: Request<B>,
        caller: Caller,
        gate: Result<Authority, MessageError>,
    ) -> Response<AnswerBody>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let (mut head, body) = request.into_parts();
        let request_id = self.ids.of(&head.headers);
        if let Ok(value) = HeaderValue::from_str(&request_id) {
            head.headers.insert(id::REQUEST_ID, value);
        }
        let trace_id = id::trace_id(&head.headers);
        let mut account = Account::open(&self.ledger, &head, caller.client, request_id.clone(), trace_id);
        let is_head = head.method == Method::HEAD;
        let answered = self.answer(head, body, caller, &request_id, gate, &mut account).await;
        let answered = answered.unwrap_or_else(|error| {
            account.failed(&error, None);
            respond::problem(&error, &request_id).into()
        });
        respond::finish(answered, is_head, &request_id, account)
    }

    async fn answer<B>(
        &self,
        head: Parts,
        body: B,
        caller: Caller,
        request_id: &Arc<str>,
        gate: Result<Authority, MessageError>,
        account: &mut Account,
    ) -> Result<Answered, RequestError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let asked = gate?;
        account.asked_for(&asked.host);
        let revision = self.revision(&asked, caller.server_name.as_deref())?;
        account.of_tenant(&revision);
        let Some(Routed { filters, last, route, captures, method, negotiation }) =
            route(&revision, &asked, &head)?
        else {
            return Ok(respond::options(None).into());
        };
        let (last, wall) = match last {
            LastLink::Plugin(plugin) => {
                account.takes(plugin, &route);
                (LastLink::Plugin(plugin), plugin.limits.wall)
            }
            LastLink::Host(answer) => match filters.iter().map(|filter| filter.limits.wall).max() {
                Some(wall) => (LastLink::Host(answer), wall),
                // No guest runs for this request.
                None => return Ok((*answer)?.into()),
            },
        };
        let request = RoutedRequest {
            revision: &revision,
            filters,
            context: Arc::new(Context {
                request_id: request_id.clone(),
                client: caller.client,
                scheme: caller.scheme.as_str(),
                authority: asked.authority,
                route,
                captures: captures.into_pairs(),
            }),
            patience: Patience::default(),
            deadline: admit::deadline(wall),
            negotiation,
            account,
        };
        let request = request.admit().await.map_err(|refused| refused.error)?;
        tokio::select! {
            answered = self.run_chain(request, Head::new(head, method), last, body) => Ok(answered),
            () = revision.ended() => Err(AdmissionError::Draining.into()),
        }
    }

    /// The tenant's revision that this request runs on from now on.
    ///
    /// A client may ask for several hosts on one connection, if the certificate that it was shown has them (RFC 9113
    /// §9.1.1). For a host of another tenant than the one that it named for TLS, it must make another connection (RFC
    /// 9110 §15.5.20). So the tenant that a connection was made for decides on all of the connection.
    fn revision(&self, asked: &Authority, server_name: Option<&str>) -> Result<Arc<Revision>, RoutingError> {
        let snapshot = self.snapshot.load();
        let revision = snapshot.revision(&asked.host).ok_or(RoutingError::NoTenant)?;
        let other_name = server_name.filter(|name| **name != *asked.host);
        let is_its = |name| snapshot.revision(name).is_some_and(|named| named.tenant == revision.tenant);
        if other_name.is_some_and(|name| !is_its(name)) {
            return Err(RoutingError::Misdirected);
        }
        Ok(revision.clone())
    }
}

/// The plugins, or the host's answer, that a request is routed to.
struct Routed<'a> {
    filters: &'a [Arc<Plugin>],
    last: LastLink<'a>,
    /// The pattern of the route that matched.
    route: Arc<str>,
    captures: Captures,
    /// The method that filters and plugin see.
    method: Method,
    /// None if the route offers no compression.
    negotiation: Option<Negotiation>,
}

/// Routes a request. None is `OPTIONS *`, which asks if a server is there (RFC 9110 §9.3.7).
fn route<'a>(
    revision: &'a Revision,
    asked: &Authority,
    head: &Parts,
) -> Result<Option<Routed<'a>>, RequestError> {
    if head.uri.path() == "*" {
        return Ok(None);
    }
    let path = RequestPath::parse(head.uri.path()).map_err(MessageError::Path)?;
    let by_host = |answer: &HostAnswer<'a, Chain>, said| Routed {
        filters: Chain::shared_filters(&answer.targets),
        last: LastLink::Host(Box::new(said)),
        route: answer.pattern.to_string().into(),
        captures: answer.captures.clone(),
        method: head.method.clone(),
        negotiation: None,
    };
    Ok(Some(match revision.route(&asked.host, &path, &head.method, &head.headers) {
        RouteMatch::Found { target, captures, method, .. } => Routed {
            filters: &target.filters,
            last: LastLink::Plugin(&target.plugin),
            route: target.route.clone(),
            negotiation: Negotiation::on(target, head, &method),
            captures,
            method,
        },
        RouteMatch::Options(answer) => by_host(&answer, Ok(respond::options(Some(answer.allow.clone())))),
        RouteMatch::MethodNotAllowed(answer) => {
            by_host(&answer, Err(RoutingError::Method { allow: answer.allow.clone() }))
        }
        RouteMatch::NotFound => return Err(RoutingError::NoRoute.into()),
    }))
}
