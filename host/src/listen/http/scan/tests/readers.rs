//! The bytes that the scan passes, compared with other readers of HTTP; above all with hyper, which reads them next.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::super::agreement;
use super::super::chunked::{
    MAX_CHUNK_LINE_BYTES, MAX_EXTENSION_BYTES, MAX_TRAILER_BYTES, MAX_TRAILER_FIELDS,
};
use crate::listen::bounds::{MAX_HEAD_BYTES, MAX_HEAD_FIELDS, MAX_TARGET_BYTES};

/// A request as hyper understood it: its target, and its body if that came whole.
type Seen = (String, Option<Vec<u8>>);

/// The requests that a service gets from these bytes, behind hyper with the settings of connections.
fn seen_by_hyper(bytes: &[u8]) -> Vec<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let service = service_fn({
        let seen = seen.clone();
        move |request: Request<Incoming>| {
            let seen = seen.clone();
            async move {
                let target = request.uri().to_string();
                let body = request.into_body().collect().await.ok();
                seen.lock().unwrap().push((target, body.map(|body| body.to_bytes().to_vec())));
                Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
            }
        }
    });
    runtime.block_on(async {
        let (near, far) = tokio::io::duplex(1 << 20);
        let mut builder = http1::Builder::new();
        builder.half_close(true).max_buf_size(MAX_HEAD_BYTES).max_headers(MAX_HEAD_FIELDS);
        let serving = builder.serve_connection(TokioIo::new(near), service);
        let (mut answers, mut requests) = tokio::io::split(far);
        let asking = async {
            // The connection may close before it has read everything.
            let _ = requests.write_all(bytes).await;
            let _ = requests.shutdown().await;
            let _ = answers.read_to_end(&mut Vec::new()).await;
        };
        let _ = tokio::join!(serving, asking);
    });
    std::mem::take(&mut *seen.lock().unwrap())
}

/// Requests of every framing, and the requests that are seen in each.
fn request() -> impl Strategy<Value = (Vec<u8>, Seen)> {
    let chunk =
        (prop::collection::vec(any::<u8>(), 1..40), "(;[a-z]{1,3}(=([a-z]{1,3}|\"[a-z \t;=]{0,3}\"))?){0,2}");
    let body = prop_oneof![
        Just((String::new(), Vec::new(), Vec::new())),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|body| (
            format!("content-length: {}\r\n", body.len()),
            body.clone(),
            body
        )),
        (prop::collection::vec(chunk, 0..5), "0{1,16}", "([a-z]{1,3}:[ \t]{0,2}[a-z]{0,3}[ \t]?\r\n){0,2}")
            .prop_map(|(chunks, end, trailers)| {
                let mut wire = Vec::new();
                for (data, extensions) in &chunks {
                    wire.extend(format!("{:X}{extensions}\r\n", data.len()).into_bytes());
                    wire.extend([data, &b"\r\n"[..]].concat());
                }
                wire.extend(format!("{end}\r\n{trailers}\r\n").into_bytes());
                let data = chunks.into_iter().flat_map(|(data, _)| data).collect();
                ("Transfer-Encoding:chunked\r\n".into(), wire, data)
            }),
    ];
    ("(\r\n)?", "/[a-z?{}|%]{0,8}", "(x-[a-z]:[ \t]{0,2}[a-z,]{0,3}\r\n){0,2}", body).prop_map(
        |(before, target, fields, (framing, wire, body))| {
            let head = format!("{before}POST {target} HTTP/1.1\r\nhost: a\r\n{fields}{framing}\r\n");
            ([head.into_bytes(), wire].concat(), (target, Some(body)))
        },
    )
}

