//! Rollouts: what is live, what was, and the change of it.

use axum::extract::State;
use http::{HeaderMap, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::admin::answer::{Answer, found};
use crate::admin::api::Api;
use crate::admin::body::Json;
use crate::admin::condition::{instead_of, tag};
use crate::admin::extract::OfTenant;
use crate::admin::openapi::{Always, Changes, OnCondition, WithBody};
use crate::admin::query::Query;
use crate::deploy::{Actor, Page, Rollout, RolloutRequest};
use crate::sandbox::Digest;

/// A rollout: the revision that is live from a moment on. A tenant without one has number 0.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = Rollout)]
pub(in crate::admin) struct RolloutAnswer {
    /// The number, from 1 on.
    number: u64,
    /// The revision that is live.
    live: Option<Digest>,
    /// The revision that was live before.
    previous: Option<Digest>,
    /// Who made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    by: Option<Actor>,
    /// The time (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<String>,
    /// The reason that was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl From<Rollout> for RolloutAnswer {
    fn from(rollout: Rollout) -> Self {
        let Rollout { number, live, previous, by, at, why } = rollout;
        Self { number, live: Some(live), previous, by: Some(by), at: Some(at), why }
    }
}

/// A rollout that is asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct RolloutBody {
    /// The revision that is to be live.
    live: Digest,
    /// The reason: its first 1000 bytes are kept.
    why: Option<String>,
}

/// What is live.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/rollout", tag = "rollouts", operation_id = "get-rollout",
    params(("tenant" = String, Path)),
    responses(
        (status = 200, description = "the rollout", body = RolloutAnswer,
            headers(("etag" = String, description = "the number in quotes, for `if-match`"))),
        Always
    )
)]
pub(in crate::admin) async fn get(State(api): State<Api>, of: OfTenant, query: Query) -> Answer {
    query.only(&[])?;
    let rollout = api.plane.rollout(&of.tenant).await?;
    tagged(&rollout.map(RolloutAnswer::from).unwrap_or_default())
}

/// Makes a revision live, in place of the rollout that `if-match` names.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/rollout", tag = "rollouts", operation_id = "put-rollout",
    params(
        ("tenant" = String, Path),
        ("if-match" = String, Header, description = "the `etag` of the rollout that this one replaces, or `*`")
    ),
    request_body = RolloutBody,
    responses(
        (status = 200, description = "the revision is live", body = RolloutAnswer,
            headers(("etag" = String, description = "the number in quotes, for `if-match`"))),
        Always, Changes, WithBody, OnCondition
    )
)]
pub(in crate::admin) async fn put(
    State(api): State<Api>,
    OfTenant { tenant, caller }: OfTenant,
    query: Query,
    headers: HeaderMap,
    Json(RolloutBody { live, why }): Json<RolloutBody>,
) -> Answer {
    query.only(&[])?;
    let request = RolloutRequest { live, why, instead_of: instead_of(&headers)? };
    tagged(&api.plane.set_rollout(&tenant, request, &caller.actor).await?.into())
}

/// What was live when, latest first.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/rollouts", tag = "rollouts", operation_id = "list-rollouts",
    params(
        ("tenant" = String, Path),
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 1000), ("after" = Option<String>, Query)
    ),
    responses((status = 200, description = "a page of rollouts", body = Page<RolloutAnswer>), Always)
)]
pub(in crate::admin) async fn list(State(api): State<Api>, of: OfTenant, query: Query) -> Answer {
    found(&api.plane.rollouts(&of.tenant, query.page()?).await?.map(RolloutAnswer::from))
}

/// 200 with a rollout and its entity tag.
fn tagged(rollout: &RolloutAnswer) -> Answer {
    let mut response = found(rollout)?;
    response.headers_mut().insert(header::ETAG, tag(rollout.number));
    Ok(response)
}
