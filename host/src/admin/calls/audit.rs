//! The audit log: what was changed, by whom.

use axum::extract::State;

use crate::admin::answer::{Answer, found};
use crate::admin::api::Api;
use crate::admin::extract::{OfTenant, Operator};
use crate::admin::openapi::Always;
use crate::admin::query::Query;
use crate::deploy::{AuditEntry, Page};

/// What happened to a tenant, latest first.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/audit", tag = "audit", operation_id = "list-audit-of-tenant",
    params(
        ("tenant" = String, Path),
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 1000), ("after" = Option<String>, Query)
    ),
    responses((status = 200, description = "a page of entries", body = Page<AuditEntry>), Always)
)]
pub(in crate::admin) async fn of_tenant(State(api): State<Api>, of: OfTenant, query: Query) -> Answer {
    api.plane.tenant(&of.tenant).await?;
    found(&api.plane.audit(Some(&of.tenant), query.page()?).await?)
}

/// What happened, latest first.
#[utoipa::path(
    get, path = "/v1/audit", tag = "audit", operation_id = "list-audit",
    params(("limit" = Option<u16>, Query, minimum = 1, maximum = 1000), ("after" = Option<String>, Query)),
    responses((status = 200, description = "a page of entries", body = Page<AuditEntry>), Always)
)]
pub(in crate::admin) async fn all(State(api): State<Api>, _: Operator, query: Query) -> Answer {
    found(&api.plane.audit(None, query.page()?).await?)
}
