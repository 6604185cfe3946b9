//! Answers with a body of JSON, and those without one.

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;

use super::problem::Problem;

/// The answer to a call.
pub(super) type Answer = Result<Response, Problem>;

/// An answer with this content.
pub(super) fn json(status: StatusCode, content: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(content);
    let text = text.map_err(|error| Problem::of_the_host(format!("an answer has no JSON form: {error}")))?;
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

/// 200 with this content.
pub(super) fn found(content: &impl Serialize) -> Answer {
    json(StatusCode::OK, content)
}

/// 201 if the thing is new, else 200, with this content.
pub(super) fn kept(is_new: bool, content: &impl Serialize) -> Answer {
    json(if is_new { StatusCode::CREATED } else { StatusCode::OK }, content)
}

/// 204.
pub(super) fn done() -> Answer {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
