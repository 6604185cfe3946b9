//! The fields of an outbound request's head that a plugin does not set.
//!
//! Owns the list of those that belong to one connection (RFC 9110 §7.6.1) or to the message's framing, and their
//! removal. Leaves the framing itself to hyper.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE,
};

/// The fields of one connection, named by `connection` or not.
const OF_THE_CONNECTION: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("http2-settings"),
];

/// True if only the host may set the field: it belongs to the connection, says where the request goes, or says how
/// long its body is.
pub fn belongs_to_the_host(name: &HeaderName) -> bool {
    is_of_the_connection(name) || [HOST, CONTENT_LENGTH, TE].contains(name)
}

fn is_of_the_connection(name: &HeaderName) -> bool {
    OF_THE_CONNECTION.contains(name) || name.as_str().starts_with("proxy-")
}

/// Removes the fields of the connection that the plugin believes to have: the listed fields, those that the request's
/// `connection` names, and a `te` that asks for more than trailers. `host` goes too: the host makes it from the
/// request's origin.
pub(super) fn take_out_those_of_the_connection(fields: &mut HeaderMap) {
    let named: Vec<HeaderName> = fields
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let trailers = fields.get_all(TE).iter().any(wants_trailers);
    for name in fields.keys().cloned().collect::<Vec<_>>() {
        if name == HOST || name == TE || is_of_the_connection(&name) || named.contains(&name) {
            fields.remove(name);
        }
    }
    if trailers {
        fields.insert(TE, HeaderValue::from_static("trailers"));
    }
}

fn wants_trailers(value: &HeaderValue) -> bool {
    value
        .to_str()
        .is_ok_and(|value| value.split(',').any(|coding| coding.trim().eq_ignore_ascii_case("trailers")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_the_connection_is_taken_out_and_the_rest_stays() {
        let mut fields = HeaderMap::new();
        for (name, value) in [
            ("host", "elsewhere.test"),
            ("connection", "close, X-Private ,, te"),
            ("connection", "x-other"),
            ("x-private", "1"),
            ("x-other", "1"),
            ("x-kept", "1"),
            ("x-kept", "2"),
            ("te", "gzip, Trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("keep-alive", "timeout=5"),
            ("http2-settings", "AAMAAABkAAQAoAAAAAIAAAAA"),
            ("proxy-authorization", "Basic eDp5"),
            ("proxy-connection", "keep-alive"),
            ("trailer", "x-checksum"),
            ("content-length", "3"),
        ] {
            fields.append(name, HeaderValue::from_static(value));
        }
        take_out_those_of_the_connection(&mut fields);
        let mut left: Vec<_> =
            fields.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        left.sort();
        assert_eq!(
            left,
            ["content-length: 3", "te: trailers", "trailer: x-checksum", "x-kept: 1", "x-kept: 2"]
        );
    }

    #[test]
    fn a_te_that_does_not_ask_for_trailers_is_gone() {
        let mut fields = HeaderMap::new();
        fields.insert(TE, HeaderValue::from_static("gzip"));
        take_out_those_of_the_connection(&mut fields);
        assert!(fields.is_empty());
    }
}
