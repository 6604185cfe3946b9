//! The negotiation of a coding (RFC 9110 §12.5.3): the one that a client wants most of those that its route offers, the
//! answers that can be compressed, and their heads. `compression.rs` has the step in which this is used.

use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::fields;
use super::head::AnswerScope;
use crate::sandbox::has_no_body;
use crate::snapshot::{Chain, Coding};

/// The fewest bytes of an answer that is compressed: a smaller one fits into a packet or two as it is.
pub const LEAST_BYTES: u64 = 1 << 10;

/// Fields by which a body was signed as it is. RFC 9530 forbids to change it then.
const DIGESTS: [HeaderName; 4] = [
    HeaderName::from_static("content-digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("content-md5"),
];

/// The types that are worth compressing, beside `text/*`, `…+json` and `…+xml`. Images, sound, films, archives and web
/// fonts are compressed by their own formats.
const TYPES: [&str; 12] = [
    "application/javascript",
    "application/json",
    "application/vnd.ms-fontobject",
    "application/wasm",
    "application/x-javascript",
    "application/x-ndjson",
    "application/xml",
    "font/collection",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
];

/// A request's part in the compression of its answer, on a route that offers codings.
pub(super) struct Negotiation {
    /// The coding of those that the route offers which the client wants most. None if it wants none of them.
    coding: Option<Coding>,
    /// The part of an answer that the plugin is asked for.
    asked: AnswerScope,
    /// The part of an answer that is sent.
    pub(super) sent: AnswerScope,
    if_none_match: Vec<HeaderValue>,
}

impl Negotiation {
    /// The negotiation on this route for this request, as the client sent it. `method` is the method that the plugin
    /// sees. None if the route offers no compression.
    pub(super) fn on(chain: &Chain, request: &Parts, method: &Method) -> Option<Self> {
        Self::offered(&chain.compression, request, method)
    }

    fn offered(codings: &[Coding], request: &Parts, method: &Method) -> Option<Self> {
        if codings.is_empty() {
            return None;
        }
        let coding = preferred(codings, &request.headers).filter(|_| !forbids_transforming(&request.headers));
        Some(Self {
            coding,
            asked: AnswerScope::by(method),
            sent: AnswerScope::by(&request.method),
            if_none_match: request.headers.get_all(header::IF_NONE_MATCH).iter().cloned().collect(),
        })
    }

    /// The coding that this answer is to be compressed in. The answer is told to vary if it could be compressed for
    /// another client. `bytes` is the length of its body, if the body is there.
    pub(super) fn of<B>(&self, answer: &mut Response<B>, bytes: Option<u64>) -> Option<Coding> {
        if answer.status() == StatusCode::NOT_MODIFIED {
            self.revalidate(answer.headers_mut());
            return None;
        }
        if !can_be_compressed(answer.status(), answer.headers(), self.length(answer.headers(), bytes)) {
            return None;
        }
        vary(answer.headers_mut());
        self.coding
    }

    /// The length of the body that a GET has, if it is known.
    fn length(&self, headers: &HeaderMap, bytes: Option<u64>) -> Option<u64> {
        match headers.get(header::CONTENT_LENGTH) {
            Some(stated) => fields::length(stated),
            None if self.asked == AnswerScope::HeadAlone => None,
            None => bytes,
        }
    }

    /// Changes the head of 304 as it was changed for the answer that the client has: its `ETag` is weak if the client
    /// has it so. A cache looks for the stored answer by this tag (RFC 9111 §4.3.4).
    fn revalidate(&self, headers: &mut HeaderMap) {
        vary(headers);
        let Some(weak) = headers.get(header::ETAG).and_then(weakened) else { return };
        let named = self.if_none_match.iter().flat_map(|tags| tags.as_bytes().split(|byte| *byte == b','));
        if named.map(<[u8]>::trim_ascii).any(|tag| tag == weak.as_bytes()) {
            headers.insert(header::ETAG, weak);
        }
    }
}

/// Changes the head of an answer whose body is compressed. Its length is not known any more, parts of it cannot be asked
/// for, and its `ETag` promises the same meaning, not the same bytes (RFC 9110 §8.8.1).
pub(super) fn say_compressed(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.as_str()));
    headers.remove(header::CONTENT_LENGTH);
    headers.remove(header::ACCEPT_RANGES);
    if let Some(weak) = headers.get(header::ETAG).and_then(weakened) {
        headers.insert(header::ETAG, weak);
    }
}

