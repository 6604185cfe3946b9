//! The one path of a request: route, admit, chain, respond.
//!
//! [`Requests::serve`] is the whole of it. What it calls has a file each: `error.rs` says everything that
//! can go wrong, `respond.rs` is where that becomes an answer, `admit.rs` gives a request its place in the
//! tenant's quota, `chain.rs` runs filters and plugin, `call.rs` one of them, and `account.rs` accounts for
//! the request when it is over, whatever became of it. Bodies that are whole are `body.rs`'s; of those that
//! come in pieces, `upload.rs` has the request's and `stream.rs` the answer's.

mod account;
mod admit;
mod body;
mod call;
mod chain;
mod error;
mod id;
mod message;
mod respond;
mod stream;
mod upload;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, Version, header};
use http_body::Body;

pub use crate::capability::http::Scheme;
pub use account::Ledger;
pub use body::AnswerBody;
pub use error::MessageError;

/// What is the same for every message.
pub mod bounds {
    pub use super::message::{MAX_CHANGES, MAX_FIELD_BYTES, MAX_FIELDS};
}

use account::Account;
use admit::Place;
use body::Content;
use chain::{Admitted, LastLink};
use error::{AdmissionError, RequestError, RoutingError};
use id::RequestIds;

use crate::sandbox::{Context, Sandbox};
use crate::snapshot::{Captures, Chain, HostAnswer, Outcome, Plugin, RequestPath, Revision, Snapshot};
use crate::tenant::{Patience, Slots, Turns};

/// Whom the caller asked for, as the protocol gate read it.
#[derive(Debug, Clone)]
pub struct Authority {
    /// Host name and port as given, in lower case.
    pub authority: Arc<str>,
    /// The host name alone.
    pub host: Arc<str>,
}

/// Who sends requests, and over what: true of all requests of a connection, and of what a trusted proxy says.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its address, if it has one.
    pub client: Option<IpAddr>,
    /// What it spoke.
    pub scheme: Scheme,
    /// The name that it asked for when TLS began, in lower case.
    pub server_name: Option<Arc<str>>,
}

/// The settings of this room, which the operator decides.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// How long one piece of a request's body may take to come.
    pub body_patience: Duration,
    /// What a client must send of a body that is taken as it comes, on average, while it is waited for.
    pub rate_bytes_per_second: u64,
}

impl Settings {
    /// The time that a client may be waited for over the whole of a body: ten times that of one piece, so that one who
    /// drips a byte just before each deadline is cut as well.
    fn whole_body_patience(&self) -> Duration {
        self.body_patience.saturating_mul(10)
    }
}

/// The host's share of what calls need, common to all tenants.
pub struct Capacity {
    /// The CPU.
    pub turns: Turns,
    /// The pool's slots, for calls.
    pub slots: Slots,
    /// Those for calls of filters on an answer that is a stream, which holds one of the others meanwhile. They are
    /// divided: there are fewer than a tenant's quota may allow it calls.
    pub slots_beside_streams: Slots,
}

/// Serves requests on whatever snapshot is live when each is routed.
pub struct Requests {
    snapshot: Arc<ArcSwap<Snapshot>>,
    sandbox: Arc<Sandbox>,
    capacity: Capacity,
    ledger: Ledger,
    ids: RequestIds,
    settings: Settings,
}

impl Requests {
    /// Serves from `snapshot`, in whatever state it is when a request comes.
    pub fn new(
        snapshot: Arc<ArcSwap<Snapshot>>,
        sandbox: Arc<Sandbox>,
        capacity: Capacity,
        ledger: Ledger,
        settings: Settings,
    ) -> Self {
        Self { snapshot, sandbox, capacity, ledger, ids: RequestIds::new(), settings }
    }

    /// Answers one request. `gate` is what the protocol gate said of its head.
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
        let (answer, place) = answered.unwrap_or_else(|error| {
            account.failed(&error, None);
            (respond::problem(&error, &request_id), None)
        });
        respond::finish(answer, is_head, &request_id, account, place)
    }

    async fn answer<B>(
        &self,
        head: Parts,
        body: B,
        caller: Caller,
        request_id: &Arc<str>,
        gate: Result<Authority, MessageError>,
        account: &mut Account,
    ) -> Result<(Response<Content>, Option<Arc<Place>>), RequestError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let asked = gate?;
        account.asked_for(&asked.host);
        let revision = self.revision(&asked, caller.server_name.as_deref())?;
        account.of_tenant(&revision);
        let Some(Routed { filters, last, route, captures, method }) = route(&revision, &asked, &head)? else {
            return Ok((respond::options(None), None));
        };
        let (last, wall) = match last {
            LastLink::Plugin(plugin) => {
                account.takes(plugin, &route);
                (LastLink::Plugin(plugin), plugin.limits.wall)
            }
            LastLink::Host(answer) => match filters.iter().map(|filter| filter.limits.wall).max() {
                Some(wall) => (LastLink::Host(answer), wall),
                // No guest runs for it.
                None => return Ok(((*answer)?, None)),
            },
        };
        let (mut patience, deadline) = (Patience::default(), admit::deadline(wall));
        let place = Place::take(&revision, &mut patience, deadline).await?;
        let mut admitted = Admitted {
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
            head: Arc::new(message::request_head(&head, &method)),
            version: head.version,
            asks_first: head.version == Version::HTTP_11 && head.headers.contains_key(header::EXPECT),
            place: Some(Arc::new(place)),
            patience,
            deadline,
            account,
        };
        let answer = tokio::select! {
            answer = self.run(&mut admitted, last, body) => answer,
            () = revision.ended() => return Err(AdmissionError::Draining.into()),
        };
        Ok((answer, admitted.place))
    }

    /// The tenant's revision that this request runs on from now on.
    ///
    /// A client may ask for several hosts on one connection, if the certificate that it was shown has them (RFC 9113
    /// §9.1.1); for those of another tenant than the one that it named for TLS it has to make another (RFC 9110
    /// §15.5.20). What a connection was made for is then one tenant's, whatever is decided by it.
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

/// Where a request goes.
struct Routed<'a> {
    filters: &'a [Arc<Plugin>],
    last: LastLink<'a>,
    /// The pattern that decided.
    route: Arc<str>,
    captures: Captures,
    /// As it is seen from here on.
    method: Method,
}

/// None is `OPTIONS *`, which asks whether somebody is there (RFC 9110 §9.3.7).
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
    };
    Ok(Some(match revision.route(&asked.host, &path, &head.method, &head.headers) {
        Outcome::Found { target, captures, method, .. } => Routed {
            filters: &target.filters,
            last: LastLink::Plugin(&target.plugin),
            route: target.route.clone(),
            captures,
            method,
        },
        Outcome::Options(answer) => by_host(&answer, Ok(respond::options(Some(answer.allow.clone())))),
        Outcome::MethodNotAllowed(answer) => {
            by_host(&answer, Err(RoutingError::Method { allow: answer.allow.clone() }))
        }
        Outcome::NotFound => return Err(RoutingError::NoRoute.into()),
    }))
}
