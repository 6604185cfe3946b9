//! The gate's reading of a head that a lenient parser accepts, for tests and for the fuzzer, with any bytes.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Request, Version, header};

use super::{join_cookies, settle_host};

/// Panics if the gate does, or if the gate lets a request through whose authority could be read in another way.
pub(super) fn check(bytes: &[u8]) {
    for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
        let Some(mut request) = read(bytes, version) else { return };
        let checked = super::check(&request);
        join_cookies(request.headers_mut());
        settle_host(&mut request);
        let Ok(asked) = checked else { continue };
        let is_plain = |text: &Arc<str>| {
            text.bytes()
                .all(|byte| byte.is_ascii_graphic() && !byte.is_ascii_uppercase() && !b"@/?#".contains(&byte))
        };
        assert!(is_plain(&asked.authority) && is_plain(&asked.host), "{asked:?}");
        assert!(asked.authority.starts_with(&*asked.host), "{asked:?}");
        // HTTP/1 may name no host (RFC 9112 §3.2).
        assert!(version != Version::HTTP_2 || !asked.host.is_empty() || request.uri().authority().is_none());
        if let Some(target) = request.uri().authority() {
            assert_eq!(target.as_str().to_ascii_lowercase(), *asked.authority);
        }
        // The Host field is now that of the authority.
        if let Some(host) = request.headers().get(header::HOST) {
            assert_eq!(host.to_str().unwrap().to_ascii_lowercase(), *asked.authority);
        }
    }
}

fn read(bytes: &[u8], version: Version) -> Option<Request<()>> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Request::new(&mut fields);
    head.parse(bytes).ok().filter(httparse::Status::is_complete)?;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(head.method?.as_bytes()).ok()?;
    *request.uri_mut() = head.path?.parse().ok()?;
    *request.version_mut() = version;
    for field in head.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(field.value).ok()?);
    }
    Some(request)
}
