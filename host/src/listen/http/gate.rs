//! The protocol gate: refuses requests that hyper lets through and HTTP does not allow.
//!
//! Two readers of one request must not differ about where it goes or where it ends, so an ambiguous request is
//! refused (RFC 9112 §3.2, §6.1). The gate does not see parts that hyper's parser drops before it hands a request
//! over.

use std::sync::Arc;

use http::header::{CONTENT_LENGTH, COOKIE, EXPECT, HOST, TRANSFER_ENCODING};
use http::uri;
use http::{HeaderMap, HeaderValue, Method, Request, Version};

use crate::listen::bounds::{MAX_HEAD_FIELDS, MAX_TARGET_BYTES};
use crate::request::{Authority, MessageError};

/// The authority that a request is for, or the reason why it is refused.
pub(super) fn check<B>(request: &Request<B>) -> Result<Authority, MessageError> {
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(MessageError::Method);
    }
    check_target(request)?;
    check_fields(request)?;
    check_framing(request)?;
    authority(request)
}

/// Writes the authority of an absolute target into `Host`, so that no later reader takes the request for another's
/// (RFC 9112 §3.2.2).
pub(super) fn settle_host<B>(request: &mut Request<B>) {
    if request.version() == Version::HTTP_2 {
        return;
    }
    let target = request.uri().authority().and_then(|target| HeaderValue::from_str(target.as_str()).ok());
    if let Some(target) = target {
        request.headers_mut().insert(HOST, target);
    }
}

fn check_target<B>(request: &Request<B>) -> Result<(), MessageError> {
    let uri = request.uri();
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    if target.len() > MAX_TARGET_BYTES {
        return Err(MessageError::TargetLength { most: MAX_TARGET_BYTES });
    }
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(MessageError::Malformed(
            "the request's target has characters that must be percent-encoded",
        ));
    }
    // `OPTIONS *` asks for nothing in particular (RFC 9110 §9.3.7).
    let is_asterisk = uri.path() == "*" && request.method() == Method::OPTIONS;
    if !is_asterisk && !uri.path().starts_with('/') {
        return Err(MessageError::Malformed("the request's target must be a path that begins with `/`"));
    }
    Ok(())
}

/// Checks the fields. HTTP/1 was read strictly before; for HTTP/2 this is the first check.
fn check_fields<B>(request: &Request<B>) -> Result<(), MessageError> {
    let headers = request.headers();
    if headers.len() > MAX_HEAD_FIELDS {
        return Err(MessageError::HeadTooLarge);
    }
    let is_white = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let is_padded =
        |value: &HeaderValue| is_white(value.as_bytes().first()) || is_white(value.as_bytes().last());
    // RFC 9113 §8.2.1: HTTP/2 may not send the white space that HTTP/1 trims, and a reader of values need not know
    // the version.
    if headers.values().any(is_padded) {
        return Err(MessageError::Malformed("a field's value begins or ends with white space"));
    }
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some() {
        return Err(MessageError::Malformed("there is more than one Content-Length field"));
    }
    Ok(())
}

fn check_framing<B>(request: &Request<B>) -> Result<(), MessageError> {
    let headers = request.headers();
    for expectation in headers.get_all(EXPECT) {
        if !expectation.as_bytes().eq_ignore_ascii_case(b"100-continue") {
            return Err(MessageError::Expectation);
        }
    }
    let mut codings = headers.get_all(TRANSFER_ENCODING).into_iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if coding.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(MessageError::Coding),
    }
}

/// The authority of a request. In HTTP/1 an absolute target's authority counts, and `Host` does not (RFC 9112
/// §3.2.2). In HTTP/2 the two name one host, or the request is malformed (RFC 9113 §8.3.1).
fn authority<B>(request: &Request<B>) -> Result<Authority, MessageError> {
    let mut hosts = request.headers().get_all(HOST).into_iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(MessageError::Malformed("there is more than one Host field"));
    }
    let host = host.map(|host| host.to_str().map_err(|_| INVALID_HOST)).transpose()?;
    let asked = match (request.uri().authority(), host) {
        (Some(target), Some(host))
            if request.version() == Version::HTTP_2 && !target.as_str().eq_ignore_ascii_case(host) =>
        {
            return Err(MessageError::Malformed("the target and the Host field name different hosts"));
        }
        (Some(target), _) => target.as_str(),
        (None, Some(host)) => host,
        // HTTP/1.0 may name no host; then only a tenant of every host can be meant.
        (None, None) if request.version() <= Version::HTTP_10 => "",
        (None, None) => return Err(MessageError::Malformed("there is no Host field")),
    };
    if asked.is_empty() {
        return Ok(Authority { authority: Arc::default(), host: Arc::default() });
    }
    if asked.contains('@') {
        return Err(MessageError::Malformed("a host must not carry user information"));
    }
    let parsed: uri::Authority = asked.parse().map_err(|_| INVALID_HOST)?;
    // `Authority::port` of http 1.5 is none for a port that it cannot read.
    let after_host = asked.strip_prefix(parsed.host()).unwrap_or_default();
    if parsed.host().is_empty() || !after_host.strip_prefix(':').is_none_or(is_port) {
        return Err(INVALID_HOST);
    }
    let authority: Arc<str> = asked.to_ascii_lowercase().into();
    let host =
        if after_host.is_empty() { authority.clone() } else { parsed.host().to_ascii_lowercase().into() };
    Ok(Authority { authority, host })
}

