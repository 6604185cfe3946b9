//! Header fields and trailers: the fields that belong to the connection, the limits on fields, and the check of names
//! and values.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use http_body::Frame;

use super::error::AnswerError;
use super::id;
use crate::sandbox::message::HeaderChange;

/// The most header fields of an answer.
pub const MAX_FIELDS: usize = 256;

/// The most bytes of an answer's field names and values together.
pub const MAX_FIELD_BYTES: usize = 64 << 10;

/// The most changes that one filter makes at once: each change looks at every field.
pub const MAX_CHANGES: usize = 2 * MAX_FIELDS;

/// Fields that speak of one connection, not of the message (RFC 9110 §7.6.1), in either direction.
pub(super) const CONNECTION_FIELDS: [HeaderName; 7] = [
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

/// The fields that `Connection` names, beside those that must not be named there.
pub(super) fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        // These fields may not be named so (RFC 9110 §7.6.1), and a plugin must not lose them to a caller's whim.
        .filter(|name| ![header::HOST, header::AUTHORIZATION, id::REQUEST_ID].contains(name))
        .collect()
}

/// Takes away the fields whose names are not to be kept. The order of the others stays, which `HeaderMap::remove` would
/// change.
pub(super) fn retain(headers: &mut HeaderMap, is_kept: impl Fn(&HeaderName) -> bool) {
    if headers.keys().all(&is_kept) {
        return;
    }
    let mut kept = HeaderMap::with_capacity(headers.len());
    let mut last = None;
    for (name, value) in std::mem::take(headers) {
        // Further values of a field come without its name.
        last = name.or(last);
        if let Some(name) = last.as_ref().filter(|name| is_kept(name)) {
            // There are no more fields than there were.
            let _ = kept.try_append(name, value);
        }
    }
    *headers = kept;
}

/// A frame of a body without the fields that a trailer section must not have (RFC 9110 §6.5.1): those that say how
/// the message is framed, routed, authorized or read.
pub(super) fn without_misplaced_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(trailers) => Frame::trailers(well_placed(trailers)),
        Err(frame) => frame,
    }
}

/// The trailers that may stand in a trailer section.
pub(super) fn well_placed(mut trailers: HeaderMap) -> HeaderMap {
    for name in CONNECTION_FIELDS.iter().chain(&NO_TRAILERS) {
        trailers.remove(name);
    }
    trailers
}

/// The trailers that a head announces. hyper (1.12) sends no other trailers over HTTP/1.1.
pub(super) fn announced_trailers(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::TRAILER).into_iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect()
}

pub(super) fn field(name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue), AnswerError> {
    let parsed = HeaderName::try_from(name).map_err(|_| AnswerError::Name(shown(name)))?;
    let value = HeaderValue::from_bytes(value).map_err(|_| AnswerError::Value(shown(name)))?;
    Ok((parsed, value))
}

/// The start of a name, long enough to recognise the name in a log line.
pub(super) fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// True if a field of an answer is the plugin's to set. The fields of the connection and the body's length are the
/// host's.
pub(super) fn is_plugins(name: &HeaderName) -> bool {
    !CONNECTION_FIELDS.contains(name) && *name != header::CONTENT_LENGTH
}

/// Appends a field. `HeaderMap::append` panics at 32,768 fields, and a guest decides how many there are.
pub(super) fn append(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: HeaderValue,
) -> Result<(), AnswerError> {
    let too_many = |_| AnswerError::Fields { fields: MAX_FIELDS, bytes: MAX_FIELD_BYTES };
    headers.try_append(name, value).map(drop).map_err(too_many)
}

pub(super) fn check_changes(changes: &[HeaderChange]) -> Result<(), AnswerError> {
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

/// True if the value is a length at all (RFC 9110 §8.6).
pub(super) fn is_length(value: &HeaderValue) -> bool {
    !value.is_empty() && value.as_bytes().iter().all(u8::is_ascii_digit)
}

/// The length that a value states.
pub(super) fn length(value: &HeaderValue) -> Option<u64> {
    value.to_str().ok().filter(|_| is_length(value))?.parse().ok()
}
