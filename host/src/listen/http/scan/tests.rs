//! The bytes that the scan passes and those that it refuses, clause by clause.

mod readers;

use super::chunked::{MAX_CHUNK_LINE_BYTES, MAX_EXTENSION_BYTES, MAX_TRAILER_BYTES, MAX_TRAILER_FIELDS};
use super::request_line::MAX_METHOD_BYTES;
use super::*;
use crate::listen::bounds::{MAX_HEAD_BYTES, MAX_HEAD_FIELDS, MAX_TARGET_BYTES};

/// The first answer of `Scan::scan`: "pass", "more", or the name of the refusal's variant.
fn first(bytes: impl AsRef<[u8]>) -> String {
    match Scan::default().scan(bytes.as_ref()) {
        ScanStep::Pass(passed_bytes) if passed_bytes == bytes.as_ref().len() => "pass".into(),
        ScanStep::Pass(passed_bytes) => format!("pass {passed_bytes}"),
        ScanStep::More => "more".into(),
        ScanStep::Refused(error) => variant(&error),
    }
}

fn variant(error: &MessageError) -> String {
    format!("{error:?}").split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

/// The scan of a chunked body: the number of its bytes that may be handed on, and then "end", "more" or a refusal.
fn chunks(body: impl AsRef<[u8]>) -> (usize, String) {
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    agreement::check(&[head, body.as_ref()].concat());
    let mut scan = Scan::default();
    assert!(matches!(scan.scan(head), ScanStep::Pass(_)));
    let mut passed_bytes = 0;
    loop {
        match scan.scan(&body.as_ref()[passed_bytes..]) {
            ScanStep::Pass(more_bytes) => passed_bytes += more_bytes,
            ScanStep::More => return (passed_bytes, "more".into()),
            ScanStep::Refused(error) => return (passed_bytes, variant(&error)),
        }
        if scan.position() == ScanPosition::Between {
            return (passed_bytes, "end".into());
        }
    }
}

#[test]
fn a_head_with_one_reading_is_passed_whole() {
    for head in [
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHOST:a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost:\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nhost: a\r\ncontent-length: 0\r\n\r\n",
        "GET /a/b;c=%20?x=[1]&y={}`|~ HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET /{\"a\":1}|[]^\\ HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET // HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET http://a HTTP/1.1\r\nhost: a\r\n\r\n",
        "GET HTTPS://a:80/b?c HTTP/1.1\r\nhost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n",
        "TRACE / HTTP/1.1\r\nhost: a\r\n\r\n",
        "get / HTTP/1.1\r\nhost: a\r\n\r\n",
        "connect / HTTP/1.1\r\nhost: a\r\n\r\n",
        "M-SEARCH!#$%&'*+-.^_`|~ / HTTP/1.1\r\nhost: a\r\n\r\n",
        // One empty line, as old clients send behind a body.
        "\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
        // Later minor versions, which hyper is shown as 1.1.
        "GET / HTTP/1.2\r\nhost: a\r\n\r\n",
        "\r\nGET / HTTP/1.9\r\nhost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: \r\ny:\t z \t\r\nz: a\tb\r\nu: caf\u{e9}\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nx: 1\r\nx: 2\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\ncontent_length: x\r\ntransfer.encoding: y\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: , Upgrade,HTTP2-Settings ,\r\nconnection: te\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nupgrade: h2c\r\nhttp2-settings: AAMA\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nexpect: anything\r\ncontent-length: 5\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0005 \r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9223372036854775807\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\nTransfer-Encoding:\tCHUNKED \r\n\r\n",
    ] {
        assert_eq!(first(head), "pass", "{}", head.escape_default());
        assert_eq!(first(&head[..head.len() - 1]), "more", "{}", head.escape_default());
        agreement::check(head.as_bytes());
    }
}

#[test]
fn a_request_line_that_could_be_read_in_two_ways_is_refused() {
    let long = "x".repeat(MAX_TARGET_BYTES);
    let table = [
        ("GET  / HTTP/1.1", "Malformed"),
        ("GET /  HTTP/1.1", "Malformed"),
        ("GET\t/\tHTTP/1.1", "Malformed"),
        ("GET / HTTP/1.1 ", "Malformed"),
        (" GET / HTTP/1.1", "Malformed"),
        ("GET /", "Malformed"),
        ("GET", "Malformed"),
        ("GET / ", "Malformed"),
        ("GET  HTTP/1.1", "Malformed"),
        ("G\u{e9}T / HTTP/1.1", "Malformed"),
        ("GET: / HTTP/1.1", "Malformed"),
        ("(GET) / HTTP/1.1", "Malformed"),
        ("GET / http/1.1", "Malformed"),
        ("GET / HTTP/1.1x", "Malformed"),
        ("GET / HTTP/11", "Malformed"),
        ("GET / HTTP/1", "Malformed"),
        ("GET / HTTP/01.1", "Malformed"),
        ("GET / HTTPS/1.1", "Malformed"),
        ("GET / HTTP/0.9", "Version"),
        ("GET / HTTP/2.0", "Version"),
        ("GET / HTTP/3.0", "Version"),
        ("PRI * HTTP/2.0", "Version"),
        ("GET /a b HTTP/1.1", "Malformed"),
        ("GET /a#b HTTP/1.1", "Malformed"),
        ("GET http://a/#b HTTP/1.1", "Malformed"),
        ("GET /\u{e9} HTTP/1.1", "Malformed"),
        ("GET http://a/\u{e9} HTTP/1.1", "Malformed"),
        ("GET /\0 HTTP/1.1", "Malformed"),
        ("GET /\x7f HTTP/1.1", "Malformed"),
        ("GET /a\tb HTTP/1.1", "Malformed"),
        ("GET /<a> HTTP/1.1", "Malformed"),
        ("GET /?a=\"b\" HTTP/1.1", "Malformed"),
        ("GET /a\rb HTTP/1.1", "Malformed"),
        ("GET a HTTP/1.1", "Malformed"),
        ("GET ?a HTTP/1.1", "Malformed"),
        ("GET * HTTP/1.1", "Malformed"),
        ("OPTIONS ** HTTP/1.1", "Malformed"),
        ("GET a:80 HTTP/1.1", "Malformed"),
        ("GET ftp://a/ HTTP/1.1", "Malformed"),
        ("GET http:/a HTTP/1.1", "Malformed"),
        ("GET http:///a HTTP/1.1", "Malformed"),
        ("GET http://[::1/ HTTP/1.1", "Malformed"),
        ("CONNECT a:80 HTTP/1.1", "Method"),
        ("CONNECT / HTTP/1.1", "Method"),
        (&format!("GET /{long} HTTP/1.1"), "TargetLength"),
        (&format!("GET http://a/{long} HTTP/1.1"), "TargetLength"),
        (&format!("GET /{long}"), "TargetLength"),
        (&format!("{} / HTTP/1.1", "M".repeat(MAX_METHOD_BYTES + 1)), "Method"),
    ];
    for (line, refusal) in table {
        let head = format!("{line}\r\nhost: a\r\n\r\n");
        assert_eq!(first(&head), refusal, "{}", line.escape_default());
        agreement::check(head.as_bytes());
    }
    for line in
        [format!("GET /{} HTTP/1.1", &long[1..]), format!("{} / HTTP/1.1", "M".repeat(MAX_METHOD_BYTES))]
    {
        assert_eq!(first(format!("{line}\r\nhost: a\r\n\r\n")), "pass");
    }
}

#[test]
fn fields_that_could_be_read_in_two_ways_are_refused() {
    let table = [
        ("x : 1", "Malformed"),
        ("x\t: 1", "Malformed"),
        (": 1", "Malformed"),
        ("x", "Malformed"),
        ("x 1", "Malformed"),
        (" x: 1", "Malformed"),
        ("x: 1\r\n folded", "Malformed"),
        ("x: 1\r\n\tfolded", "Malformed"),
        ("x: 1\r\n ", "Malformed"),
        ("\u{e9}: 1", "Malformed"),
        ("x\0: 1", "Malformed"),
        ("x: \0", "Malformed"),
        ("x: a\rb", "Malformed"),
        ("x: a\r", "Malformed"),
        ("x: a\x0bb", "Malformed"),
        ("x: \x1b[0m", "Malformed"),
        ("x: \x7f", "Malformed"),
        ("x: 1\ny: 2", "Malformed"),
        ("x: 1\n\n", "Malformed"),
        ("host: a", "Malformed"),
        ("Host: b", "Malformed"),
        ("content-length: 5\r\ncontent-length: 5", "Malformed"),
        ("content-length: 5\r\nContent-Length: 6", "Malformed"),
        ("content-length: 5, 5", "Malformed"),
        ("content-length:", "Malformed"),
        ("content-length: +5", "Malformed"),
        ("content-length: -0", "Malformed"),
        ("content-length: 5 5", "Malformed"),
        ("content-length: 0x5", "Malformed"),
        ("content-length: 5.", "Malformed"),
        ("content-length: \u{665}", "Malformed"),
        ("content-length: 9223372036854775808", "Malformed"),
        ("content-length: 18446744073709551621", "Malformed"),
        ("content-length : 5", "Malformed"),
        ("content-length: 5\r\ntransfer-encoding: chunked", "Malformed"),
        ("transfer-encoding: chunked\r\ncontent-length: 5", "Malformed"),
        ("transfer-encoding: chunked\r\ncontent-length: 0", "Malformed"),
        ("transfer-encoding : chunked", "Malformed"),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", "Coding"),
        ("transfer-encoding: gzip\r\ntransfer-encoding: chunked", "Coding"),
        ("transfer-encoding: chunked, chunked", "Coding"),
        ("transfer-encoding: gzip, chunked", "Coding"),
        ("transfer-encoding: chunked, gzip", "Coding"),
        ("transfer-encoding: chunked,", "Coding"),
        ("transfer-encoding: chunked;a=b", "Coding"),
        ("transfer-encoding: \"chunked\"", "Coding"),
        ("transfer-encoding: xchunked", "Coding"),
        ("transfer-encoding: \u{b}chunked", "Malformed"),
        ("transfer-encoding: identity", "Coding"),
        ("transfer-encoding:", "Coding"),
        ("connection: content-length", "Malformed"),
        ("connection: close, Transfer-Encoding", "Malformed"),
        ("connection: close\r\nconnection: host", "Malformed"),
        ("connection: a b", "Malformed"),
        ("connection: \"content-length\"", "Malformed"),
    ];
    for (fields, refusal) in table {
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{fields}\r\n\r\n");
        assert_eq!(first(&head), refusal, "{}", fields.escape_default());
        agreement::check(head.as_bytes());
    }
    for (head, refusal) in [
        ("GET / HTTP/1.1\r\n\r\n", "Malformed"),
        ("GET / HTTP/1.1\r\nx: 1\r\n\r\n", "Malformed"),
        ("GET / HTTP/1.0\r\nhost: a\r\nhost: a\r\n\r\n", "Malformed"),
        ("GET / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n", "Malformed"),
        ("GET / HTTP/1.1\nhost: a\r\n\r\n", "Malformed"),
        ("GET / HTTP/1.1\r\nhost: a\n\r\n", "Malformed"),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n", "Malformed"),
        ("GET / HTTP/1.1\r\n host: a\r\n\r\n", "Malformed"),
        ("\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", "Malformed"),
        ("\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", "Malformed"),
        ("\rGET / HTTP/1.1\r\nhost: a\r\n\r\n", "Malformed"),
    ] {
        assert_eq!(first(head), refusal, "{}", head.escape_default());
        agreement::check(head.as_bytes());
    }
}

#[test]
fn what_can_become_no_request_is_refused_before_its_end() {
    let mut fields = b"GET / HTTP/1.1\r\n".to_vec();
    fields.extend(b"x: 1\r\n".repeat(MAX_HEAD_FIELDS));
    assert_eq!(first(&fields), "more");
    fields.extend(b"x: 1\r\n");
    let target = ["GET /", &"x".repeat(MAX_TARGET_BYTES)].concat();
    assert_eq!(first(&target[..target.len() - 1]), "more");
    let head = ["GET / HTTP/1.1\r\nx: ", &"x".repeat(MAX_HEAD_BYTES)].concat();
    assert_eq!(first(&head[..MAX_HEAD_BYTES - 1]), "more");
    let table: [(&[u8], &str); 11] = [
        (&fields, "HeadTooLarge"),
        (target.as_bytes(), "TargetLength"),
        (&head.as_bytes()[..MAX_HEAD_BYTES], "HeadTooLarge"),
        (&[b'M'; MAX_TARGET_BYTES + 1], "Method"),
        (&[&b"GET / "[..], &[b'H'; MAX_TARGET_BYTES]].concat(), "Malformed"),
        // The beginning of a TLS handshake.
        (b"\x16\x03\x01", "Malformed"),
        (b"\x16\x03\x01\x02\n", "Malformed"),
        (b"\0", "Malformed"),
        (b"\n", "Malformed"),
        (b"\rG", "Malformed"),
        (b"\r\n\r", "more"),
    ];
    for (bytes, refusal) in table {
        assert_eq!(first(bytes), refusal, "{}", bytes.get(..40).unwrap_or(bytes).escape_ascii());
    }
    let ScanStep::Refused(error) = Scan::default().scan(b"\x16\x03\x01") else { panic!("refused") };
    assert!(error.to_string().contains("TLS"), "{error}");
}

#[test]
fn the_largest_head_is_passed_and_one_byte_more_is_not() {
    let begin = "GET / HTTP/1.1\r\nhost: a\r\nx: ";
    let of = |bytes: usize| format!("{begin}{}\r\n\r\n", "x".repeat(bytes - begin.len() - 4));
    assert_eq!(first(of(MAX_HEAD_BYTES)), "pass");
    assert_eq!(first(of(MAX_HEAD_BYTES + 1)), "HeadTooLarge");
    let with_fields = |more: usize| format!("GET / HTTP/1.1\r\nhost: a\r\n{}\r\n", "x: 1\r\n".repeat(more));
    assert_eq!(first(with_fields(MAX_HEAD_FIELDS - 1)), "pass");
    assert_eq!(first(with_fields(MAX_HEAD_FIELDS)), "HeadTooLarge");
}

#[test]
fn a_message_ends_where_its_framing_says() {
    let get = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    let chunked = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
    let of_length = |length: usize| format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
    let table = [
        (get.to_owned(), 1, false),
        (get.repeat(3), 3, false),
        // Without framing there is no body: what follows is the next request, or none.
        (format!("{get}x"), 1, false),
        (format!("{get}\0"), 1, true),
        (of_length(0) + get, 2, false),
        (of_length(3) + "abc" + get, 2, false),
        (of_length(3) + "ab", 0, false),
        (of_length(2) + "abc", 1, false),
        (of_length(3) + "abc\r\n" + get, 2, false),
        (of_length(3) + "abc\r\n\r\n" + get, 1, true),
        (of_length(get.len()) + get, 1, false),
        (format!("{chunked}3\r\nabc\r\n0\r\n\r\n{get}"), 2, false),
        (format!("{chunked}0\r\n\r\n{chunked}0\r\n\r\n"), 2, false),
        (format!("{chunked}3\r\nabcd\r\n0\r\n\r\n{get}"), 0, true),
        (format!("{chunked}3\r\nabc\r\n0\r\n\r\n\r\n{get}"), 2, false),
        // Hidden behind a bare LF, which hyper takes for the end of the trailers.
        (format!("{chunked}0\r\n\n{get}"), 0, true),
        // A refused request is followed by nothing.
        (format!("{get}GET / HTTP/1.1\r\n\r\n{get}"), 1, true),
    ];
    for (bytes, messages, is_refused) in table {
        agreement::check(bytes.as_bytes());
        assert_eq!(
            agreement::outcome(bytes.as_bytes()),
            (messages, is_refused),
            "{}",
            bytes.escape_default()
        );
    }
}

#[test]
fn chunks_have_one_form() {
    for body in [
        "0\r\n\r\n",
        "0000000000000000\r\n\r\n",
        "1\r\na\r\n0\r\n\r\n",
        "00a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n",
        "1;a\r\nx\r\n0;b=c;d=\"e;f\\\"\\\\\t\u{e9}\"\r\n\r\n",
        "1\r\n\r\r\n1\r\n\n\r\n0\r\n\r\n",
        "0\r\nx: 1\r\ny:\r\n\r\n",
        "0\r\ndigest: a\r\ndigest: b\r\n\r\n",
    ] {
        assert_eq!(chunks(body), (body.len(), "end".into()), "{}", body.escape_default());
        assert!(chunks(&body[..body.len() - 1]).0 < body.len());
    }
    let hidden = "0\r\n\r\nGET / HTTP/1.1\r\n";
    // The bytes of each that are handed on before the refusal: never a part of the refused line.
    for (body, passed_bytes) in [
        ("\r\n\r\n", 0),
        ("g\r\n", 0),
        ("0x1\r\n", 0),
        ("+1\r\n", 0),
        ("-1\r\n", 0),
        (" 1\r\n", 0),
        ("1 \r\n", 0),
        ("1\t\r\n", 0),
        ("1 ;a\r\n", 0),
        ("1;\r\n", 0),
        ("1; a\r\n", 0),
        ("1;a =b\r\n", 0),
        ("1;a=\r\n", 0),
        ("1;=b\r\n", 0),
        ("1;a=\"b\r\n", 0),
        ("1;a=\"b\"c\r\n", 0),
        ("1;a=\"b\\\r\n", 0),
        ("1;a\0\r\n", 0),
        ("1;a=\"\0\"\r\n", 0),
        ("1;a\rb\r\n", 0),
        ("1;a\nb\r\n", 0),
        ("1\n", 0),
        ("1\r\r\n", 0),
        ("1_0\r\n", 0),
        ("8000000000000000\r\n", 0),
        ("00000000000000001\r\n", 0),
        ("10000000000000000\r\n", 0),
        ("1\r\na\n", 4),
        ("1\r\nab", 4),
        ("1\r\na\rb", 4),
        ("1\r\na\r\n\r\n", 6),
        ("0\n", 0),
        ("0\r\n\n", 3),
        ("0\r\n\r\r", 3),
        ("0\r\nx : 1\r\n\r\n", 3),
        ("0\r\n x: 1\r\n\r\n", 3),
        ("0\r\nx: 1\r\n y\r\n\r\n", 9),
        ("0\r\nx: 1\n\r\n", 3),
        ("0\r\nx: \0\r\n\r\n", 3),
        ("0\r\nx\r\n\r\n", 3),
        ("0\r\nContent-Length: 5\r\n\r\n", 3),
        ("0\r\ntransfer-encoding: chunked\r\n\r\n", 3),
        ("0\r\nhost: b\r\n\r\n", 3),
    ] {
        let expected = (passed_bytes, "Malformed".to_owned());
        assert_eq!(chunks([body, hidden].concat()), expected, "{}", body.escape_default());
    }
}

#[test]
fn lines_of_a_chunked_body_have_their_bounds() {
    let line = |bytes: usize| format!("0;{}\r\n", "a".repeat(bytes - 4));
    let passes = |body: String| chunks(&body) == (body.len(), "end".to_owned());
    assert!(passes(line(MAX_CHUNK_LINE_BYTES) + "\r\n"));
    let too_long = line(MAX_CHUNK_LINE_BYTES + 1);
    assert_eq!(chunks(&too_long[..MAX_CHUNK_LINE_BYTES - 1]), (0, "more".into()));
    // As soon as it is seen.
    assert_eq!(chunks(&too_long[..MAX_CHUNK_LINE_BYTES]), (0, "Malformed".into()));
    assert_eq!(chunks(&too_long), (0, "Malformed".into()));

    // 64 bytes of extensions each.
    let chunk = format!("1;{}\r\nx\r\n", "a".repeat(63));
    let most = MAX_EXTENSION_BYTES / 64;
    assert!(passes(chunk.repeat(most) + "0\r\n\r\n"));
    assert_eq!(chunks(chunk.repeat(most) + "0;a\r\n\r\n").1, "Malformed");
    // Chunks without extensions may be as many as they like.
    assert!(passes("1\r\nx\r\n".repeat(20_000) + "0\r\n\r\n"));

    let trailers = |fields: usize| format!("0\r\n{}\r\n", "x: 1\r\n".repeat(fields));
    assert!(passes(trailers(usize::from(MAX_TRAILER_FIELDS))));
    assert_eq!(chunks(trailers(usize::from(MAX_TRAILER_FIELDS) + 1)).1, "Malformed");
    let trailer = |bytes: usize| format!("0\r\nx:{}\r\n\r\n", "x".repeat(bytes - 6));
    assert!(passes(trailer(MAX_TRAILER_BYTES)));
    assert_eq!(chunks(trailer(MAX_TRAILER_BYTES + 1)).1, "Malformed");
}

#[test]
fn its_place_is_told() {
    let mut scan = Scan::default();
    let steps: [(&[u8], usize, ScanPosition); 12] = [
        (b"", 0, ScanPosition::Between),
        (b"\r", 0, ScanPosition::Between),
        (b"\r\n", 0, ScanPosition::Between),
        (b"\r\nG", 0, ScanPosition::Head),
        (b"\r\nGET / HTTP/1.1\r\nhost: a\r\n\r", 0, ScanPosition::Head),
        (b"\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\nP", 29, ScanPosition::Between),
        (b"P", 0, ScanPosition::Head),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n", 47, ScanPosition::Body),
        (b"a", 1, ScanPosition::Body),
        (b"bG", 1, ScanPosition::Between),
        (
            b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            56,
            ScanPosition::Body,
        ),
        (b"0\r\n\r\n", 5, ScanPosition::Between),
    ];
    for (bytes, expected, place) in steps {
        let passed_bytes = match scan.scan(bytes) {
            ScanStep::Pass(passed_bytes) => passed_bytes,
            ScanStep::More => 0,
            ScanStep::Refused(error) => panic!("{}: {error}", bytes.escape_ascii()),
        };
        assert_eq!((passed_bytes, scan.position()), (expected, place), "{}", bytes.escape_ascii());
    }
}

#[test]
fn a_connection_keeps_little_of_what_it_reads() {
    assert!(size_of::<Scan>() <= 64, "{}", size_of::<Scan>());
}
