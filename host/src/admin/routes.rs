//! The calls, by path and method, and the OpenAPI document that is made of them: it is served at `/v1/openapi.json`, and
//! committed as `docs/openapi.json`. Each call names its path itself, and so the document has all of them.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::api::Api;
use super::calls::{artifacts, audit, events, explain, host, revisions, rollouts, secrets, tenants, tokens};

/// The router of all calls.
pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(super::openapi::head())
        .routes(routes!(tenants::list))
        .routes(routes!(tenants::get, tenants::put, tenants::delete))
        .routes(routes!(tenants::status))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::put, secrets::delete))
        .routes(routes!(artifacts::list, artifacts::upload))
        .routes(routes!(artifacts::get))
        .routes(routes!(revisions::list, revisions::add))
        .routes(routes!(revisions::get))
        .routes(routes!(revisions::diff))
        .routes(routes!(revisions::approve))
        .routes(routes!(rollouts::get, rollouts::put))
        .routes(routes!(rollouts::list))
        .routes(routes!(audit::of_tenant))
        .routes(routes!(audit::all))
        .routes(routes!(events::of_tenant))
        .routes(routes!(events::all))
        .routes(routes!(explain::explain))
        .routes(routes!(tokens::list, tokens::make))
        .routes(routes!(tokens::remove))
        .routes(routes!(host::get))
        .routes(routes!(host::openapi))
}

/// The OpenAPI document, as JSON text that ends in a line break.
pub fn document() -> String {
    let document = router().split_for_parts().1;
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}
