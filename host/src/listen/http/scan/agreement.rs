//! The bytes that a [`Scan`] passes, read by two other readers as well: httparse, on whose reading hyper acts, and a
//! reader so plain that its correctness can be seen. For tests and for the fuzzer, with any bytes.

use std::ops::Range;

use super::{Scan, ScanPosition, ScanStep};

/// A message that was passed from its first byte to its last.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Message {
    head: Range<usize>,
    body: Range<usize>,
}

/// The reading of a connection's bytes.
#[derive(Debug, Default, PartialEq, Eq)]
struct Reading {
    heads: Vec<Range<usize>>,
    messages: Vec<Message>,
    passed_bytes: usize,
    is_refused: bool,
}

/// Panics if the cuts of `bytes` into pieces matter, or if another reader sees other requests in the passed bytes.
pub(super) fn check(bytes: &[u8]) {
    let whole = read(bytes, bytes.len());
    for piece_bytes in [1, 2, 3, 7, 61] {
        assert_eq!(read(bytes, piece_bytes), whole, "in pieces of {piece_bytes}: {}", bytes.escape_ascii());
    }
    let mut settled = bytes.to_vec();
    for head in &whole.heads {
        let head = &mut settled[head.clone()];
        Scan::settle(head);
        check_head(head);
    }
    for message in &whole.messages {
        check_body(&bytes[message.head.clone()], &bytes[message.body.clone()]);
    }
}

/// The number of messages that were passed whole, and true if the rest was refused.
pub(super) fn outcome(bytes: &[u8]) -> (usize, bool) {
    let reading = read(bytes, bytes.len());
    (reading.messages.len(), reading.is_refused)
}

fn read(bytes: &[u8], piece_bytes: usize) -> Reading {
    let mut scan = Scan::default();
    let mut reading = Reading::default();
    let mut there_bytes = 0;
    loop {
        let was_in_body = scan.position() == ScanPosition::Body;
        let unpassed = &bytes[reading.passed_bytes..there_bytes];
        match scan.scan(unpassed) {
            ScanStep::Pass(passed_bytes) => {
                assert!((1..=unpassed.len()).contains(&passed_bytes), "{passed_bytes}");
                let begin = reading.passed_bytes;
                reading.passed_bytes += passed_bytes;
                if !was_in_body {
                    reading.heads.push(begin..reading.passed_bytes);
                }
                if scan.position() != ScanPosition::Body {
                    assert_eq!(scan.position(), ScanPosition::Between);
                    let head = reading.heads.last().expect("a body has a head before it").clone();
                    let body = head.end..reading.passed_bytes;
                    reading.messages.push(Message { head, body });
                }
            }
            ScanStep::More if there_bytes == bytes.len() => return reading,
            ScanStep::More => there_bytes = bytes.len().min(there_bytes + piece_bytes.max(1)),
            ScanStep::Refused(_) => {
                assert!(matches!(scan.scan(unpassed), ScanStep::Refused(_)), "what is refused stays refused");
                reading.is_refused = true;
                return reading;
            }
        }
    }
}

fn check_head(head: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(head);
    assert_eq!(parsed, Ok(httparse::Status::Complete(head.len())), "{}", head.escape_ascii());

    let plain = head.strip_prefix(b"\r\n").unwrap_or(head);
    let plain = plain.strip_suffix(b"\r\n\r\n").expect("a head ends in an empty line");
    let mut lines = split(plain, b"\r\n").into_iter();
    let request_line = lines.next().expect("a head has a first line");
    let version: &[u8] = if request.version == Some(1) { b"HTTP/1.1" } else { b"HTTP/1.0" };
    let [method, target] = [request.method, request.path].map(|part| part.expect("it was read").as_bytes());
    assert_eq!(request_line, [method, target, version].join(&b' '), "{}", head.escape_ascii());
    assert!(http::Uri::try_from(target).is_ok(), "{}", target.escape_ascii());

    let named: Vec<(&[u8], &[u8])> = lines.map(plain_field).collect();
    let read: Vec<_> = request.headers.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    assert_eq!(named, read, "{}", head.escape_ascii());
}

fn check_body(head: &[u8], body: &[u8]) {
    let plain = head.strip_prefix(b"\r\n").unwrap_or(head);
    let plain = plain.strip_suffix(b"\r\n\r\n").expect("a head ends in an empty line");
    let fields: Vec<_> = split(plain, b"\r\n").into_iter().skip(1).map(plain_field).collect();
    let of = |wanted: &str| {
        let named = fields.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted.as_bytes()));
        named.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect::<Vec<_>>()
    };
    match (&of("transfer-encoding")[..], &of("content-length")[..]) {
        ([], []) => assert!(body.is_empty()),
        ([], [length]) => assert_eq!(length.parse(), Ok(body.len())),
        ([coding], []) if coding.eq_ignore_ascii_case("chunked") => check_chunks(body),
        framing => panic!("passed with two framings: {framing:?}"),
    }
}

fn check_chunks(mut body: &[u8]) {
    loop {
        let Ok(httparse::Status::Complete((line_bytes, size))) = httparse::parse_chunk_size(body) else {
            panic!("no size: {}", body.escape_ascii());
        };
        body = &body[line_bytes..];
        if size == 0 {
            break;
        }
        let (_data, rest) = body.split_at(usize::try_from(size).expect("its data is there"));
        body = rest.strip_prefix(b"\r\n").expect("data ends in CRLF");
    }
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let parsed = httparse::parse_headers(body, &mut fields);
    let Ok(httparse::Status::Complete((trailer_bytes, trailers))) = parsed else {
        panic!("no trailers: {}", body.escape_ascii());
    };
    assert_eq!(trailer_bytes, body.len());
    let read: Vec<_> = trailers.iter().map(|field| (field.name.as_bytes(), field.value)).collect();
    let plain = body.strip_suffix(b"\r\n").expect("trailers end in an empty line");
    let lines = plain.strip_suffix(b"\r\n").map(|plain| split(plain, b"\r\n")).unwrap_or_default();
    assert_eq!(lines.into_iter().map(plain_field).collect::<Vec<_>>(), read);
}

fn plain_field(line: &[u8]) -> (&[u8], &[u8]) {
    let colon = line.iter().position(|byte| *byte == b':').expect("a field has a colon");
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\t');
    let value = &line[colon + 1..];
    let begin = value.iter().position(|byte| !is_white(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_white(byte)).map_or(begin, |last| last + 1);
    (&line[..colon], &value[begin..end])
}

fn split<'a>(mut bytes: &'a [u8], at: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(found) = bytes.windows(at.len()).position(|window| window == at) {
        parts.push(&bytes[..found]);
        bytes = &bytes[found + at.len()..];
    }
    parts.push(bytes);
    parts
}
