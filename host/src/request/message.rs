//! The check of plugins' answers before they are sent. Nothing of an answer is trusted: status, names, values, counts
//! and lengths are checked before hyper sees them.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, response};

use super::body::Content;
use super::error::{AnswerError, PluginError};
use super::fields::{
    CONNECTION_FIELDS, MAX_FIELDS, append, check_changes, check_fields, field, is_length, is_plugins, length,
    shown, well_placed,
};
use super::head::AnswerScope;
use crate::limits::Limits;
use crate::sandbox::has_no_body;
use crate::sandbox::message::{HeaderChange, Response as PluginResponse, ResponseHead};

/// Makes a filter's changes to an answer.
pub(super) fn change_response(
    headers: &mut HeaderMap,
    changes: Vec<HeaderChange>,
) -> Result<(), AnswerError> {
    check_changes(&changes)?;
    for change in changes {
        match change {
            HeaderChange::Set((name, value)) => {
                let (name, value) = field(&name, &value)?;
                if is_plugins(&name) {
                    headers.remove(&name);
                    append(headers, name, value)?;
                }
            }
            HeaderChange::Append((name, value)) => {
                let (name, value) = field(&name, &value)?;
                if is_plugins(&name) {
                    append(headers, name, value)?;
                }
            }
            HeaderChange::Remove(name) => {
                // A text that is no field name has no field to take away.
                if let Ok(name) = HeaderName::try_from(name) {
                    headers.remove(name);
                }
            }
        }
    }
    check_fields(headers)
}

/// A plugin's answer under its limits, if the answer can be sent.
pub(super) fn whole_response(
    limits: &Limits,
    asked: AnswerScope,
    answer: PluginResponse,
) -> Result<Response<Bytes>, PluginError> {
    let bytes = answer.body.len();
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > limits.response_body) {
        return Err(PluginError::BodyTooLarge { bytes, limit_bytes: limits.response_body });
    }
    response(asked, answer).map_err(PluginError::Answer)
}

/// A plugin's answer, checked. The body is kept even where none may be sent; `respond.rs` drops it.
fn response(asked: AnswerScope, answer: PluginResponse) -> Result<Response<Bytes>, AnswerError> {
    let PluginResponse { head, body } = answer;
    let status = match head.status {
        200..=599 => StatusCode::from_u16(head.status).map_err(|_| AnswerError::Status(head.status))?,
        other => return Err(AnswerError::Status(other)),
    };
    let mut headers = HeaderMap::with_capacity(head.headers.len().min(MAX_FIELDS));
    for (name, value) in head.headers {
        let (name, value) = field(&name, &value)?;
        if name == header::CONTENT_LENGTH {
            if asked == AnswerScope::HeadAlone && is_length(&value) {
                headers.insert(name, value);
            } else {
                check_length(status, &value, body.len())?;
            }
        } else if is_plugins(&name) {
            append(&mut headers, name, value)?;
        }
    }
    check_fields(&headers)?;
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The head of an answer whose body is a stream, checked. A length that the head states stays, and the body must keep
/// to it.
pub(super) fn streamed_head(
    head: response::Parts,
    asked: AnswerScope,
    is_empty: bool,
) -> Result<response::Parts, AnswerError> {
    let head = checked_head(head)?;
    if let Some(stated) = head.headers.get(header::CONTENT_LENGTH) {
        let may_be_right = match asked {
            AnswerScope::HeadAlone => is_length(stated),
            AnswerScope::Whole => length(stated).is_some_and(|stated| stated == 0 || !is_empty),
        };
        if !may_be_right {
            check_length(head.status, stated, 0)?;
        }
    }
    Ok(head)
}

/// An answer's head with a final status and no field but those that are the plugin's to set.
fn checked_head(mut head: response::Parts) -> Result<response::Parts, AnswerError> {
    if !(200..=599).contains(&head.status.as_u16()) {
        return Err(AnswerError::Status(head.status.as_u16()));
    }
    for name in CONNECTION_FIELDS.iter().filter(|name| **name != header::TRAILER) {
        head.headers.remove(name);
    }
    check_fields(&head.headers)?;
    Ok(head)
}

/// A streaming plugin's answer whose whole body is there already. The host states its length.
pub(super) fn streamed_whole(
    limits: &Limits,
    asked: AnswerScope,
    answer: Response<Bytes>,
    trailers: Option<HeaderMap>,
) -> Result<Response<Content>, PluginError> {
    let (head, data) = answer.into_parts();
    let bytes = data.len();
    if let Some(limit_bytes) = limits.streamed_response_body
        && u64::try_from(bytes).is_ok_and(|bytes| bytes > limit_bytes)
    {
        return Err(PluginError::BodyTooLarge { bytes, limit_bytes });
    }
    let mut head = checked_head(head).map_err(PluginError::Answer)?;
    if let Some(stated) = head.headers.remove(header::CONTENT_LENGTH) {
        if asked == AnswerScope::HeadAlone && is_length(&stated) {
            head.headers.insert(header::CONTENT_LENGTH, stated);
        } else {
            check_length(head.status, &stated, bytes).map_err(PluginError::Answer)?;
        }
    }
    let trailers = trailers.map(well_placed).filter(|trailers| !trailers.is_empty());
    trailers.as_ref().map_or(Ok(()), check_fields).map_err(PluginError::Answer)?;
    Ok(Response::from_parts(head, Content::Whole { data, trailers: trailers.map(Box::new) }))
}

/// The head of an answer as a response filter sees it.
pub(super) fn response_head<B>(response: &Response<B>) -> ResponseHead {
    let headers = response.headers().iter();
    ResponseHead {
        status: response.status().as_u16(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned()))
            .collect(),
    }
}

