//! Tokens: listed, made, removed.

use axum::extract::State;

use crate::admin::answer::{Answer, done, found, kept};
use crate::admin::api::Api;
use crate::admin::body::Json;
use crate::admin::extract::{Operator, TokenId};
use crate::admin::openapi::{Always, Changes, WithBody};
use crate::admin::query::Query;
use crate::admin::tokens::{MadeToken, Token, TokenRequest};
use crate::deploy::Page;

/// All tokens, without their texts.
#[utoipa::path(
    get, path = "/v1/tokens", tag = "tokens", operation_id = "list-tokens",
    params(("limit" = Option<u16>, Query, minimum = 1, maximum = 1000), ("after" = Option<String>, Query)),
    responses((status = 200, description = "a page of tokens", body = Page<Token>), Always)
)]
pub(in crate::admin) async fn list(State(api): State<Api>, _: Operator, query: Query) -> Answer {
    found(&api.tokens.list(query.page()?).await?)
}

/// Makes a token, the operator's or one tenant's.
#[utoipa::path(
    post, path = "/v1/tokens", tag = "tokens", operation_id = "add-token",
    request_body = TokenRequest,
    responses((status = 201, description = "the token, with its text", body = MadeToken), Always, Changes, WithBody)
)]
pub(in crate::admin) async fn make(
    State(api): State<Api>,
    Operator(caller): Operator,
    query: Query,
    Json(request): Json<TokenRequest>,
) -> Answer {
    query.only(&[])?;
    kept(true, &api.tokens.make(request, &caller.actor).await?)
}

/// Removes a token: it is not valid any more.
#[utoipa::path(
    delete, path = "/v1/tokens/{id}", tag = "tokens", operation_id = "delete-token",
    params(("id" = String, Path)),
    responses((status = 204, description = "it is removed"), Always)
)]
pub(in crate::admin) async fn remove(
    State(api): State<Api>,
    Operator(caller): Operator,
    TokenId(id): TokenId,
    query: Query,
) -> Answer {
    query.only(&[])?;
    api.tokens.remove(id, &caller.actor).await?;
    done()
}
