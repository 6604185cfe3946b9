//! The parts of a request that stand in its path, and who asks for them.

use std::sync::Arc;

use axum::extract::{FromRequestParts, RawPathParams};
use http::request::Parts;

use super::caller::{Caller, Scope, no_tenant};
use super::problem::Problem;
use crate::sandbox::Digest;
use crate::tenant::{SecretName, TenantName};

/// The operator. Everybody else is refused.
pub(super) struct Operator(pub(super) Caller);

/// A tenant, and a caller who may see it.
pub(super) struct OfTenant {
    pub(super) tenant: TenantName,
    pub(super) caller: Caller,
}

/// A tenant, and the operator. Who may not see the tenant does not learn more than that.
pub(super) struct OperatorOf {
    pub(super) tenant: TenantName,
    pub(super) caller: Caller,
}

/// The digest of a revision or an artifact.
pub(super) struct Id(pub(super) Digest);

/// The name of a secret.
pub(super) struct Secret(pub(super) SecretName);

/// The id of a token.
pub(super) struct TokenId(pub(super) String);

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let caller = parts.extensions.get::<Arc<Self>>();
        caller
            .map(|caller| Self::clone(caller))
            .ok_or_else(|| Problem::of_the_host("a request has no caller"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Operator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        caller.is_operator()?;
        Ok(Self(caller))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OfTenant {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, state).await?;
        let name = parameter(parts, state, "tenant").await?;
        let tenant = TenantName::parse(&name).map_err(|error| match caller.scope {
            Scope::Operator => Problem::malformed(error.to_string()),
            Scope::Tenant(_) => no_tenant(&name),
        })?;
        caller.sees(&tenant)?;
        Ok(Self { tenant, caller })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for OperatorOf {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let OfTenant { tenant, caller } = OfTenant::from_request_parts(parts, state).await?;
        caller.is_operator()?;
        Ok(Self { tenant, caller })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        digest(&parameter(parts, state, "id").await?).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Secret {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let name = parameter(parts, state, "name").await?;
        SecretName::parse(&name).map(Self).map_err(|error| Problem::malformed(error.to_string()))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for TokenId {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        parameter(parts, state, "id").await.map(Self)
    }
}

/// Reads a digest.
pub(super) fn digest(text: &str) -> Result<Digest, Problem> {
    text.parse().map_err(|error| Problem::malformed(format!("{error}")))
}

async fn parameter<S: Send + Sync>(parts: &mut Parts, state: &S, name: &str) -> Result<String, Problem> {
    let parameters = RawPathParams::from_request_parts(parts, state).await;
    let parameters = parameters.map_err(|error| Problem::malformed(error.to_string()))?;
    let found = parameters.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_owned());
    found.ok_or_else(|| Problem::of_the_host(format!("a path has no `{name}`")))
}
