//! Request ids: the caller's own id if it is harmless, else an id made here. And the id of the request's trace.

use std::fmt::Write;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName};

/// The field that carries a request's id, in both directions.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The field of W3C Trace Context. It is passed on to plugins as it came.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The longest id that is taken over from a caller.
const MAX_ID_BYTES: usize = 128;

/// The source of request ids: a random prefix of this process, and a number.
pub struct RequestIds {
    /// 16 digits and a hyphen.
    prefix: String,
    next: AtomicU64,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestIds {
    /// Ids with a prefix of this process.
    pub fn new() -> Self {
        // The standard library seeds its hashers from the system; that is random enough to tell two processes apart,
        // which is the prefix's only purpose.
        let prefix = format!("{:016x}-", RandomState::new().build_hasher().finish());
        Self { prefix, next: AtomicU64::new(0) }
    }

    /// The id of a request with these header fields.
    pub fn of(&self, headers: &HeaderMap) -> Arc<str> {
        let given = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok());
        match given {
            Some(id) if is_harmless(id) => id.into(),
            _ => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let mut id = self.prefix.clone();
                // Writing to a `String` cannot fail.
                let _ = write!(id, "{number:x}");
                id.into()
            }
        }
    }
}

/// True if an id can stand in a header and a log line as it is.
fn is_harmless(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID_BYTES && id.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The trace id of a valid `traceparent`: version, 32 hex digits, 16 hex digits, flags, not all zero
/// (W3C Trace Context §3.2).
pub(super) fn trace_id(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(TRACEPARENT)?.to_str().ok()?;
    let mut parts = value.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let is_set = |text: &str| text.bytes().any(|byte| byte != b'0');
    let is_valid = is_hex(version, 2)
        && version != "ff"
        && (version != "00" || parts.next().is_none())
        && is_hex(trace, 32)
        && is_set(trace)
        && is_hex(parent, 16)
        && is_set(parent)
        && is_hex(flags, 2);
    is_valid.then_some(trace)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_callers_id_is_kept_if_it_is_harmless() {
        let ids = RequestIds::new();
        let with = |id: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_static(id));
            ids.of(&headers)
        };
        assert_eq!(&*with("abc/1:2"), "abc/1:2");
        assert_ne!(&*with("a b"), "a b");
        assert_ne!(&*with(""), "");
        assert_ne!(with("a b"), with("a b"));
    }

    #[test]
    fn only_a_valid_traceparent_names_a_trace() {
        let trace = "0af7651916cd43dd8448eb211c80319c";
        let table = [
            (format!("00-{trace}-b7ad6b7169203331-01"), true),
            (format!("cc-{trace}-b7ad6b7169203331-01-what-comes-later"), true),
            (format!("00-{trace}-b7ad6b7169203331-01-more"), false),
            (format!("ff-{trace}-b7ad6b7169203331-01"), false),
            (format!("00-{}-b7ad6b7169203331-01", "0".repeat(32)), false),
            (format!("00-{trace}-{}-01", "0".repeat(16)), false),
            (format!("00-{}-b7ad6b7169203331-01", trace.to_uppercase()), false),
            ("00".into(), false),
        ];
        for (value, is_valid) in table {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, HeaderValue::from_str(&value).unwrap());
            assert_eq!(trace_id(&headers), is_valid.then_some(trace), "{value}");
        }
    }
}
