//! The host itself, and the description of its calls.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::answer::{Answer, found};
use crate::admin::api::Api;
use crate::admin::extract::Operator;
use crate::admin::openapi::Always;
use crate::admin::query::Query;

/// The host.
#[derive(Serialize, ToSchema)]
#[schema(as = Host)]
pub(in crate::admin) struct HostAnswer<'a> {
    /// The version of the program.
    version: &'static str,
    /// The time when it started (RFC 3339).
    started: &'a str,
    /// The number of tenants.
    tenants: usize,
}

/// Version, start and counts.
#[utoipa::path(
    get, path = "/v1/host", tag = "host", operation_id = "get-host",
    responses((status = 200, description = "the host", body = HostAnswer), Always)
)]
pub(in crate::admin) async fn get(State(api): State<Api>, _: Operator, query: Query) -> Answer {
    query.only(&[])?;
    let tenants = api.plane.tenant_count().await?;
    found(&HostAnswer { version: env!("CARGO_PKG_VERSION"), started: &api.started, tenants })
}

/// This document.
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "host", operation_id = "get-openapi",
    responses((status = 200, description = "the OpenAPI document", body = Object), Always)
)]
pub(in crate::admin) async fn openapi(State(api): State<Api>, query: Query) -> Answer {
    query.only(&[])?;
    let mut response = Response::new(Body::from(api.openapi.clone()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