/// Checks that the stated length is the body's, except where no body is sent and the length is that of a GET's answer
/// (RFC 9110 §8.6).
fn check_length(status: StatusCode, stated: &HeaderValue, actual: usize) -> Result<(), AnswerError> {
    let is_right = stated.to_str().ok().and_then(|text| text.parse().ok()) == Some(actual);
    if is_right || has_no_body(status) {
        return Ok(());
    }
    Err(AnswerError::Length { stated: shown(&String::from_utf8_lossy(stated.as_bytes())), actual })
}

#[cfg(test)]
mod tests {
    use super::super::fields::MAX_FIELD_BYTES;
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Result<Response<Bytes>, AnswerError> {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), value.as_bytes().to_vec()));
        let head = ResponseHead { status, headers: headers.collect() };
        response(AnswerScope::Whole, PluginResponse { head, body: body.into() })
    }

    #[test]
    fn nonsense_in_an_answer_is_named() {
        let table: [(u16, &str, &str, AnswerError); 7] = [
            (99, "a", "b", AnswerError::Status(99)),
            (101, "a", "b", AnswerError::Status(101)),
            (600, "a", "b", AnswerError::Status(600)),
            (200, "a b", "c", AnswerError::Name("a b".into())),
            (200, "", "c", AnswerError::Name(String::new())),
            (200, "x-a", "b\r\nx-evil: 1", AnswerError::Value("x-a".into())),
            (200, "content-length", "7", AnswerError::Length { stated: "7".into(), actual: 4 }),
        ];
        for (status, name, value, expected) in table {
            assert_eq!(answer(status, &[(name, value)], "body").unwrap_err(), expected);
        }
    }

    #[test]
    fn fields_of_the_connection_are_the_hosts() {
        let response = answer(
            200,
            &[
                ("connection", "close"),
                ("Transfer-Encoding", "chunked"),
                ("x-a", "1"),
                ("content-length", "4"),
            ],
            "body",
        );
        let headers = response.unwrap().headers().clone();
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x-a"]);
    }

    #[test]
    fn a_flood_of_fields_is_an_error_and_no_panic() {
        let many: Vec<(String, Vec<u8>)> = (0..40_000).map(|n| (format!("x-{n}"), vec![b'1'])).collect();
        let head = ResponseHead { status: 200, headers: many };
        let error = response(AnswerScope::Whole, PluginResponse { head, body: Vec::new() }).unwrap_err();
        assert_eq!(error, AnswerError::Fields { fields: MAX_FIELDS, bytes: MAX_FIELD_BYTES });
    }

    #[test]
    fn a_stated_length_may_differ_where_no_body_is_sent() {
        assert!(answer(304, &[("content-length", "1234")], "").is_ok());
    }

    #[test]
    fn statuses_that_never_have_a_body_are_known() {
        let none = (200..=599).filter(|status| has_no_body(StatusCode::from_u16(*status).unwrap()));
        assert_eq!(none.collect::<Vec<_>>(), [204, 205, 304]);
    }

    #[test]
    fn changes_are_made_in_their_order() {
        let mut headers = HeaderMap::new();
        headers.insert("x-a", HeaderValue::from_static("0"));
        let change =
            |kind: fn((String, Vec<u8>)) -> HeaderChange, value: &str| kind(("X-A".into(), value.into()));
        change_response(
            &mut headers,
            vec![
                change(HeaderChange::Append, "1"),
                change(HeaderChange::Set, "2"),
                change(HeaderChange::Append, "3"),
                HeaderChange::Remove("x-b".into()),
                HeaderChange::Remove("no name".into()),
            ],
        )
        .unwrap();
        let values: Vec<_> = headers.get_all("x-a").iter().collect();
        assert_eq!(values, ["2", "3"]);
    }
}
