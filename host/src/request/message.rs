//! HTTP messages ↔ the plain data that plugins speak in.
//!
//! On the way in, fields that belong to the connection are left out. On the way out, nothing of an
//! answer is trusted: status, names, values, counts and lengths are checked before hyper sees them.

use bytes::Bytes;
use http::request::Parts;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, header, response,
};
use http_body::Frame;

use super::body::Content;
use super::error::{AnswerError, MessageError, PluginError, RequestError};
use super::id;
use crate::limits::Limits;
use crate::sandbox::message::{HeaderChange, RequestHead, Response as PluginResponse, ResponseHead};
use crate::sandbox::{Context, has_no_body};

/// The most header fields of an answer.
pub const MAX_FIELDS: usize = 256;

/// The most bytes of their names and values together.
pub const MAX_FIELD_BYTES: usize = 64 << 10;

/// The most changes that one filter makes at once: each looks at every field.
pub const MAX_CHANGES: usize = 2 * MAX_FIELDS;

/// Fields that speak of one connection, not of the message (RFC 9110 §7.6.1), in either direction.
const CONNECTION_FIELDS: [HeaderName; 7] = [
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// Further fields that mean nothing, or harm, in a trailer section.
const NO_TRAILERS: [HeaderName; 9] = [
    header::AUTHORIZATION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::COOKIE,
    header::HOST,
    header::SET_COOKIE,
    id::REQUEST_ID,
];

/// The head that a plugin sees.
pub(super) fn request_head(parts: &Parts, method: &http::Method) -> RequestHead {
    let named = named_by_connection(&parts.headers);
    let is_kept = |name: &HeaderName| !CONNECTION_FIELDS.contains(name) && !named.contains(name);
    let headers = parts.headers.iter().filter(|(name, _)| is_kept(name));
    RequestHead {
        method: method.as_str().to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_owned()))
            .collect(),
    }
}

/// The further fields that `Connection` names.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        // These may not be named so (RFC 9110 §7.6.1), and a plugin must not lose them to a caller's whim.
        .filter(|name| ![header::HOST, header::AUTHORIZATION, id::REQUEST_ID].contains(name))
        .collect()
}

/// The request for a plugin that takes its body as it comes.
pub(super) fn streamed_request<B>(
    head: RequestHead,
    context: &Context,
    body: B,
) -> Result<Request<B>, RequestError> {
    let mut target = head.path;
    if let Some(query) = head.query {
        target.push('?');
        target.push_str(&query);
    }
    let mut headers = HeaderMap::with_capacity(head.headers.len().min(MAX_FIELDS));
    for (name, value) in head.headers {
        let (name, value) = field(&name, &value).map_err(PluginError::Answer)?;
        append(&mut headers, name, value).map_err(PluginError::Answer)?;
    }
    // Where the sandbox looks for whom the caller asked.
    let host = HeaderValue::from_str(&context.authority);
    headers.insert(header::HOST, host.map_err(|_| MessageError::Malformed("the host is not acceptable"))?);
    let mut request = Request::new(body);
    // Both are as they came, and were acceptable then.
    let refused = MessageError::Malformed("the method or the target is not acceptable");
    let (Ok(method), Ok(uri)) = (Method::from_bytes(head.method.as_bytes()), Uri::try_from(target)) else {
        return Err(refused.into());
    };
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;
    Ok(request)
}

/// Makes a filter's changes to the head that the next link sees. Names a plugin cannot have sent over
/// HTTP are an error: what would the handler make of them?
pub(super) fn change_request(head: &mut RequestHead, changes: Vec<HeaderChange>) -> Result<(), AnswerError> {
    check_changes(&changes)?;
    for change in changes {
        match change {
            HeaderChange::Set((name, value)) => {
                let (name, value) = field(&name, &value)?;
                head.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(name.as_str()));
                head.headers.push((name.as_str().to_owned(), value.as_bytes().to_owned()));
            }
            HeaderChange::Append((name, value)) => {
                let (name, value) = field(&name, &value)?;
                head.headers.push((name.as_str().to_owned(), value.as_bytes().to_owned()));
            }
            HeaderChange::Remove(name) => {
                head.headers.retain(|(known, _)| !known.eq_ignore_ascii_case(&name));
            }
        }
    }
    let bytes = head.headers.iter().map(|(name, value)| name.len().saturating_add(value.len()));
    within(head.headers.len(), bytes.fold(0, usize::saturating_add))
}

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
                // A name that is none has no field to take away.
                if let Ok(name) = HeaderName::try_from(name) {
                    headers.remove(name);
                }
            }
        }
    }
    check_fields(headers)
}

/// What a plugin was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// An answer with its body.
    Whole,
    /// The head that a GET's answer would have: `HEAD`, by a route that takes it itself.
    HeadAlone,
}

impl Asked {
    /// By a request with this head.
    pub(super) fn by(head: &RequestHead) -> Self {
        if head.method == "HEAD" { Self::HeadAlone } else { Self::Whole }
    }
}

/// A plugin's answer under its limits, if it is one that can be sent.
pub(super) fn whole_response(
    limits: &Limits,
    asked: Asked,
    answer: PluginResponse,
) -> Result<Response<Bytes>, PluginError> {
    let bytes = answer.body.len();
    if u64::try_from(bytes).is_ok_and(|bytes| bytes > limits.response_body) {
        return Err(PluginError::BodyTooLarge { bytes, limit_bytes: limits.response_body });
    }
    response(asked, answer).map_err(PluginError::Answer)
}

