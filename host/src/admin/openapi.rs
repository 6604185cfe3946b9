//! The parts of the OpenAPI document that are not of one call: its head, and the problems that calls share.

use std::collections::BTreeMap;

use http::StatusCode;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, OpenApi, OpenApiBuilder, Ref, RefOr, Response, ResponseBuilder,
    SecurityRequirement,
};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

use super::problem::{Kind, ProblemDocument};

/// The name of the security scheme.
const BEARER: &str = "token";

/// The document without calls.
pub(super) fn head() -> OpenApi {
    let info =
        InfoBuilder::new().title("Jackfield's admin API").version(env!("CARGO_PKG_VERSION")).description(
            Some("Tenants are made, and publish by themselves, while the host serves. See admin-api.md."),
        );
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The text of a token. A request at the Unix socket needs none."))
        .build();
    let mut components = Components::new();
    components.add_security_scheme(BEARER, SecurityScheme::Http(bearer));
    components.schemas.insert(ProblemDocument::name().into(), ProblemDocument::schema());
    let mut named = Vec::new();
    ProblemDocument::schemas(&mut named);
    components.schemas.extend(named);
    let requirements = [SecurityRequirement::new(BEARER, [""; 0]), SecurityRequirement::default()];
    let builder = OpenApiBuilder::new().info(info.build()).components(Some(components));
    builder.security(Some(requirements)).build()
}

/// The problems that every call may answer.
pub(super) struct Always;

/// The problems of calls that change a tenant of the API.
pub(super) struct Changes;

/// The problems of calls with a body.
pub(super) struct WithBody;

impl IntoResponses for Always {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            StatusCode::BAD_REQUEST,
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
            StatusCode::NOT_FOUND,
            StatusCode::MISDIRECTED_REQUEST,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::SERVICE_UNAVAILABLE,
        ])
    }
}

impl IntoResponses for Changes {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[StatusCode::CONFLICT])
    }
}

impl IntoResponses for WithBody {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::PAYLOAD_TOO_LARGE,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            StatusCode::UNPROCESSABLE_ENTITY,
        ])
    }
}

/// The problems of a change of the rollout.
pub(super) struct OnCondition;

impl IntoResponses for OnCondition {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[StatusCode::PRECONDITION_FAILED, StatusCode::PRECONDITION_REQUIRED])
    }
}

/// The problem of a quota that is used up.
pub(super) struct WithinQuota;

impl IntoResponses for WithinQuota {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        problems(&[StatusCode::INSUFFICIENT_STORAGE])
    }
}

/// The responses of these statuses, each with the kinds of problem that have the status.
fn problems(statuses: &[StatusCode]) -> BTreeMap<String, RefOr<Response>> {
    let responses = statuses.iter().map(|status| {
        let kinds = Kind::ALL.iter().map(|kind| kind.row()).filter(|(_, of, _)| of == status);
        let names: Vec<_> = kinds.map(|(name, ..)| format!("`{name}`")).collect();
        let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(ProblemDocument::name())));
        let response = ResponseBuilder::new()
            .description(names.join(", "))
            .content("application/problem+json", content.build())
            .build();
        (status.as_str().to_owned(), RefOr::T(response))
    });
    responses.collect()
}
