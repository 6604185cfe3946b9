//! The explanation of a request's route, over what is live.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::answer::{Answer, found};
use crate::admin::api::Api;
use crate::admin::caller::{Caller, Scope};
use crate::admin::openapi::Always;
use crate::admin::problem::{Kind, Problem};
use crate::admin::query::Query;
use crate::snapshot::{AskedRequest, Explanation, RequestPath};
use crate::tenant::TenantName;

/// The decision on a request: where it goes, or what the host itself answers.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::admin) struct Decision {
    /// The host of the URL.
    host: String,
    /// The tenant of the host; `null` if none has it.
    tenant: Option<TenantName>,
    /// The best pattern of hosts that the host fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    host_pattern: Option<String>,
    /// The decision of the tenant's routes, if the request came so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    explanation: Option<Explanation>,
    /// The status that the host answers before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The problem of this answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<&'static str>,
    /// The detail of the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Why a request goes where it goes.
#[utoipa::path(
    get, path = "/v1/explain", tag = "host", operation_id = "explain",
    params(
        ("method" = String, Query), ("url" = String, Query, description = "the whole URL"),
        ("header" = Option<Vec<String>>, Query, description = "`name:value`, any number of times")
    ),
    responses((status = 200, description = "the decision", body = Decision), Always)
)]
pub(in crate::admin) async fn explain(State(api): State<Api>, caller: Caller, query: Query) -> Answer {
    query.only(&["method", "url", "header"])?;
    let fields: Vec<String> = query.all("header").map(str::to_owned).collect();
    let asked = AskedRequest::parse(query.required("method")?, query.required("url")?, &fields);
    let asked = asked.map_err(Problem::malformed)?;
    let snapshot = api.plane.deployer().snapshot().load_full();
    let served = snapshot.find(&asked.host);
    let is_seen = match &caller.scope {
        Scope::Operator => true,
        Scope::Tenant(own) => served.is_some_and(|(_, revision)| revision.tenant == *own),
    };
    if !is_seen {
        return Err(Problem::new(Kind::NotFound, format!("there is no host `{}`", asked.host)));
    }
    let mut decision = Decision {
        host: asked.host.clone(),
        tenant: None,
        host_pattern: None,
        explanation: None,
        status: None,
        problem: None,
        detail: None,
    };
    let Some((pattern, revision)) = served else {
        return found(&Decision { status: Some(404), problem: Some("no-tenant"), ..decision });
    };
    decision.tenant = Some(revision.tenant.clone());
    match RequestPath::parse(asked.uri.path()) {
        Ok(path) => {
            decision.host_pattern = Some(pattern.to_string());
            decision.explanation = Some(revision.explain(&path, &asked));
        }
        Err(error) => {
            let detail = Some(error.to_string());
            decision = Decision { status: Some(400), problem: Some("bad-request"), detail, ..decision };
        }
    }
    found(&decision)
}
