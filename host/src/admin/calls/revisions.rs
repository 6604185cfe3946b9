//! Revisions: documents that were taken, their differences, and their approval.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::answer::{Answer, done, found, kept};
use crate::admin::api::Api;
use crate::admin::body::Json;
use crate::admin::extract::{Id, OfTenant, OperatorOf, digest};
use crate::admin::openapi::{Always, Changes, WithBody};
use crate::admin::problem::Problem;
use crate::admin::query::Query;
use crate::deploy::{AddedRevision, DryRun, Page, Revision, RevisionDetail, RevisionDiff, RevisionState};
use crate::document::TenantDocument;
use crate::sandbox::Digest;

/// The answer to a document.
#[derive(Serialize, ToSchema)]
pub(in crate::admin) struct TakenDocument {
    /// The id of the revision.
    revision: Digest,
    /// Whether it may go live.
    state: RevisionState,
    /// Its difference to the live revision.
    #[serde(flatten)]
    difference: RevisionDiff,
}

/// The revisions of a tenant, latest first.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/revisions", tag = "revisions", operation_id = "list-revisions",
    params(
        ("tenant" = String, Path),
        ("limit" = Option<u16>, Query, minimum = 1, maximum = 1000), ("after" = Option<String>, Query)
    ),
    responses((status = 200, description = "a page of revisions", body = Page<Revision>), Always)
)]
pub(in crate::admin) async fn list(State(api): State<Api>, of: OfTenant, query: Query) -> Answer {
    found(&api.plane.revisions(&of.tenant, query.page()?).await?)
}

/// Takes a document as a revision, which does not go live.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/revisions", tag = "revisions", operation_id = "add-revision",
    params(
        ("tenant" = String, Path),
        ("dry-run" = Option<bool>, Query, description = "the document is only looked at: nothing is kept")
    ),
    request_body = TenantDocument,
    responses(
        (status = 200, description = "it was there already, or was only looked at", body = TakenDocument),
        (status = 201, description = "it is kept", body = TakenDocument),
        Always, Changes, WithBody
    )
)]
pub(in crate::admin) async fn add(
    State(api): State<Api>,
    OfTenant { tenant, caller }: OfTenant,
    query: Query,
    Json(document): Json<TenantDocument>,
) -> Answer {
    query.only(&["dry-run"])?;
    let dry_run = match query.one("dry-run")? {
        Some("true") => DryRun::Yes,
        None | Some("false") => DryRun::No,
        Some(other) => {
            return Err(Problem::malformed(format!("`dry-run` is `{other}`: write true or false")));
        }
    };
    let added = api.plane.add_revision(&tenant, document, dry_run, &caller.actor).await?;
    let AddedRevision { revision, state, difference, is_new } = added;
    kept(is_new, &TakenDocument { revision, state, difference })
}

/// One revision, with its document.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/revisions/{id}", tag = "revisions", operation_id = "get-revision",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 200, description = "the revision", body = RevisionDetail), Always)
)]
pub(in crate::admin) async fn get(State(api): State<Api>, of: OfTenant, Id(id): Id, query: Query) -> Answer {
    query.only(&[])?;
    found(&api.plane.revision(&of.tenant, id).await?)
}

/// The difference from another revision to this one.
#[utoipa::path(
    get, path = "/v1/tenants/{tenant}/revisions/{id}/diff", tag = "revisions", operation_id = "diff-revisions",
    params(
        ("tenant" = String, Path), ("id" = String, Path),
        ("against" = Option<String>, Query, description = "the other revision; left out, the live one")
    ),
    responses((status = 200, description = "the difference", body = RevisionDiff), Always)
)]
pub(in crate::admin) async fn diff(State(api): State<Api>, of: OfTenant, Id(id): Id, query: Query) -> Answer {
    query.only(&["against"])?;
    let against = query.one("against")?.map(digest).transpose()?;
    found(&api.plane.diff(&of.tenant, id, against).await?)
}

/// Lets a held revision go live.
#[utoipa::path(
    post, path = "/v1/tenants/{tenant}/revisions/{id}/approval", tag = "revisions", operation_id = "approve-revision",
    params(("tenant" = String, Path), ("id" = String, Path)),
    responses((status = 204, description = "it may go live"), Always, Changes)
)]
pub(in crate::admin) async fn approve(
    State(api): State<Api>,
    OperatorOf { tenant, caller }: OperatorOf,
    Id(id): Id,
    query: Query,
) -> Answer {
    query.only(&[])?;
    api.plane.approve(&tenant, id, &caller.actor).await?;
    done()
}