/// The weak form of a strong tag.
fn weakened(tag: &HeaderValue) -> Option<HeaderValue> {
    tag.as_bytes()
        .starts_with(b"\"")
        .then(|| HeaderValue::from_bytes(&[b"W/", tag.as_bytes()].concat()).ok())?
}

/// Adds `accept-encoding` to the fields that an answer depends on.
fn vary(headers: &mut HeaderMap) {
    let members = || headers.get_all(header::VARY).iter().flat_map(|value| members(value.as_bytes()));
    if members().any(|name| name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding")) {
        return;
    }
    let names: Vec<&[u8]> = members().chain([&b"accept-encoding"[..]]).collect();
    if let Ok(value) = HeaderValue::from_bytes(&names.join(&b", "[..])) {
        headers.insert(header::VARY, value);
    }
}

/// The members of a list, as RFC 9110 §5.6.1 writes it.
fn members(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|member| !member.is_empty())
}

/// True if an answer with this head would be compressed for a client that accepts it. `bytes` is the length of its body,
/// if it is known.
fn can_be_compressed(status: StatusCode, headers: &HeaderMap, bytes: Option<u64>) -> bool {
    !has_no_body(status)
        && status != StatusCode::PARTIAL_CONTENT
        && bytes.is_none_or(|bytes| bytes >= LEAST_BYTES)
        && headers.get(header::CONTENT_TYPE).is_some_and(is_worth_compressing)
        && !headers.contains_key(header::CONTENT_ENCODING)
        && !headers.contains_key(header::CONTENT_RANGE)
        && !DIGESTS.iter().any(|digest| headers.contains_key(digest))
        && !forbids_transforming(headers)
}

fn is_worth_compressing(content_type: &HeaderValue) -> bool {
    let Ok(text) = content_type.to_str() else { return false };
    let name = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    name.starts_with("text/")
        || name.ends_with("+json")
        || name.ends_with("+xml")
        || TYPES.contains(&name.as_str())
}

/// True if `Cache-Control` has `no-transform` (RFC 9111 §5.2.1.6, §5.2.2.6).
fn forbids_transforming(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::CACHE_CONTROL).into_iter();
    values
        .flat_map(|value| members(value.as_bytes()))
        .any(|directive| directive.eq_ignore_ascii_case(b"no-transform"))
}

/// The coding of these that the request's `Accept-Encoding` gives the highest weight; of several, the first. None if the
/// client accepts none of them, gives the bare body a higher weight, or says nothing.
fn preferred(codings: &[Coding], request: &HeaderMap) -> Option<Coding> {
    let values = request.get_all(header::ACCEPT_ENCODING).iter();
    let accepted: Vec<_> = values.flat_map(|value| members(value.as_bytes())).filter_map(weighted).collect();
    let weight_of = |name: &str| {
        let named = accepted.iter().find(|(known, _)| is_same_coding(known, name));
        named.map(|(_, weight)| *weight)
    };
    let any = weight_of("*").unwrap_or(0);
    let weighted = codings.iter().map(|coding| (weight_of(coding.as_str()).unwrap_or(any), *coding));
    // Of equal ones, `max_by_key` takes the last.
    let (weight, coding) = weighted.rev().max_by_key(|(weight, _)| *weight)?;
    (weight > 0 && weight >= weight_of("identity").unwrap_or(0)).then_some(coding)
}

/// True if the client means this coding: `x-gzip` is gzip (RFC 9110 §8.4.1.3).
fn is_same_coding(written: &[u8], name: &str) -> bool {
    let written = if written.eq_ignore_ascii_case(b"x-gzip") { b"gzip" } else { written };
    written.eq_ignore_ascii_case(name.as_bytes())
}

/// A coding and its weight in thousandths (RFC 9110 §12.4.2). None if the weight is no weight.
fn weighted(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let coding = parts.next()?;
    let Some(parameter) = parts.next() else { return Some((coding, 1000)) };
    let (name, value) = parameter.split_at_checked(2)?;
    name.eq_ignore_ascii_case(b"q=").then(|| thousandths(value))?.map(|weight| (coding, weight))
}

fn thousandths(value: &[u8]) -> Option<u16> {
    let text = str::from_utf8(value).ok()?;
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    if !matches!(whole, "0" | "1") || rest.len() > 3 || !rest.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let weight: u16 = format!("{whole}{rest:0<3}").parse().ok()?;
    (weight <= 1000).then_some(weight)
}

#[cfg(test)]
mod tests;
