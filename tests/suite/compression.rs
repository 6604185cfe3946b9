//! Answers that are compressed on their way out: what a client decodes is what the plugin wrote, in the pace in which it
//! wrote it, at its tenant's expense.
//!
//! Decoders are other projects': `ruzstd` here, and the programs `gzip` and `node`; a stream that has not ended is decoded
//! by programs alone. If a program is not there, the test says so, and what it would decode is not compared.

use std::io::{Read, Write};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use jackfield_tests::{Answer, Host, Site};

use crate::streaming::client::{Arriving, BOTH, Caller, Pieces, Version};

/// A tenant whose every path is the streaming guest's, compressed.
fn site(limits: &str) -> Site {
    Site::shop()
        .plugin("filter", "guest_filters.wasm")
        .config("name = 'f', mode = 'see'")
        .plugin("guest", "guest_http.wasm")
        .limits(limits)
        .route("/{*rest}")
        .with("compression = ['zstd', 'br', 'gzip']")
        .route("/plain/{*rest}")
        .route("/info")
        .with("filters = ['filter']\ncompression = ['gzip']")
        .plugin("lean", "guest_misbehave.wasm")
        .route("/body")
        .with("compression = ['gzip']")
}

async fn start() -> Host {
    Host::start(&site("cpu = '10s'")).await
}

/// The content of an encoded body, as a decoder of another project reads it. None if it is not there, which is said.
fn decoded(coding: &str, body: &[u8]) -> Option<Vec<u8>> {
    const NODE: &str =
        "process.stdout.write(require('zlib').brotliDecompressSync(require('fs').readFileSync(0)))";
    match coding {
        "zstd" => {
            let mut content = Vec::new();
            let mut decoder = ruzstd::decoding::StreamingDecoder::new(body).expect("it begins as zstd");
            decoder.read_to_end(&mut content).expect("it is zstd");
            assert!(decoder.into_inner().is_empty(), "nothing follows the frame");
            Some(content)
        }
        "gzip" => program("gzip", &["-dc"], body),
        "br" => program("node", &["-e", NODE], body),
        other => panic!("no coding `{other}` was offered"),
    }
}

/// What can be decoded of an encoded body that goes on.
fn decoded_so_far(coding: &str, body: &[u8]) -> Option<Vec<u8>> {
    const NODE: &str = "const decoder = require('zlib').createBrotliDecompress(); decoder.on('error', () => {}); \
                        decoder.on('data', (piece) => process.stdout.write(piece)); process.stdin.pipe(decoder)";
    let (name, arguments): (_, &[&str]) = match coding {
        "zstd" => ("zstd", &["-dcq"]),
        "gzip" => ("gzip", &["-dcq"]),
        _ => ("node", &["-e", NODE]),
    };
    Some(run(name, arguments, body)?.stdout)
}

fn program(name: &str, arguments: &[&str], input: &[u8]) -> Option<Vec<u8>> {
    let ended = run(name, arguments, input)?;
    assert!(ended.status.success(), "`{name}` cannot decode it");
    Some(ended.stdout)
}

fn run(name: &str, arguments: &[&str], input: &[u8]) -> Option<Output> {
    let mut command = Command::new(name);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let Ok(mut process) = command.spawn() else {
        eprintln!("SKIPPED: `{name}` is not there, and what it would decode is not compared");
        return None;
    };
    let mut stdin = process.stdin.take().expect("it is piped");
    let input = input.to_vec();
    let writing = std::thread::spawn(move || stdin.write_all(&input));
    let ended = process.wait_with_output().expect("it ends");
    writing.join().expect("it does not panic").expect("it takes all of it");
    Some(ended)
}

