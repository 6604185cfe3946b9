//! Events: the audit log as it grows, as server-sent events (WHATWG HTML §9.2). A stream resumes behind the entry that
//! its client has seen last.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Frame;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::admin::answer::Answer;
use crate::admin::api::Api;
use crate::admin::caller::Caller;
use crate::admin::extract::{OfTenant, Operator};
use crate::admin::openapi::Always;
use crate::admin::problem::Problem;
use crate::admin::query::Query;
use crate::deploy::AuditEntry;
use crate::tenant::TenantName;

/// The time after which a comment is sent if nothing else was: a proxy between would end a silent connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The events that wait for a client that is slow.
const WAITING_EVENTS: usize = 16;

/// The longest wait for a client that takes no event.
const PATIENCE: Duration = Duration::from_secs(30);

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What happens to a tenant, as it happens.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/events", tag = "audit", operation_id = "follow-tenant",
    params(
        ("tenant" = String, Path),
        ("last-event-id" = Option<u64>, Header, description = "the last entry that was seen; left out, the latest")
    ),
    responses(
        (status = 200, description = "events whose `id` is the number of an entry and whose `data` is the entry",
            body = AuditEntry, content_type = "text/event-stream"),
        Always
    )
)]
pub(in crate::admin) async fn of_tenant(
    State(api): State<Api>,
    OfTenant { tenant, caller }: OfTenant,
    query: Query,
    headers: HeaderMap,
) -> Answer {
    query.only(&[])?;
    api.plane.tenant(&tenant).await?;
    stream(api, Some(tenant), caller, &headers)
}

/// What happens, as it happens.
#[utoipa::path(
    get, path = "/v1/events", tag = "audit", operation_id = "follow",
    params(
        ("last-event-id" = Option<u64>, Header, description = "the last entry that was seen; left out, the latest")
    ),
    responses(
        (status = 200, description = "events whose `id` is the number of an entry and whose `data` is the entry",
            body = AuditEntry, content_type = "text/event-stream"),
        Always
    )
)]
pub(in crate::admin) async fn all(
    State(api): State<Api>,
    Operator(caller): Operator,
    query: Query,
    headers: HeaderMap,
) -> Answer {
    query.only(&[])?;
    stream(api, None, caller, &headers)
}

fn stream(api: Api, tenant: Option<TenantName>, caller: Caller, headers: &HeaderMap) -> Answer {
    let latest = *api.plane.latest_entry().borrow();
    let seen = headers.get(LAST_EVENT_ID).map(|seen| {
        let number = seen.to_str().ok().and_then(|seen| seen.parse::<u64>().ok());
        number.ok_or_else(|| Problem::malformed("`last-event-id` is not the number of an entry"))
    });
    // A number that is yet to come is of another host's log.
    let seen = seen.transpose()?.unwrap_or(latest).min(latest);
    let (pieces, body) = mpsc::channel(WAITING_EVENTS);
    tokio::spawn(Events { api, tenant, caller, seen, pieces }.run());
    let mut response = Response::new(Body::new(Pieces(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// A stream of events.
struct Events {
    api: Api,
    tenant: Option<TenantName>,
    caller: Caller,
    /// The number of the entry that was sent last.
    seen: u64,
    pieces: mpsc::Sender<Bytes>,
}

impl Events {
    /// Sends entries until the client leaves, the API stops, or the client may not see them any more.
    async fn run(mut self) {
        let mut latest = self.api.plane.latest_entry();
        // The head of the answer goes out with the first piece.
        let mut has_left = self.send(Bytes::from_static(b":\n\n")).await.is_none();
        while !has_left {
            latest.borrow_and_update();
            if self.send_entries().await.is_none() {
                return;
            }
            let is_silent = tokio::select! {
                changed = latest.changed() => match changed {
                    Ok(()) => false,
                    Err(_) => return,
                },
                () = tokio::time::sleep(KEEP_ALIVE) => true,
                () = self.api.stopping.begun() => return,
                () = self.pieces.closed() => return,
            };
            has_left = is_silent && self.send(Bytes::from_static(b":\n\n")).await.is_none();
        }
    }

    /// Sends the entries that were not sent yet; none if the stream has ended.
    async fn send_entries(&mut self) -> Option<()> {
        loop {
            // A token that was removed, or whose time is over, sees nothing more.
            if !self.api.tokens.is_still(&self.caller).await.ok()? {
                return None;
            }
            let entries = self.api.plane.audit_after(self.tenant.as_ref(), self.seen).await.ok()?;
            if entries.is_empty() {
                return Some(());
            }
            for entry in entries {
                self.seen = entry.number;
                self.send(event(&entry)?).await?;
            }
        }
    }

    async fn send(&self, piece: Bytes) -> Option<()> {
        timeout(PATIENCE, self.pieces.send(piece)).await.ok()?.ok()
    }
}

fn event(entry: &AuditEntry) -> Option<Bytes> {
    // JSON has no line break but between its parts, and here it has none.
    let data = serde_json::to_string(entry).ok()?;
    Some(format!("id: {}\ndata: {data}\n\n", entry.number).into())
}

/// The body of a stream.
struct Pieces(mpsc::Receiver<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}
