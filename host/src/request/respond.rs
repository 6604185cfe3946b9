//! The one place where errors become answers: an RFC 9457 problem document. Every answer, of a plugin or of the host,
//! gets its last fields here.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use serde::Serialize;

use super::account::{Account, Exchange};
use super::body::{AnswerBody, Answered, Content};
use super::error::{RequestError, RoutingError};
use super::id;
use crate::sandbox::has_no_body;

/// A problem document of RFC 9457 §3.1, with the request's id as its one extension.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Document<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    request_id: &'a str,
}

/// The answer to a request that failed.
pub(super) fn problem(error: &RequestError, request_id: &str) -> Response<Content> {
    let problem = error.problem();
    let document = Document {
        r#type: format!("urn:jackfield:problem:{}", problem.name),
        title: problem.title,
        status: problem.status.as_u16(),
        detail: &error.detail(),
        request_id,
    };
    // A struct of texts and a number always serializes; an empty body would still have its status.
    let body = serde_json::to_vec(&document).unwrap_or_default();
    let mut response = Response::new(Bytes::from(body).into());
    *response.status_mut() = problem.status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(wait) = problem.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(wait)));
    }
    if let RequestError::Routing(RoutingError::Method { allow }) = error {
        headers.insert(header::ALLOW, allow.clone());
    }
    response
}

/// The wait rounded up to whole seconds, so that a caller who comes back then is not too early.
fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0))
}

/// The answer to OPTIONS where no route takes it, with the methods of the path's routes.
pub(super) fn options(allow: Option<HeaderValue>) -> Response<Content> {
    let mut response = Response::new(Content::empty());
    *response.status_mut() = http::StatusCode::NO_CONTENT;
    if let Some(allow) = allow {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// The answer as it is sent: with the request's id, without a body where none may be, and with a body that holds the
/// request's account and place.
pub(super) fn finish(
    answered: Answered,
    is_head: bool,
    request_id: &str,
    mut account: Box<Account>,
) -> Response<AnswerBody> {
    let Answered { response, place } = answered;
    let (mut head, mut content) = response.into_parts();
    if has_no_body(head.status) {
        // Of these statuses 204 must not state a length, and HTTP/1 and HTTP/2 are to say the same (RFC 9110 §8.6).
        head.headers.remove(header::CONTENT_LENGTH);
        if !content.is_empty() {
            account.dropped_body(head.status, content.len());
            content.refuse();
        }
    }
    if let Ok(value) = HeaderValue::from_str(request_id) {
        head.headers.insert(id::REQUEST_ID, value);
    }
    // A GET's length (RFC 9110 §9.3.2): the length that the plugin stated, where it answered HEAD itself. hyper sends
    // no body.
    if is_head && !content.is_empty() {
        if let Some(length) = content.len() {
            head.headers.entry(header::CONTENT_LENGTH).or_insert(HeaderValue::from(length));
        }
        content.refuse();
    }
    account.answered(head.status.as_u16(), content.is_empty());
    Response::from_parts(head, AnswerBody::new(content, Exchange::new(account, place)))
}
