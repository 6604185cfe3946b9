//! The one place where errors become answers of the admin API: problem documents of RFC 9457.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::deploy::{ControlError, Fault, Refused, UploadError};
use crate::observe::Log;
use crate::request::REQUEST_ID;

/// The most reasons that an answer has. The detail says how many there are.
const MOST_DIAGNOSTICS: usize = 100;

/// A problem: what is answered, and what the log says beside it.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    kind: Kind,
    detail: String,
    diagnostics: Vec<Diagnostic>,
    retry_after: Option<Duration>,
    /// The cause of a fault of the host's own.
    cause: Option<String>,
}

/// A kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Malformed,
    Unauthenticated,
    Forbidden,
    NotFound,
    Method,
    Timeout,
    FileManaged,
    InUse,
    Held,
    TooMany,
    RolloutChanged,
    TooLarge,
    MediaType,
    Misdirected,
    Document,
    Artifact,
    Tenant,
    Secret,
    ConditionRequired,
    SlowDown,
    Host,
    Store,
    Storage,
}

impl Kind {
    /// All kinds.
    pub(super) const ALL: [Self; 23] = [
        Self::Malformed,
        Self::Unauthenticated,
        Self::Forbidden,
        Self::NotFound,
        Self::Method,
        Self::Timeout,
        Self::FileManaged,
        Self::InUse,
        Self::Held,
        Self::TooMany,
        Self::RolloutChanged,
        Self::TooLarge,
        Self::MediaType,
        Self::Misdirected,
        Self::Document,
        Self::Artifact,
        Self::Tenant,
        Self::Secret,
        Self::ConditionRequired,
        Self::SlowDown,
        Self::Host,
        Self::Store,
        Self::Storage,
    ];

    /// The name in `type`, the status, and the title.
    pub(super) fn row(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Malformed => ("malformed", StatusCode::BAD_REQUEST, "The request is malformed"),
            Self::Unauthenticated => {
                ("unauthenticated", StatusCode::UNAUTHORIZED, "There is no token that is valid")
            }
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "This is not allowed"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is no such thing"),
            Self::Method => ("method", StatusCode::METHOD_NOT_ALLOWED, "The path does not take this method"),
            Self::Timeout => ("timeout", StatusCode::REQUEST_TIMEOUT, "The body did not come in time"),
            Self::FileManaged => {
                ("file-managed", StatusCode::CONFLICT, "The tenant is changed in the site file")
            }
            Self::InUse => ("in-use", StatusCode::CONFLICT, "This is in use"),
            Self::Held => ("held", StatusCode::CONFLICT, "The revision waits for approval"),
            Self::TooMany => ("too-many", StatusCode::CONFLICT, "There are too many"),
            Self::RolloutChanged => {
                ("rollout-changed", StatusCode::PRECONDITION_FAILED, "The rollout has changed")
            }
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too long"),
            Self::MediaType => {
                ("media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "The body has another content type")
            }
            Self::Misdirected => ("misdirected", StatusCode::MISDIRECTED_REQUEST, "The host is not this one"),
            Self::Document => {
                ("document", StatusCode::UNPROCESSABLE_ENTITY, "The tenant document was refused")
            }
            Self::Artifact => ("artifact", StatusCode::UNPROCESSABLE_ENTITY, "The artifact was refused"),
            Self::Tenant => ("tenant", StatusCode::UNPROCESSABLE_ENTITY, "The tenant was refused"),
            Self::Secret => ("secret", StatusCode::UNPROCESSABLE_ENTITY, "The secret was refused"),
            Self::ConditionRequired => {
                ("condition-required", StatusCode::PRECONDITION_REQUIRED, "`if-match` is missing")
            }
            Self::SlowDown => ("slow-down", StatusCode::TOO_MANY_REQUESTS, "Too much was asked"),
            Self::Host => ("host", StatusCode::INTERNAL_SERVER_ERROR, "The host failed"),
            Self::Store => ("store", StatusCode::SERVICE_UNAVAILABLE, "The state is not available"),
            Self::Storage => ("storage", StatusCode::INSUFFICIENT_STORAGE, "The quota is used up"),
        }
    }
}

/// A problem document of RFC 9457.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = Problem)]
pub(super) struct ProblemDocument<'a> {
    /// `urn:jackfield:problem:` and the name of the problem.
    r#type: String,
    /// The problem in a few words.
    title: &'a str,
    /// The status of the answer.
    status: u16,
    /// The problem of this request.
    detail: &'a str,
    /// The request, as the host's log names it.
    request_id: &'a str,
    /// Each reason, if something was refused.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(required = false)]
    diagnostics: &'a [Diagnostic],
}