/// True if this is a port: digits, or nothing (RFC 3986 §3.2.3).
fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && (text.is_empty() || text.parse::<u16>().is_ok())
}

/// Joins a cookie that came in crumbs over HTTP/2, for readers that know no crumbs (RFC 9113 §8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs: Vec<&[u8]> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    // Acceptable crumbs are still acceptable with `; ` between them.
    if let Ok(cookie) = HeaderValue::from_bytes(&crumbs.join(b"; ".as_slice())) {
        headers.insert(COOKIE, cookie);
    }
}

const INVALID_HOST: MessageError = MessageError::Malformed("the Host field is not a host name");

#[cfg(test)]
mod agreement;

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(request: http::request::Builder) -> Result<Authority, MessageError> {
        check(&request.body(()).unwrap())
    }

    /// The fuzzer's corpus (`fuzz/fuzz_targets/gate.rs`).
    #[test]
    fn whom_the_gate_lets_through_of_the_fuzzers_corpus_has_one_name() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/gate");
        let entries: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
        assert!(entries.len() > 20, "only {} are there", entries.len());
        for entry in entries {
            agreement::check(&std::fs::read(entry.unwrap().path()).unwrap());
        }
    }

    #[test]
    fn the_host_is_read_in_lower_case_and_without_its_port() {
        let table = [
            ("Shop.Example", "shop.example", "shop.example"),
            ("shop.example:8080", "shop.example:8080", "shop.example"),
            ("shop.example:", "shop.example:", "shop.example"),
            ("[::1]:80", "[::1]:80", "[::1]"),
            ("[::1]", "[::1]", "[::1]"),
            ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ];
        for (given, authority, host) in table {
            let asked = checked(Request::get("/").header(HOST, given)).unwrap();
            assert_eq!((&*asked.authority, &*asked.host), (authority, host));
        }
    }

    #[test]
    fn what_two_readers_could_take_differently_is_refused() {
        let get = |target: &str| Request::get(target).header(HOST, "a.example");
        let table = [
            (Request::get("/"), "no Host"),
            (get("/").header(HOST, "b.example"), "two Hosts"),
            (Request::get("/").header(HOST, "a b"), "a Host with a space"),
            (Request::get("/").header(HOST, "u@a.example"), "user information"),
            (Request::get("/").header(HOST, "a.example:99999"), "a port that is none"),
            (Request::get("/").header(HOST, "a.example:+80"), "a port with a sign"),
            (get("http://b.example/").version(Version::HTTP_2), "a target of another host, in HTTP/2"),
            (get("/").header(EXPECT, "200-ok"), "an unknown expectation"),
            (get("/").header(TRANSFER_ENCODING, "gzip, chunked"), "another coding"),
            (
                get("/").header(TRANSFER_ENCODING, "chunked").header(TRANSFER_ENCODING, "chunked"),
                "chunked twice",
            ),
            (Request::builder().method("TRACE").uri("/").header(HOST, "a.example"), "TRACE"),
            (get(&format!("/{}", "x".repeat(9000))), "a long target"),
            (Request::get("*").header(HOST, "a.example"), "no path"),
            (get("/").header("x-a", " 1"), "white space before a value"),
            (get("/").header("x-a", "1\t"), "white space behind a value"),
            (get("/").header(CONTENT_LENGTH, "1").header(CONTENT_LENGTH, "1"), "two lengths"),
        ];
        for (request, what) in table {
            assert!(checked(request).is_err(), "{what}");
        }
        assert_eq!(&*checked(get("http://b.example:80/")).unwrap().authority, "b.example:80");
        assert!(checked(Request::options("*").header(HOST, "a.example")).is_ok());
        let fields = |count| (1..count).fold(get("/"), |request, _| request.header("x-a", "1"));
        assert!(checked(fields(MAX_HEAD_FIELDS)).is_ok());
        assert!(matches!(checked(fields(MAX_HEAD_FIELDS + 1)), Err(MessageError::HeadTooLarge)));
        assert!(checked(Request::get("/").version(Version::HTTP_10)).is_ok());
    }

    #[test]
    fn a_cookie_in_crumbs_is_put_together() {
        for (crumbs, expected) in
            [(&["a=1"][..], Some("a=1")), (&["a=1", "b=2", "c=3"], Some("a=1; b=2; c=3")), (&[], None)]
        {
            let mut headers = HeaderMap::new();
            for crumb in crumbs {
                headers.append(COOKIE, HeaderValue::from_static(crumb));
            }
            join_cookies(&mut headers);
            let joined: Vec<_> = headers.get_all(COOKIE).iter().collect();
            assert_eq!(joined, expected.iter().collect::<Vec<_>>());
        }
    }
}
