use http::Request;

use super::*;

const OFFERED: [Coding; 3] = [Coding::Zstd, Coding::Brotli, Coding::Gzip];

fn fields_of(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn request(method: &str, fields: &[(&'static str, &str)]) -> Parts {
    let (mut parts, ()) = Request::builder().method(method).body(()).unwrap().into_parts();
    parts.headers = fields_of(fields);
    parts
}

fn answer(status: u16, fields: &[(&'static str, &str)], bytes: u64) -> Response<u64> {
    let mut answer = Response::new(bytes);
    *answer.status_mut() = StatusCode::from_u16(status).unwrap();
    *answer.headers_mut() = fields_of(fields);
    answer
}

/// The answer to a GET with these fields, and the coding that its body is to get.
fn compressed(asked: &[(&'static str, &str)], mut answer: Response<u64>) -> (Option<Coding>, Response<u64>) {
    let (request, bytes) = (request("GET", asked), Some(*answer.body()));
    let coding = Negotiation::offered(&OFFERED, &request, &Method::GET).unwrap().of(&mut answer, bytes);
    if let Some(coding) = coding {
        say_compressed(answer.headers_mut(), coding);
    }
    (coding, answer)
}

#[test]
fn a_client_gets_the_coding_that_it_wants_most_and_of_equal_ones_the_routes_first() {
    for (accepted, expected) in [
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate, br", "br"),
        ("gzip", "gzip"),
        ("x-gzip", "gzip"),
        ("GZip;Q=0.3", "gzip"),
        ("deflate", ""),
        ("", ""),
        ("identity", ""),
        ("*", "zstd"),
        ("*;q=0", ""),
        ("*;q=0, br", "br"),
        ("zstd;q=0, *", "br"),
        ("zstd;q=0, br;q=0.0, gzip;q=0.000", ""),
        ("br;q=0.9, gzip;q=0.95, zstd;q=0.8", "gzip"),
        ("br;q=0.5, *;q=0.6", "zstd"),
        ("gzip;q=0.001", "gzip"),
        ("gzip;q=0.5, identity;q=0.8", ""),
        ("gzip;q=0.5, identity;q=0.5", "gzip"),
        ("gzip, identity;q=0", "gzip"),
        ("identity;q=0", ""),
        ("gzip ; q=1.000 ,, br;q=0.999,", "gzip"),
        // A weight that is none makes its member count for nothing.
        ("gzip;q=1.001", ""),
        ("gzip;q=2", ""),
        ("gzip;q=0.1234", ""),
        ("gzip;q=-1", ""),
        ("gzip;q=", ""),
        ("gzip;q", ""),
        ("gzip;level=9", ""),
        ("br;q=x, gzip;q=0.1", "gzip"),
    ] {
        let given = preferred(&OFFERED, &fields_of(&[("accept-encoding", accepted)]));
        assert_eq!(given.map_or("", Coding::as_str), expected, "{accepted:?}");
    }
    let lines = fields_of(&[("accept-encoding", "deflate"), ("accept-encoding", "gzip;q=0.2, br;q=0.1")]);
    assert_eq!(preferred(&OFFERED, &lines), Some(Coding::Gzip));
    assert_eq!(preferred(&OFFERED, &HeaderMap::new()), None);
    assert_eq!(
        preferred(&[Coding::Gzip, Coding::Zstd], &fields_of(&[("accept-encoding", "zstd, gzip")])),
        Some(Coding::Gzip)
    );
    assert_eq!(preferred(&[Coding::Gzip], &fields_of(&[("accept-encoding", "zstd, br")])), None);
}

#[test]
fn texts_are_worth_compressing_and_what_its_own_format_compresses_is_not() {
    for (content_type, expected) in [
        ("text/html; charset=utf-8", true),
        ("text/event-stream", true),
        ("TEXT/CSS", true),
        ("text/javascript", true),
        ("application/javascript", true),
        ("application/json;charset=utf-8", true),
        ("application/problem+json", true),
        ("application/manifest+json", true),
        ("application/x-ndjson", true),
        ("application/xml", true),
        ("application/atom+xml", true),
        ("application/wasm", true),
        ("image/svg+xml", true),
        ("image/x-icon", true),
        ("font/ttf", true),
        ("font/otf", true),
        ("font/woff", false),
        ("font/woff2", false),
        ("image/png", false),
        ("image/jpeg", false),
        ("image/webp", false),
        ("video/mp4", false),
        ("audio/ogg", false),
        ("application/zip", false),
        ("application/gzip", false),
        ("application/zstd", false),
        ("application/pdf", false),
        ("application/octet-stream", false),
        ("application/jsonish", false),
        ("multipart/byteranges; boundary=x", false),
        ("", false),
    ] {
        let accepted = [("accept-encoding", "gzip")];
        let (coding, answer) = compressed(&accepted, answer(200, &[("content-type", content_type)], 2000));
        assert_eq!(coding.is_some(), expected, "{content_type}");
        assert_eq!(answer.headers().contains_key("vary"), expected, "{content_type}");
    }
    let (coding, _) = compressed(&[("accept-encoding", "gzip")], answer(200, &[], 2000));
    assert_eq!(coding, None, "without a type");
}

#[test]
fn an_answer_that_cannot_be_compressed_stays_as_it_is() {
    const TEXT: (&str, &str) = ("content-type", "text/plain");
    for (status, field, bytes) in [
        (200, ("x-a", "1"), 1023),
        (200, ("content-encoding", "gzip"), 2000),
        (200, ("content-encoding", "identity"), 2000),
        (200, ("cache-control", "max-age=60, No-Transform"), 2000),
        (200, ("content-digest", "sha-256=:AA==:"), 2000),
        (200, ("repr-digest", "sha-256=:AA==:"), 2000),
        (200, ("digest", "sha-256=AA=="), 2000),
        (200, ("content-md5", "AA=="), 2000),
        (206, ("content-range", "bytes 0-1999/9999"), 2000),
        (206, ("x-a", "1"), 2000),
        (416, ("content-range", "bytes */9999"), 2000),
        (204, ("x-a", "1"), 2000),
        (205, ("x-a", "1"), 2000),
    ] {
        let given = [TEXT, ("etag", "\"a\""), ("accept-ranges", "bytes"), field];
        let (coding, answer) = compressed(&[("accept-encoding", "gzip")], answer(status, &given, bytes));
        assert_eq!(coding, None, "{status} {field:?}");
        assert_eq!(*answer.headers(), fields_of(&given), "{status} {field:?}");
    }
    for (status, bytes) in [(200, 1024), (201, 2000), (404, 2000), (500, 2000)] {
        let (coding, _) = compressed(&[("accept-encoding", "gzip")], answer(status, &[TEXT], bytes));
        assert_eq!(coding, Some(Coding::Gzip), "{status} {bytes}");
    }
}

#[test]
fn the_head_of_a_compressed_answer_says_so_and_promises_nothing_else() {
    let given = [
        ("content-type", "text/plain"),
        ("etag", "\"a\""),
        ("accept-ranges", "bytes"),
        ("content-length", "2000"),
        ("x-a", "1"),
    ];
    let (coding, answer) = compressed(&[("accept-encoding", "br")], answer(200, &given, 2000));
    assert_eq!(coding, Some(Coding::Brotli));
    let expected = [
        ("content-type", "text/plain"),
        ("etag", "W/\"a\""),
        ("x-a", "1"),
        ("vary", "accept-encoding"),
        ("content-encoding", "br"),
    ];
    assert_eq!(*answer.headers(), fields_of(&expected));
}

#[test]
fn an_answer_that_could_be_compressed_varies_for_every_client() {
    let text = |vary: &[(&'static str, &str)]| {
        answer(200, &[&[("content-type", "text/plain")], vary].concat(), 2000)
    };
    for asked in [
        &[][..],
        &[("accept-encoding", "deflate")],
        &[("accept-encoding", "gzip"), ("cache-control", "no-transform")],
    ] {
        let (coding, answer) = compressed(asked, text(&[]));
        assert_eq!(
            (coding, &answer.headers()["vary"]),
            (None, &HeaderValue::from_static("accept-encoding")),
            "{asked:?}"
        );
    }
    for (given, expected) in [
        (&[("vary", "origin")][..], &["origin, accept-encoding"][..]),
        (&[("vary", "origin"), ("vary", "cookie")], &["origin, cookie, accept-encoding"]),
        (&[("vary", "Accept-Encoding")], &["Accept-Encoding"]),
        (&[("vary", "origin, accept-encoding")], &["origin, accept-encoding"]),
        (&[("vary", "*")], &["*"]),
    ] {
        let (_, answer) = compressed(&[("accept-encoding", "gzip")], text(given));
        let varies: Vec<_> = answer.headers().get_all("vary").iter().collect();
        assert_eq!(varies, expected, "{given:?}");
    }
}

#[test]
fn a_304_names_the_tag_as_the_client_has_it() {
    for (asked, given, expected) in [
        ("W/\"a\"", "\"a\"", "W/\"a\""),
        ("\"b\", W/\"a\"", "\"a\"", "W/\"a\""),
        ("\"a\"", "\"a\"", "\"a\""),
        ("W/\"b\"", "\"a\"", "\"a\""),
        ("*", "\"a\"", "\"a\""),
        ("W/\"a\"", "W/\"a\"", "W/\"a\""),
    ] {
        let asked = [("accept-encoding", "gzip"), ("if-none-match", asked)];
        let (coding, answer) = compressed(&asked, answer(304, &[("etag", given)], 0));
        assert_eq!(coding, None);
        assert_eq!(
            *answer.headers(),
            fields_of(&[("etag", expected), ("vary", "accept-encoding")]),
            "{asked:?}"
        );
    }
}

#[test]
fn head_is_compressed_by_the_length_that_a_get_has() {
    for (stated, method, expected) in [
        (&[("content-length", "5000")][..], Method::HEAD, true),
        (&[("content-length", "500")], Method::HEAD, false),
        // The plugin answers HEAD itself, and does not say how long a GET's body is.
        (&[], Method::HEAD, true),
        // The plugin answered a GET, and its body is empty.
        (&[], Method::GET, false),
    ] {
        let mut answer = answer(200, &[&[("content-type", "text/plain")], stated].concat(), 0);
        let request = request("HEAD", &[("accept-encoding", "gzip")]);
        let negotiation = Negotiation::offered(&OFFERED, &request, &method).unwrap();
        assert_eq!(negotiation.of(&mut answer, Some(0)).is_some(), expected, "{stated:?} {method}");
    }
}

#[test]
fn a_route_without_compression_changes_nothing() {
    assert!(
        Negotiation::offered(&[], &request("GET", &[("accept-encoding", "gzip")]), &Method::GET).is_none()
    );
}