/// A reason why something was refused.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(super) struct Diagnostic {
    /// The kind of the reason: a word that stays.
    id: &'static str,
    /// The place in what was given, as a JSON pointer (RFC 6901).
    place: String,
    /// The reason in one line.
    message: String,
    /// The text at the place; may be empty.
    label: String,
    /// The remedy, if one is known.
    help: Option<String>,
}

impl From<Fault> for Diagnostic {
    fn from(fault: Fault) -> Self {
        let Fault { id, place, headline, label, help } = fault;
        Self { id, place: place.to_string(), message: headline, label: label.into(), help }
    }
}

impl Problem {
    /// A problem of this kind.
    pub(super) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), diagnostics: Vec::new(), retry_after: None, cause: None }
    }

    /// The request is not as it should be.
    pub(super) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Kind::Malformed, detail)
    }

    /// The host itself failed. The cause goes to the log alone.
    pub(super) fn of_the_host(cause: impl Into<String>) -> Self {
        let detail = "the host's log says why, under the id of this request";
        Self { cause: Some(cause.into()), ..Self::new(Kind::Host, detail) }
    }

    /// Too many logins have failed.
    pub(super) fn slow_down(wait: Duration) -> Self {
        let seconds = wait.as_secs().saturating_add(1);
        let detail = format!("from this address too many logins have failed: come back in {seconds} s");
        Self { retry_after: Some(wait), ..Self::new(Kind::SlowDown, detail) }
    }

    /// The answer, and the line in the log if the host was at fault.
    fn answer(&self, mut response: Response, request_id: &str, log: &Log) -> Response {
        let (name, status, title) = self.kind.row();
        if let Some(cause) = &self.cause {
            log.error("an admin call failed")
                .field("request-id", request_id)
                .field("problem", name)
                .field("error", cause)
                .send();
        }
        let document = ProblemDocument {
            r#type: format!("urn:jackfield:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            request_id,
            diagnostics: &self.diagnostics,
        };
        // A struct of texts and a number always serializes; an empty body would still have its status.
        *response.body_mut() = Body::from(serde_json::to_vec(&document).unwrap_or_default());
        let headers = response.headers_mut();
        headers.remove(header::CONTENT_LENGTH);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(wait) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().saturating_add(1)));
        }
        if self.kind == Kind::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// The status is there at once; [`finish`] writes the document, for it knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        let (_, status, _) = self.kind.row();
        *response.status_mut() = status;
        response.extensions_mut().insert(self);
        response
    }
}

/// Finishes an answer: writes the document of a problem, those of the router too, and the fields that each answer has.
pub(super) fn finish(mut response: Response, request_id: &str, log: &Log) -> Response {
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| match response.status() {
        // The router's own answers.
        StatusCode::NOT_FOUND => Some(Problem::new(Kind::NotFound, "there is no such path")),
        StatusCode::METHOD_NOT_ALLOWED => Some(Problem::new(Kind::Method, "`allow` has those that it takes")),
        _ => None,
    });
    let mut response = match problem {
        Some(problem) => problem.answer(response, request_id, log),
        None => response,
    };
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(value) = HeaderValue::from_str(request_id) {
        headers.insert(REQUEST_ID, value);
    }
    response
}

/// The time after which a change may be tried again, if too many others waited.
const SOON: Duration = Duration::from_millis(500);

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Self {
        let kind = match &error {
            ControlError::NotFound { .. } => Kind::NotFound,
            ControlError::FileManaged(_) => Kind::FileManaged,
            ControlError::InUse(_) => Kind::InUse,
            ControlError::Held(_) => Kind::Held,
            ControlError::RolloutChanged { .. } => Kind::RolloutChanged,
            ControlError::Refused { what, .. } => match what {
                Refused::Document => Kind::Document,
                Refused::Artifact => Kind::Artifact,
                Refused::Tenant => Kind::Tenant,
                Refused::Secret => Kind::Secret,
            },
            ControlError::Quota { .. } => Kind::Storage,
            ControlError::TooMany { .. } => Kind::TooMany,
            ControlError::Store(_) | ControlError::Folder(_) => {
                let detail = "the state cannot be read or written; ask again later";
                return Self { cause: Some(error.to_string()), ..Self::new(Kind::Store, detail) };
            }
            ControlError::Busy => {
                return Self { retry_after: Some(SOON), ..Self::new(Kind::SlowDown, error.to_string()) };
            }
            ControlError::Host(cause) => return Self::of_the_host(cause),
        };
        let detail = error.to_string();
        let faults = if let ControlError::Refused { faults, .. } = error { faults } else { Vec::new() };
        let diagnostics = faults.into_iter().take(MOST_DIAGNOSTICS).map(Diagnostic::from).collect();
        Self { diagnostics, ..Self::new(kind, detail) }
    }
}

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::TooLarge { .. } => Self::new(Kind::TooLarge, error.to_string()),
            UploadError::Failed(cause) => ControlError::Folder(cause.into()).into(),
        }
    }
}