#[test]
fn hyper_takes_the_largest_of_what_passes() {
    let line = |bytes: usize| format!("0;{}\r\n", "a".repeat(bytes - 4));
    let trailer = "x: 1\r\n";
    let largest_trailer = format!("x:{}\r\n", "x".repeat(MAX_TRAILER_BYTES - 6));
    let extensions = format!("1;{}\r\nx\r\n", "a".repeat(63)).repeat(MAX_EXTENSION_BYTES / 64);
    for body in [
        line(MAX_CHUNK_LINE_BYTES) + "\r\n",
        format!("{extensions}0\r\n\r\n"),
        format!("0\r\n{}\r\n", trailer.repeat(usize::from(MAX_TRAILER_FIELDS))),
        format!("0\r\n{largest_trailer}\r\n"),
    ] {
        let bytes = format!("POST /a HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        assert_eq!(agreement::outcome(bytes.as_bytes()), (1, false));
        let seen = seen_by_hyper(bytes.as_bytes());
        assert!(matches!(&seen[..], [(_, Some(_))]), "{seen:?}: {}", &bytes[..90]);
    }
    let begin = "GET /a HTTP/1.1\r\nhost: a\r\nx: ";
    for head in [
        format!("{begin}{}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES - begin.len() - 4)),
        format!("GET /a HTTP/1.1\r\nhost: a\r\n{}\r\n", trailer.repeat(MAX_HEAD_FIELDS - 1)),
        format!("GET /{} HTTP/1.1\r\nhost: a\r\n\r\n", "a".repeat(MAX_TARGET_BYTES - 1)),
    ] {
        assert_eq!(agreement::outcome(head.as_bytes()), (1, false));
        assert_eq!(seen_by_hyper(head.as_bytes()).len(), 1, "{}", &head[..60]);
    }
}

/// The fuzzer's corpus (`fuzz/fuzz_targets/head.rs`).
#[test]
fn other_readers_see_the_same_in_the_corpus_of_the_fuzzer() {
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/head");
    let entries: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
    assert!(entries.len() > 20, "only {} are there", entries.len());
    for entry in entries {
        agreement::check(&std::fs::read(entry.unwrap().path()).unwrap());
    }
}

/// Parts of requests, good ones and bad ones, that other bytes stand between.
fn part() -> impl Strategy<Value = Vec<u8>> {
    let good = prop::sample::select(vec![
        "GET / HTTP/1.1\r\n",
        "POST /a?b=c HTTP/1.1\r\n",
        "GET http://a/ HTTP/1.0\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n",
        "host: a\r\n",
        "x: y\r\n",
        "content-length: 5\r\n",
        "transfer-encoding: chunked\r\n",
        "connection: close\r\n",
        "\r\n",
        "0\r\n",
        "0\r\n\r\n",
        "1;a=\"b\"\r\nx\r\n",
        "3\r\nabc\r\n",
        "x",
    ]);
    let bad =
        prop::sample::select(vec!["\n", "\r", "\0", " ", "\t", ":", ";", ",", "#", "+", "\u{ff}", "0x"]);
    prop_oneof![
        16 => good.prop_map(|part| part.as_bytes().to_vec()),
        1 => bad.prop_map(|part| part.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ]
}

proptest! {
    #[test]
    fn hyper_sees_the_requests_that_pass_and_no_others(requests in prop::collection::vec(request(), 1..5)) {
        let (wires, expected): (Vec<_>, Vec<_>) = requests.into_iter().unzip();
        let bytes = wires.concat();
        prop_assert_eq!(agreement::outcome(&bytes), (expected.len(), false), "{}", bytes.escape_ascii());
        agreement::check(&bytes);
        prop_assert_eq!(seen_by_hyper(&bytes), expected, "{}", bytes.escape_ascii());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn other_readers_see_the_same_requests_in_what_passes(parts in prop::collection::vec(part(), 0..12)) {
        agreement::check(&parts.concat());
    }

    #[test]
    fn other_readers_see_the_same_where_one_byte_of_a_request_is_another(
        at in any::<prop::sample::Index>(),
        other in any::<u8>(),
        is_put_in: bool,
    ) {
        let whole = b"\r\nPOST http://a/b?c HTTP/1.1\r\nHost: a\r\nConnection: close, te\r\nx:\ty \r\n\
            Transfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d\"\r\nabc\r\n0\r\nx: y\r\n\r\nGET / HTTP/1.0\r\n\r\n";
        assert_eq!(agreement::outcome(whole), (2, false));
        let at = at.index(whole.len());
        let mut bytes = whole.to_vec();
        bytes.splice(at..at + usize::from(!is_put_in), [other]);
        agreement::check(&bytes);
    }
}
