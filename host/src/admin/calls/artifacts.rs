//! Artifacts: uploaded piece by piece, and described.

use axum::body::Body;
use axum::extract::{Request, State};
use bytes::BytesMut;
use http::HeaderMap;

use crate::admin::answer::{Answer, found, kept};
use crate::admin::api::{Api, Shared};
use crate::admin::body::{Patience, WASM, announced_bytes, drain, has_type, next_piece};
use crate::admin::extract::{Id, OfTenant};
use crate::admin::openapi::{Always, Changes, WithBody, WithinQuota};
use crate::admin::problem::Problem;
use crate::admin::query::Query;
use crate::deploy::{Artifact, ControlError, ManagedBy, Page, Upload};
use crate::tenant::TenantName;

/// The bytes that are gathered before they are written: a write costs a turn on another thread.
const WRITE_BYTES: usize = 256 << 10;

/// What a tenant keeps.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/artifacts", tag = "artifacts", operation_id = "list-artifacts",
    params(
        ("tenant" = String, Path),
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 1000), ("after" = Option<String>, Query)
    ),
    responses((status = 200, description = "a page of artifacts", body = Page<Artifact>), Always)
)]
pub(in crate::admin) async fn list(State(api): State<Api>, of: OfTenant, query: Query) -> Answer {
    found(&api.plane.artifacts(&of.tenant, query.page()?).await?)
}

/// One artifact.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/artifacts/{id}", tag = "artifacts", operation_id = "get-artifact",
    params(("tenant" = String, Path), ("id" = String, Path, description = "the digest")),
    responses((status = 200, description = "the artifact", body = Artifact), Always)
)]
pub(in crate::admin) async fn get(
    State(api): State<Api>,
    of: OfTenant,
    Id(digest): Id,
    query: Query,
) -> Answer {
    query.only(&[])?;
    found(&api.plane.artifact(&of.tenant, digest).await?)
}

/// Keeps the bytes of a component, if it can run here.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/artifacts", tag = "artifacts", operation_id = "add-artifact",
    params(("tenant" = String, Path)),
    request_body(content = Vec<u8>, content_type = "application/wasm"),
    responses(
        (status = 200, description = "the artifact, which was there already", body = Artifact),
        (status = 201, description = "the artifact", body = Artifact),
        Always, Changes, WithBody, WithinQuota
    )
)]
pub(in crate::admin) async fn upload(
    State(api): State<Api>,
    OfTenant { tenant, caller }: OfTenant,
    query: Query,
    request: Request,
) -> Answer {
    query.only(&[])?;
    let (head, mut body) = request.into_parts();
    let received = received(&api, &tenant, &head.headers, &mut body).await;
    if received.is_err() {
        drain(&mut body).await;
    }
    let added = api.plane.add_artifact(&tenant, received?, &caller.actor).await?;
    kept(added.is_new, &added.artifact)
}

/// Receives an upload, piece by piece.
async fn received(
    api: &Shared,
    tenant: &TenantName,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<Upload, Problem> {
    has_type(headers, WASM)?;
    // What is refused in any case is refused before it is read.
    if api.plane.tenant(tenant).await?.managed_by == ManagedBy::File {
        return Err(ControlError::FileManaged(tenant.clone()).into());
    }
    let folder = api.plane.artifact_folder();
    folder.takes(announced_bytes(headers).unwrap_or(0))?;
    let _place = api.uploads.place(tenant).await?;
    let mut upload =
        folder.upload().await.map_err(|error| Problem::from(ControlError::Folder(error.into())))?;
    let mut gathered = BytesMut::new();
    while let Some(piece) = next_piece(body, Patience(api.patience)).await? {
        gathered.extend_from_slice(&piece);
        if gathered.len() >= WRITE_BYTES {
            upload = upload.write(gathered.split().freeze()).await?;
        }
    }
    Ok(upload.write(gathered.freeze()).await?)
}