async fn accepting(host: &Host, path: &str, coding: &str) -> Answer {
    host.request("GET", path).header("accept-encoding", coding).send().await.expect(200).clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_other_projects_decode_is_what_the_plugin_wrote() {
    let host = start().await;
    for path in [
        "/content?kind=text&bytes=1024",
        "/content?kind=json&bytes=50000",
        "/content?kind=json&bytes=50000&stated",
        "/content?kind=text&bytes=50000&late",
        "/content?kind=json&bytes=3000000",
        "/content?kind=text&bytes=3000000&stated",
        "/content?kind=random&bytes=1000000&type=text/plain",
        "/body?bytes=300000",
    ] {
        let plain = host.get(path).await;
        assert_eq!(plain.expect(200).header("content-encoding"), None, "{plain}");
        for coding in ["zstd", "br", "gzip"] {
            if path.starts_with("/body") {
                continue;
            }
            let answer = accepting(&host, path, coding).await;
            assert_eq!(answer.header("content-encoding"), Some(coding), "{path}");
            assert_eq!(answer.header("vary"), Some("accept-encoding"));
            if let Some(content) = decoded(coding, &answer.body) {
                assert!(content == plain.body, "{path} {coding}: {} bytes", content.len());
            }
            println!("{path} {coding}: {} bytes of {}", answer.body.len(), plain.body.len());
            let line = host.access_line(answer.request_id()).await;
            assert_eq!(line["response-bytes"], answer.body.len(), "the bytes that were sent are counted");
        }
    }
}

/// An answer whose body the plugin had finished when its head was sent. On a busy machine a plugin may be caught in the
/// midst of its body: such an answer has no length, and is asked for again.
async fn whole(host: &Host, path: &str, coding: &str) -> Answer {
    for _ in 0..50 {
        let answer = accepting(host, path, coding).await;
        if answer.header("content-length").is_some() {
            return answer;
        }
    }
    panic!("no answer of {path} was whole before its head was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_answer_has_the_length_of_its_encoded_body() {
    let host = start().await;
    for (path, coding) in
        [("/content?kind=json&bytes=20000&stated", "zstd"), ("/content?kind=json&bytes=20000", "br")]
    {
        let answer = whole(&host, path, coding).await;
        assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()), "{answer}");
        assert!(answer.body.len() < 8000, "{path} {coding}: {}", answer.body.len());
    }
    // What does not become smaller is sent as it is; other clients may still get another answer.
    let random = "/content?kind=random&bytes=20000&type=text/plain&etag=%22a%22";
    let answer = whole(&host, random, "gzip").await;
    assert_eq!(answer.header("content-encoding"), None, "{}", answer.body.len());
    assert_eq!((answer.header("etag"), answer.header("vary")), (Some("\"a\""), Some("accept-encoding")));
    assert_eq!(answer.body.len(), 20000);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_must_not_be_compressed_is_sent_as_the_plugin_gave_it() {
    let host = start().await;
    for (path, fields) in [
        ("/content?kind=random&bytes=50000", &[][..]),
        ("/content?kind=text&bytes=50000&type=image/png", &[]),
        ("/content?kind=text&bytes=1023&stated", &[]),
        ("/content?kind=text&bytes=50000&cache-control=no-transform", &[]),
        ("/content?kind=text&bytes=50000&content-encoding=br", &[]),
        ("/content?kind=text&bytes=50000", &[("cache-control", "no-transform")]),
        ("/content?kind=text&bytes=50000", &[("accept-encoding", "identity, *;q=0")]),
        ("/plain/content", &[]),
    ] {
        let plain = host.get(path).await;
        let mut request = host.request("GET", path);
        let fields = if fields.iter().any(|(name, _)| *name == "accept-encoding") {
            fields.to_vec()
        } else {
            [fields, &[("accept-encoding", "zstd, br, gzip")]].concat()
        };
        for (name, value) in fields {
            request = request.header(name, value);
        }
        let answer = request.send().await;
        assert_eq!(answer.body, plain.body, "{path}");
        assert_eq!(answer.header("content-encoding"), plain.header("content-encoding"), "{path}");
    }
    // A problem document is the host's, and is sent as it is.
    let answer = host.request("GET", "/trap-before-head").header("accept-encoding", "gzip").send().await;
    answer.expect_problem(500, "plugin-failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lean_plugins_answer_is_compressed_like_every_other() {
    let host = start().await;
    let path = "/body?bytes=300000&type=text/css";
    let answer = accepting(&host, path, "gzip, br").await;
    assert_eq!(answer.header("content-encoding"), Some("gzip"), "the route offers no other");
    assert_eq!(answer.header("content-length"), Some(&*answer.body.len().to_string()));
    if let Some(content) = decoded("gzip", &answer.body) {
        assert!(content == vec![b'x'; 300_000]);
    }
    // A GET's length, by a plugin that sees HEAD as a GET.
    let head = host.request("HEAD", path).header("accept-encoding", "gzip").send().await;
    assert_eq!(head.header("content-length"), answer.header("content-length"), "{head}");
    assert_eq!(head.header("content-encoding"), Some("gzip"));
}

#[tokio::test(flavor = "multi_thread")]
async fn response_filters_see_the_answer_before_it_is_compressed() {
    let host = start().await;
    let filler = "x".repeat(3000);
    let request = host.request("GET", "/info").header("accept-encoding", "gzip").header("x-filler", filler);
    let answer = request.send().await;
    assert_eq!(answer.expect(200).header("content-encoding"), Some("gzip"));
    let seen = answer.header("x-seen").expect("the filter saw it");
    assert!(seen.starts_with("200 content-type,x-next "), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_one_by_one_although_they_are_compressed() {
    let host = start().await;
    for version in BOTH {
        for coding in ["zstd", "br", "gzip"] {
            let caller = Caller::connect(&host, version).await;
            let mut answer = caller
                .send("GET", "/sse?events=4&every-ms=300", &[("accept-encoding", coding)], Pieces::new().1)
                .await;
            assert_eq!(answer.header("content-encoding"), Some(coding), "{version:?}");
            assert_eq!(answer.header("content-length"), None);
            let mut encoded = Vec::new();
            let mut last: Option<Instant> = None;
            for event in 1..=4 {
                let piece = answer.piece().await.expect("there is another").expect("it comes");
                encoded.extend_from_slice(&piece);
                let now = Instant::now();
                let pause = last.replace(now).map(|last| now - last);
                assert!(
                    pause.is_none_or(|pause| pause > Duration::from_millis(100)),
                    "event {event} came alone"
                );
                let expected: String = (1..=event).map(|event| format!("data: {event}\n\n")).collect();
                if let Some(events) = decoded_so_far(coding, &encoded) {
                    assert_eq!(String::from_utf8_lossy(&events), expected, "{version:?} {coding}");
                }
            }
            encoded.extend_from_slice(&answer.whole().await.expect("it ends cleanly"));
            if let Some(content) = decoded(coding, &encoded) {
                assert_eq!(content, b"data: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\n", "{version:?} {coding}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn head_has_the_head_of_a_get() {
    let host = start().await;
    for path in [
        "/content?kind=text&bytes=50000&etag=%22a%22&stated",
        "/content?kind=text&bytes=50000&etag=%22a%22",
        "/content?kind=text&bytes=500&stated",
        "/content?kind=random&bytes=50000&stated",
        "/content?kind=json&bytes=3000000",
        "/content?kind=json&bytes=3000000&stated",
    ] {
        let mut heads = Vec::new();
        for method in ["GET", "HEAD"] {
            let request = host.request(method, path).header("accept-encoding", "br, gzip");
            let mut headers = request.send().await.expect(200).headers.clone();
            for name in ["date", "x-request-id"] {
                headers.remove(name);
            }
            // The guest answers HEAD itself, and a GET's encoded length is known only when it is encoded.
            if headers.contains_key("content-encoding") {
                headers.remove("content-length");
            }
            headers.remove("transfer-encoding");
            heads.push(headers);
        }
        assert_eq!(heads[0], heads[1], "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weak_tag_revalidates_what_was_compressed() {
    let host = start().await;
    let path = "/content?kind=text&bytes=50000&etag=%22v1%22&vary=origin";
    let answer = accepting(&host, path, "gzip").await;
    assert_eq!(answer.header("etag"), Some("W/\"v1\""));
    assert_eq!(answer.header("vary"), Some("origin, accept-encoding"));
    let again =
        host.request("GET", path).header("accept-encoding", "gzip").header("if-none-match", "W/\"v1\"");
    let again = again.send().await;
    again.expect(304);
    assert_eq!((again.header("etag"), again.header("vary")), (Some("W/\"v1\""), Some("accept-encoding")));
    let plain = host.request("GET", path).header("if-none-match", "\"v1\"").send().await;
    assert_eq!(
        plain.expect(304).header("etag"),
        Some("\"v1\""),
        "who has the plain answer has the strong tag"
    );
}

async fn get_compressed(host: &Host, version: Version, path: &str, coding: &str) -> Arriving {
    let caller = Caller::connect(host, version).await;
    caller.send("GET", path, &[("accept-encoding", coding), ("te", "trailers")], Pieces::new().1).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_body_that_breaks_off_is_never_taken_for_whole() {
    let host = start().await;
    for version in BOTH {
        for coding in ["zstd", "br", "gzip"] {
            let path = "/content?kind=text&bytes=100000&cut";
            let mut answer = get_compressed(&host, version, path, coding).await;
            assert_eq!(answer.header("content-encoding"), Some(coding));
            let id = answer.request_id();
            answer.expect_broken(&format!("{version:?} {coding}")).await;
            let line = host.access_line(&id).await;
            assert_eq!(
                (&line["problem"], &line["blame"]),
                (&"plugin-failed".into(), &"plugin".into()),
                "{line}"
            );
        }
    }
    let idle = r#"jackfield_calls_in_flight{tenant="shop",plugin="guest"}"#;
    host.wait_until("nothing is in flight", async || host.metric(idle) == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_follow_a_compressed_body() {
    let host = start().await;
    for version in BOTH {
        for path in ["/content?kind=text&bytes=300000&sum=42", "/content?kind=text&bytes=3000&sum=42"] {
            let plain = host.get(path).await;
            let mut answer = get_compressed(&host, version, path, "zstd").await;
            assert_eq!(answer.header("content-encoding"), Some("zstd"));
            let body = answer.whole().await.expect("it is whole");
            assert_eq!(decoded("zstd", &body).expect("ruzstd is there"), plain.body);
            assert_eq!(answer.trailers.expect("there are trailers")["x-sum"], "42", "{version:?} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_of_a_compressed_answer_holds_the_plugin_back() {
    let host = start().await;
    // Noise, so that the encoded body is as large as the plugin's.
    let path = "/content?kind=random&bytes=40000000&type=text/plain";
    let mut answer = get_compressed(&host, Version::Http1, path, "zstd").await;
    let id = answer.request_id();
    let first = answer.piece().await.expect("it begins").expect("it comes");
    drop(answer);
    let line = host.access_line(&id).await;
    let sent = line["response-bytes"].as_u64().expect("it is counted");
    assert!(sent < 4_000_000 && sent >= first.len() as u64, "{line}");
    assert_eq!(line["problem"], "client-gone");
}

fn cpu(host: &Host) -> f64 {
    host.metric(r#"jackfield_tenant_cpu_seconds_total{tenant="shop"}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_pays_for_its_encoder() {
    let host = start().await;
    let path = "/body?bytes=1000000&type=text/plain";
    host.get(path).await.expect(200);
    // The least of five: what else the machine does only adds to it.
    let least = async |coding: &str| {
        let (mut told, mut of_tenant) = (f64::INFINITY, f64::INFINITY);
        for _ in 0..5 {
            let before = cpu(&host);
            let answer = host.request("GET", path).header("accept-encoding", coding).send().await;
            let line = host.access_line(answer.expect(200).request_id()).await;
            told = line["cpu-ms"].as_f64().expect("it used CPU").min(told);
            of_tenant = ((cpu(&host) - before) * 1000.0).min(of_tenant);
        }
        (told, of_tenant)
    };
    let (plain, of_tenant) = least("identity").await;
    let (compressed, of_tenant_compressed) = least("gzip").await;
    println!("an answer of 1 MB: {plain} ms of CPU plain, {compressed} ms compressed");
    assert!(compressed > plain * 1.2, "access lines: {plain} and {compressed} ms");
    assert!(of_tenant_compressed > of_tenant * 1.2, "the tenant: {of_tenant} and {of_tenant_compressed} ms");
}

/// Beyond its budget the encoder of a stream waits.
#[tokio::test(flavor = "multi_thread")]
async fn an_encoder_is_held_to_its_plugins_cpu() {
    let host = Host::start(&site("cpu = '60ms'")).await;
    let began = Instant::now();
    let before = cpu(&host);
    let mut answer =
        get_compressed(&host, Version::Http1, "/download?bytes=300000000&type=text/plain", "gzip").await;
    while began.elapsed() < Duration::from_secs(3) {
        if answer.piece().await.is_none() {
            break;
        }
    }
    let (used, took) = (cpu(&host) - before, began.elapsed().as_secs_f64());
    println!("{used:.3} s of CPU in {took:.1} s");
    // Guest and encoder have 60 ms before, and as much again for each second that began.
    assert!(used < 2.0 * 0.06 * (took + 2.0), "{used} s of CPU in {took} s");
    assert!(used > 0.06, "{used} s of CPU in {took} s");
}
