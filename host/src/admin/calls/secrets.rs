//! Secrets: set and removed, and never given back.

use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::admin::answer::{Answer, done, found};
use crate::admin::api::Api;
use crate::admin::body::Json;
use crate::admin::extract::{OfTenant, Secret};
use crate::admin::openapi::{Always, Changes, WithBody};
use crate::admin::query::Query;
use crate::deploy::{Page, SecretInfo};

/// The value of a secret.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::admin) struct SecretValue {
    /// The value: 1 to 65536 bytes.
    value: String,
}

/// The names of a tenant's secrets.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/secrets", tag = "secrets", operation_id = "list-secrets",
    params(
        ("tenant" = String, Path),
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 1000), ("after" = Option<String>, Query)
    ),
    responses((status = 200, description = "a page of secrets", body = Page<SecretInfo>), Always)
)]
pub(in crate::admin) async fn list(State(api): State<Api>, of: OfTenant, query: Query) -> Answer {
    found(&api.plane.secrets(&of.tenant, query.page()?).await?)
}

/// Sets the value of a secret: calls that begin afterwards have it.
#[utoipa::path(
    put, path = "/v1/tenants/{tenant}/secrets/{name}", tag = "secrets", operation_id = "put-secret",
    params(("tenant" = String, Path), ("name" = String, Path)),
    request_body = SecretValue,
    responses((status = 204, description = "it is set"), Always, Changes, WithBody)
)]
pub(in crate::admin) async fn put(
    State(api): State<Api>,
    OfTenant { tenant, caller }: OfTenant,
    Secret(name): Secret,
    query: Query,
    Json(SecretValue { value }): Json<SecretValue>,
) -> Answer {
    query.only(&[])?;
    api.plane.set_secret(&tenant, name, value, &caller.actor).await?;
    done()
}

/// Removes a secret that the live revision does not use.
#[utoipa::path(
    delete, path = "/v1/tenants/{tenant}/secrets/{name}", tag = "secrets", operation_id = "delete-secret",
    params(("tenant" = String, Path), ("name" = String, Path)),
    responses((status = 204, description = "it is removed"), Always, Changes)
)]
pub(in crate::admin) async fn delete(
    State(api): State<Api>,
    OfTenant { tenant, caller }: OfTenant,
    Secret(name): Secret,
    query: Query,
) -> Answer {
    query.only(&[])?;
    api.plane.remove_secret(&tenant, name, &caller.actor).await?;
    done()
}
