//! What went wrong, and the one place where it becomes an answer.
//!
//! Every error is an RFC 9457 problem document under the request's id. What the store says about
//! itself goes to the log and never to the caller.

use serde::Serialize;

use crate::answer::{self, Answer};
use crate::bindings::jackfield::plugin::types::Response;
use crate::book::FieldError;
use crate::host::{context, logging, store};

/// How many seconds to wait before another try when the store is away.
const STORE_RETRY_SECONDS: &str = "5";

/// Why a call was not done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The caller can know, and is told.
    Problem(Problem),
    /// The store failed; the text is for the log.
    Store(String),
    /// The plugin's configuration is wrong; the text is for whoever wrote the site file.
    Config(String),
}

/// A problem document and the header fields that go with it.
#[derive(Debug)]
pub(crate) struct Problem {
    name: &'static str,
    status: u16,
    title: &'static str,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(&'static str, &'static str)>,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<store::Error> for Failure {
    fn from(error: store::Error) -> Self {
        Self::Store(match error {
            store::Error::NoSuchStore => "the store `default` does not exist".to_owned(),
            store::Error::AccessDenied => "access denied; is `keyvalue` granted?".to_owned(),
            store::Error::Other(text) => text,
        })
    }
}

impl Failure {
    /// The answer that the caller gets. A wrong configuration is an error of the plugin: the host logs
    /// the text and answers 500.
    pub(crate) fn into_response(self) -> Result<Response, String> {
        let problem = match self {
            Self::Problem(problem) => problem,
            Self::Store(text) => {
                logging::log(logging::Level::Error, "store", &text);
                Problem::store_unavailable()
            }
            Self::Config(text) => return Err(text),
        };
        Ok(problem.into_answer(&context::request_id()).into_response())
    }
}

impl Problem {
    fn new(name: &'static str, status: u16, title: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status, title, detail: detail.into(), errors: Vec::new(), headers: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    /// 400: the request cannot be understood.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new("bad-request", 400, "Bad request", detail)
    }

    /// 401 to a caller who did not say who they are.
    pub(crate) fn no_token() -> Self {
        Self::new("unauthorized", 401, "Log in first", "This call needs `Authorization: Bearer <token>`.")
            .with("www-authenticate", r#"Bearer realm="bookstore""#)
    }

    /// 401 to a caller whose token is nobody's (RFC 6750 §3.1).
    pub(crate) fn unknown_token() -> Self {
        Self::new("unauthorized", 401, "Log in first", "The bearer token is not known here.")
            .with("www-authenticate", r#"Bearer realm="bookstore", error="invalid_token""#)
    }

    /// 403: known, but not allowed.
    pub(crate) fn forbidden() -> Self {
        Self::new("forbidden", 403, "Not allowed", "This call needs the role `editor`.")
    }

    /// 404 for a path that names nothing.
    pub(crate) fn no_such_resource() -> Self {
        Self::new("not-found", 404, "Not found", "Nothing is here. Books are at `/api/books`.")
    }

    /// 404 for a book that is not there, or no longer.
    pub(crate) fn no_such_book() -> Self {
        Self::new("not-found", 404, "Not found", "There is no book with this id.")
    }

    /// 404 for an import that never was.
    pub(crate) fn no_such_import() -> Self {
        Self::new("not-found", 404, "Not found", "There is no import with this id.")
    }

    /// 405, with what is allowed.
    pub(crate) fn method_not_allowed(allow: &'static str) -> Self {
        Self::new("method", 405, "Method not allowed", format!("This resource takes {allow}."))
            .with("allow", allow)
    }

    /// 409: another book has the ISBN.
    pub(crate) fn isbn_taken() -> Self {
        Self::new("isbn-taken", 409, "ISBN already in use", "Another book has this ISBN.")
    }

    /// 412: the book is not in the state that the caller meant to change.
    pub(crate) fn precondition_failed() -> Self {
        let detail = "The book has changed. Read it again and send its new ETag.";
        Self::new("precondition", 412, "Precondition failed", detail)
    }

    /// 415, with what would be taken, under the name of the header field that says so for this method.
    pub(crate) fn unsupported_media_type(header: &'static str, accepted: &'static str) -> Self {
        let detail = format!("Send the body as {accepted}.");
        Self::new("media-type", 415, "Unsupported media type", detail).with(header, accepted)
    }

    /// 422: JSON, but not what was asked for; one entry for each wrong field.
    pub(crate) fn unprocessable(errors: Vec<FieldError>) -> Self {
        let detail = "The JSON is well-formed, but what it says cannot be taken; `errors` names each field.";
        Self { errors, ..Self::new("invalid", 422, "Invalid content", detail) }
    }

    /// 415: the content is coded (RFC 9110 §12.5.3 names the field that says what would be taken).
    pub(crate) fn unsupported_coding() -> Self {
        let detail = "The content is taken as it is, without `Content-Encoding`.";
        Self::new("content-coding", 415, "Unsupported content coding", detail)
            .with("accept-encoding", "identity")
    }

    /// 503: one book is being changed by so many callers that this one never had its turn.
    pub(crate) fn too_busy() -> Self {
        Self::new("busy", 503, "Too many changes at once", "Others keep changing this book. Try again.")
            .with("retry-after", "1")
    }

    fn store_unavailable() -> Self {
        Self::new(
            "unavailable",
            503,
            "Temporarily unavailable",
            "The catalogue cannot be reached. Try again later.",
        )
        .with("retry-after", STORE_RETRY_SECONDS)
    }

    fn into_answer(self, request_id: &str) -> Answer {
        let document = Document {
            r#type: format!("urn:bookstore:problem:{}", self.name),
            title: self.title,
            status: self.status,
            detail: &self.detail,
            request_id,
            errors: &self.errors,
        };
        // Strings and numbers always serialise; were it ever otherwise, the status still says enough.
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let answer = answer::empty(self.status)
            .with("cache-control", "no-store")
            .with_body("application/problem+json", body);
        self.headers.into_iter().fold(answer, |answer, (name, value)| answer.with(name, value))
    }
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [FieldError],
}
