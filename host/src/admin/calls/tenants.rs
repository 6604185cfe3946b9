//! Tenants: made, looked at, changed, removed.

use axum::extract::State;

use crate::admin::answer::{Answer, done, found, kept};
use crate::admin::api::Api;
use crate::admin::body::Json;
use crate::admin::extract::{OfTenant, Operator, OperatorOf};
use crate::admin::openapi::{Always, Changes, WithBody};
use crate::admin::query::Query;
use crate::deploy::{Page, Tenant, TenantStatus};
use crate::document::TenantSpec;

/// All tenants. Those of the site file are on the first page, beside the others.
#[utoipa::path(
    get, path = "/v1/tenants", tag = "tenants", operation_id = "list-tenants",
    params(("limit" = Option<u16>, Query, minimum = 1, maximum = 1000), ("after" = Option<String>, Query)),
    responses((status = 200, description = "a page of tenants", body = Page<Tenant>), Always)
)]
pub(in crate::admin) async fn list(State(api): State<Api>, _: Operator, query: Query) -> Answer {
    found(&api.plane.tenants(query.page()?).await?)
}

/// One tenant.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}", tag = "tenants", operation_id = "get-tenant",
    params(("tenant" = String, Path)),
    responses((status = 200, description = "the tenant", body = Tenant), Always)
)]
pub(in crate::admin) async fn get(State(api): State<Api>, of: OfTenant, query: Query) -> Answer {
    query.only(&[])?;
    found(&api.plane.tenant(&of.tenant).await?)
}

/// Makes a tenant, or gives it other hosts and another quota.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}", tag = "tenants", operation_id = "put-tenant",
    params(("tenant" = String, Path)),
    request_body = TenantSpec,
    responses(
        (status = 200, description = "the tenant, changed", body = Tenant),
        (status = 201, description = "the tenant, made", body = Tenant),
        Always, Changes, WithBody
    )
)]
pub(in crate::admin) async fn put(
    State(api): State<Api>,
    OperatorOf { tenant, caller }: OperatorOf,
    query: Query,
    Json(spec): Json<TenantSpec>,
) -> Answer {
    query.only(&[])?;
    let put = api.plane.put_tenant(&tenant, spec, &caller.actor).await?;
    kept(put.is_new, &put.tenant)
}

/// Removes a tenant with everything of it: revisions, artifacts, secrets, tokens and key-value data.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}", tag = "tenants", operation_id = "delete-tenant",
    params(("tenant" = String, Path)),
    responses((status = 204, description = "it is removed"), Always, Changes)
)]
pub(in crate::admin) async fn delete(
    State(api): State<Api>,
    OperatorOf { tenant, caller }: OperatorOf,
    query: Query,
) -> Answer {
    query.only(&[])?;
    api.plane.remove_tenant(&tenant, &caller.actor).await?;
    done()
}

/// What runs of a tenant.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/status", tag = "tenants", operation_id = "get-status",
    params(("tenant" = String, Path)),
    responses((status = 200, description = "what runs", body = TenantStatus), Always)
)]
pub(in crate::admin) async fn status(State(api): State<Api>, of: OfTenant, query: Query) -> Answer {
    query.only(&[])?;
    found(&api.plane.status(&of.tenant).await?)
}