/// A plugin's answer, checked. The body is kept even where none may be sent; `respond.rs` sees to that.
fn response(asked: Asked, answer: PluginResponse) -> Result<Response<Bytes>, AnswerError> {
    let PluginResponse { head, body } = answer;
    let status = match head.status {
        200..=599 => StatusCode::from_u16(head.status).map_err(|_| AnswerError::Status(head.status))?,
        other => return Err(AnswerError::Status(other)),
    };
    let mut headers = HeaderMap::with_capacity(head.headers.len().min(MAX_FIELDS));
    for (name, value) in head.headers {
        let (name, value) = field(&name, &value)?;
        if name == header::CONTENT_LENGTH {
            if asked == Asked::HeadAlone && is_length(&value) {
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

/// The head of an answer whose body is a stream, checked. A length that it states stays: the body is held to
/// it.
pub(super) fn streamed_head(
    head: response::Parts,
    asked: Asked,
    is_empty: bool,
) -> Result<response::Parts, AnswerError> {
    let head = checked_head(head)?;
    if let Some(stated) = head.headers.get(header::CONTENT_LENGTH) {
        let may_be_right = match asked {
            Asked::HeadAlone => is_length(stated),
            Asked::Whole => length(stated).is_some_and(|stated| stated == 0 || !is_empty),
        };
        if !may_be_right {
            check_length(head.status, stated, 0)?;
        }
    }
    Ok(head)
}

/// An answer's head with a status that is final, and fields that are the plugin's to set.
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

/// An answer of a plugin that streams, of which all is there already. Its length is told by the host.
pub(super) fn streamed_whole(
    limits: &Limits,
    asked: Asked,
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
        if asked == Asked::HeadAlone && is_length(&stated) {
            head.headers.insert(header::CONTENT_LENGTH, stated);
        } else {
            check_length(head.status, &stated, bytes).map_err(PluginError::Answer)?;
        }
    }
    let trailers = trailers.map(well_placed).filter(|trailers| !trailers.is_empty());
    trailers.as_ref().map_or(Ok(()), check_fields).map_err(PluginError::Answer)?;
    Ok(Response::from_parts(head, Content::Whole { data, trailers }))
}

/// A frame of a body without what a trailer section must not say (RFC 9110 §6.5.1): how the message is framed,
/// routed, authorized or read.
pub(super) fn without_misplaced_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => Frame::trailers(well_placed(trailers)),
        Err(frame) => frame,
    }
}

fn well_placed(mut trailers: HeaderMap) -> HeaderMap {
    for name in CONNECTION_FIELDS.iter().chain(&NO_TRAILERS) {
        trailers.remove(name);
    }
    trailers
}

/// The trailers that a head announces. hyper (1.12) sends no others over HTTP/1.1.
pub(super) fn announced_trailers(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::TRAILER).into_iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect()
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

fn field(name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue), AnswerError> {
    let parsed = HeaderName::try_from(name).map_err(|_| AnswerError::Name(shown(name)))?;
    let value = HeaderValue::from_bytes(value).map_err(|_| AnswerError::Value(shown(name)))?;
    Ok((parsed, value))
}

/// Enough of a name to recognise it by in a log line.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// Whether a field of an answer is the plugin's to set: those of the connection, and the body's length,
/// are the host's.
fn is_plugins(name: &HeaderName) -> bool {
    !CONNECTION_FIELDS.contains(name) && *name != header::CONTENT_LENGTH
}

/// `append` panics at 32,768 fields; a guest decides how many there are.
fn append(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) -> Result<(), AnswerError> {
    let too_many = |_| AnswerError::Fields { fields: MAX_FIELDS, bytes: MAX_FIELD_BYTES };
    headers.try_append(name, value).map(drop).map_err(too_many)
}

fn check_changes(changes: &[HeaderChange]) -> Result<(), AnswerError> {
    if changes.len() > MAX_CHANGES {
        return Err(AnswerError::Changes { most: MAX_CHANGES });
    }
    Ok(())
}

pub(super) fn check_fields(headers: &HeaderMap) -> Result<(), AnswerError> {
    let bytes = headers.iter().map(|(name, value)| name.as_str().len().saturating_add(value.len()));
    within(headers.len(), bytes.fold(0, usize::saturating_add))
}

fn within(fields: usize, bytes: usize) -> Result<(), AnswerError> {
    if fields > MAX_FIELDS || bytes > MAX_FIELD_BYTES {
        return Err(AnswerError::Fields { fields: MAX_FIELDS, bytes: MAX_FIELD_BYTES });
    }
    Ok(())
}

/// Whether a value is a length at all (RFC 9110 §8.6).
fn is_length(value: &HeaderValue) -> bool {
    !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit)
}

/// The length that a value states.
pub(super) fn length(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok().filter(|_| is_length(value))?.parse().ok()
}

/// The stated length must be the body's, except where no body is sent and the length speaks of what a
/// GET would have had (RFC 9110 §8.6).
fn check_length(status: StatusCode, stated: &HeaderValue, actual: usize) -> Result<(), AnswerError> {
    let is_right = stated.to_str().ok().and_then(|text| text.parse().ok()) == Some(actual);
    if is_right || has_no_body(status) {
        return Ok(());
    }
    Err(AnswerError::Length { stated: shown(&String::from_utf8_lossy(stated.as_bytes())), actual })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> Result<Response<Bytes>, AnswerError> {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), value.as_bytes().to_vec()));
        let head = ResponseHead { status, headers: headers.collect() };
        response(Asked::Whole, PluginResponse { head, body: body.into() })
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
        let error = response(Asked::Whole, PluginResponse { head, body: Vec::new() }).unwrap_err();
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
