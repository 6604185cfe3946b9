//! Bodies as streams, in both directions: each piece as it comes, at the pace of the slower end, and never a part taken
//! for the whole. What holds for HTTP/1.1 holds for HTTP/2.

pub(crate) mod client;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use jackfield_tests::{Host, Options, Site};
use serde_json::Value;

use client::{Arriving, BOTH, Caller, Pieces, Version, in_time};

const IN_FLIGHT: &str = r#"jackfield_calls_in_flight{tenant="shop",plugin="guest"}"#;
const REQUESTS: &str = "jackfield_requests_in_flight";

/// A tenant whose every path is the streaming guest's, under these limits.
pub(crate) fn guest_with(limits: &str) -> Site {
    Site::shop().plugin("guest", "guest_http.wasm").limits(limits).route("/{*rest}")
}

async fn start(limits: &str) -> Host {
    Host::start(&guest_with(limits)).await
}

async fn get(host: &Host, version: Version, path: &str) -> Arriving {
    Caller::connect(host, version).await.get(path).await
}

/// How many calls of the guest ended so.
fn ended(host: &Host, outcome: &str) -> f64 {
    host.metric(&format!(
        r#"jackfield_calls_total{{tenant="shop",plugin="guest",plug="handler",outcome="{outcome}"}}"#
    ))
}

async fn until_idle(host: &Host) {
    host.wait_until("nothing is in flight", async || {
        host.metric(REQUESTS) == 0.0 && host.metric(IN_FLIGHT) == 0.0
    })
    .await;
}

/// Problem and blame of an answer that was broken off, from its access line.
async fn failure(host: &Host, request_id: &str) -> (String, String) {
    let line = host.access_line(request_id).await;
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    (text("problem"), text("blame"))
}

/// Whether these are the first bytes of a download.
fn is_pattern(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().all(|(n, byte)| usize::from(*byte) == n % 251)
}

async fn says(host: &Host, request_id: &str, text: &str) -> Value {
    let what = format!("the plugin of request {request_id} to say `{text}`");
    let is_it = |line: &Value| {
        line["request-id"] == request_id && line["text"].as_str().is_some_and(|said| said.contains(text))
    };
    host.wait_for_log(&what, is_it).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_comes_whole_whether_its_length_is_stated_or_not() {
    const BYTES: usize = 20_000_003;
    let host = start(r#"cpu = "10s""#).await;
    for version in BOTH {
        for path in ["/download", "/download-sized"] {
            let mut answer = get(&host, version, &format!("{path}?bytes={BYTES}")).await;
            assert_eq!(answer.status(), 200);
            let stated = (path == "/download-sized").then(|| BYTES.to_string());
            assert_eq!(answer.header("content-length"), stated.as_deref(), "{version:?}");
            let id = answer.request_id();
            let body = answer.whole().await.expect("the download is whole");
            assert!(body.len() == BYTES && is_pattern(&body), "{version:?} {path}: {} bytes", body.len());
            assert_eq!(host.access_line(&id).await["response-bytes"], BYTES, "{version:?} {path}");
        }
    }
    until_idle(&host).await;
    assert_eq!(ended(&host, "ok"), 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_download_is_whole_too() {
    let host = start("").await;
    for version in BOTH {
        for path in ["/download?bytes=0", "/download-sized?bytes=0"] {
            assert_eq!(get(&host, version, path).await.whole().await.expect("it is whole"), b"");
        }
    }
    until_idle(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_one_by_one_while_the_plugin_makes_the_next() {
    let host = start("").await;
    for version in BOTH {
        let mut answer = get(&host, version, "/sse?events=4&every-ms=300").await;
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        for event in 1..=4 {
            let piece = answer.piece().await.expect("there is another").unwrap();
            assert_eq!(piece, format!("data: {event}\n\n"), "{version:?}");
            assert!(event == 4 || host.metric(IN_FLIGHT) >= 1.0, "the plugin goes on after event {event}");
        }
        assert_eq!(answer.text().await, "");
    }
    until_idle(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_echoed_while_it_is_sent() {
    let host = start("").await;
    for version in BOTH {
        let (pieces, answer) = Caller::connect(&host, version).await.post("/echo");
        assert!(pieces.send("ping 1\n").await);
        let mut answer = answer.await;
        for number in 1..=5 {
            // The next is sent when the one before it is back: neither end could wait for a whole body.
            let so_far = answer.until(&format!("ping {number}\n")).await;
            assert_eq!(so_far.lines().count(), number, "{version:?}");
            assert!(pieces.send(format!("ping {}\n", number + 1)).await);
        }
        drop(pieces);
        assert_eq!(answer.text().await.lines().last(), Some("ping 6"));
    }
    until_idle(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_is_sent_before_the_body_that_it_answers_has_begun() {
    let host = start("").await;
    for version in BOTH {
        let (pieces, answer) = Caller::connect(&host, version).await.post("/head-first");
        let mut answer = answer.await;
        answer.until("reading\n").await;
        assert!(pieces.send(vec![0; 100_000]).await && pieces.send("more").await);
        drop(pieces);
        assert_eq!(answer.text().await, "head\nreading\nbytes=100004\n");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_pass_in_both_directions() {
    let host = start("").await;
    for version in BOTH {
        let caller = Caller::connect(&host, version).await;
        let (pieces, answer) = caller.post_with("/request-trailers", &[("trailer", "x-digest")]);
        assert!(pieces.send("body").await);
        pieces.end_with("x-digest", "abc").await;
        assert_eq!(answer.await.text().await, r#"[["x-digest","abc"]]"#, "{version:?}");

        let caller = Caller::connect(&host, version).await;
        let mut answer = caller.send("GET", "/trailers", &[("te", "trailers")], Pieces::new().1).await;
        assert_eq!(answer.text().await, "trailing\n", "{version:?}");
        let sum = answer.trailers.as_ref().and_then(|trailers| trailers.get("x-sum")).cloned();
        assert_eq!(sum.as_ref().map(|sum| sum.as_bytes()), Some(&b"42"[..]), "{version:?}");
    }
    let chunked = |misplaced: &str| {
        format!(
            "POST /request-trailers HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\
             trailer: x-digest\r\n\r\n4\r\nbody\r\n0\r\nx-digest: abc\r\n{misplaced}: 9\r\n\r\n"
        )
    };
    let answer = host.raw(chunked("keep-alive")).await;
    assert!(answer.contains(r#"[["x-digest","abc"]]"#), "{answer}");
    // What says where a message ends comes too late here.
    let answer = host.raw(chunked("content-length")).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http_1_a_trailer_is_sent_if_the_answer_announces_it_and_the_log_tells_of_others() {
    let host = start("").await;
    for version in BOTH {
        let caller = Caller::connect(&host, version).await;
        let mut answer =
            caller.send("GET", "/many-trailers?n=1", &[("te", "trailers")], Full::default()).await;
        assert_eq!(answer.text().await, "trailing\n", "{version:?}");
        let sent = answer.trailers.as_ref().is_some_and(|trailers| trailers.contains_key("x-filler-0"));
        assert_eq!(sent, version == Version::Http2);
        let lost =
            |line: &Value| line["trailer"] == "x-filler-0" && line["request-id"] == answer.request_id();
        if version == Version::Http1 {
            let line = host.wait_for_log("that it was not sent", lost).await;
            assert_eq!((&line["tenant"], &line["plugin"]), (&"shop".into(), &"guest".into()), "{line}");
        } else {
            assert!(!host.log().iter().any(lost));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_breaks_off_is_never_taken_for_whole() {
    let host = start(r#"cpu = "50ms""#).await;
    let cases = [
        ("/trap-mid-body?bytes=1000", "plugin-failed"),
        ("/trap-mid-body?bytes=60000", "plugin-failed"),
        ("/no-finish?flushed", "plugin-answer"),
        ("/drop-body?flushed", "plugin-answer"),
        ("/short?flushed", "plugin-answer"),
        ("/loop-after-head", "cpu"),
    ];
    for (path, problem) in cases {
        for version in BOTH {
            let mut answer = get(&host, version, path).await;
            assert_eq!(answer.status(), 200, "{version:?} {path}");
            let id = answer.request_id();
            answer.expect_broken(&format!("{version:?} {path}")).await;
            let expected = (problem.to_owned(), "plugin".to_owned());
            assert_eq!(failure(&host, &id).await, expected, "{version:?} {path}");
            let why = host.log_of(&id).into_iter().find(|line| line["message"] == "request failed");
            let why = why.unwrap_or_else(|| panic!("the log does not say why: {:#?}", host.log_of(&id)));
            assert_eq!((&why["plugin"], &why["problem"]), (&"guest".into(), &problem.into()), "{why}");
        }
    }
    until_idle(&host).await;
    assert_eq!((ended(&host, "trap"), ended(&host, "cpu")), (4.0, 2.0));
    let blamed = r#"jackfield_requests_total{tenant="shop",plugin="guest",status="200",blame="plugin"}"#;
    assert_eq!(host.metric(blamed), 12.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_fails_as_its_head_is_sent_is_told_on_or_its_answer_breaks_off() {
    let host = start("").await;
    let cases = [
        ("/trap-after-head", 500, "plugin-failed"),
        ("/no-finish", 502, "plugin-answer"),
        ("/drop-body", 502, "plugin-answer"),
        ("/short", 502, "plugin-answer"),
    ];
    for (number, (path, status, problem)) in cases.into_iter().enumerate() {
        let id = format!("case-{number}");
        // As a rule its call has ended before its head was to be sent. A tick of the clock may come between.
        if let Ok(answer) = host.request("GET", path).header("x-request-id", &id).try_send().await {
            answer.expect_problem(status, problem);
        }
        assert_eq!(failure(&host, &id).await, (problem.to_owned(), "plugin".to_owned()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_body_ends_without_its_last_chunk_or_before_its_length() {
    let host = start("").await;
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    // Not asked to: the host closes the connection, for what would come next on it could not be told apart.
    let chunked = host.raw(ask("/trap-mid-body?bytes=100")).await;
    assert!(chunked.contains("transfer-encoding: chunked\r\n"), "{chunked}");
    assert!(chunked.contains("64\r\n") && !chunked.contains("\r\n0\r\n"), "{chunked}");
    let sized = host.raw(ask("/short?flushed")).await;
    assert!(sized.contains("content-length: 10\r\n") && sized.ends_with("\r\n\r\nfive\n"), "{sized}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_beyond_a_stated_length_is_never_sent() {
    let host = start("").await;
    for version in BOTH {
        let mut answer = get(&host, version, "/long?flushed").await;
        let id = answer.request_id();
        assert_eq!(answer.header("content-length"), Some("5"));
        assert_eq!(answer.text().await, "ten b", "{version:?}");
        says(&host, &id, "writing: ").await;
    }
    until_idle(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_whose_plugins_filter_each_other_do_not_wait_for_each_other() {
    let plugins = [("one", ["two"]), ("two", ["one"]), ("own", ["own"])];
    let site = plugins.into_iter().fold(Site::shop(), |site, (plugin, filters)| {
        site.plugin(plugin, "guest_http.wasm")
            .limits("concurrency = 1, queue = 0")
            .route("/{*rest}")
            .with(format!("headers = {{ x-plugin = '{plugin}' }}\nfilters = {filters:?}"))
    });
    let host = Host::start(&site).await;
    let ask = async |plugin: &'static str| {
        let caller = Caller::connect(&host, Version::Http1).await;
        let answer = caller.send("GET", "/sse-forever", &[("x-plugin", plugin)], Pieces::new().1).await;
        assert_eq!((answer.status(), answer.header("x-chain")), (200, Some("http")), "{plugin}");
        answer
    };
    // Each goes on, and so has the one place of its plugin, which is the filter of the next.
    let streams = (ask("own").await, ask("one").await, ask("two").await);
    for plugin in ["own", "one", "two"] {
        let in_flight = format!(r#"jackfield_calls_in_flight{{tenant="shop",plugin="{plugin}"}}"#);
        assert_eq!(host.metric(&in_flight), 1.0, "{plugin}");
        let refused = host.request("GET", "/hello").header("x-plugin", plugin).send().await;
        refused.expect_problem(503, "queue");
    }
    drop(streams);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_time_is_over() {
    let host = start(r#"stream = "300ms""#).await;
    for version in BOTH {
        let mut answer = get(&host, version, "/sse-forever?every-ms=10").await;
        let id = answer.request_id();
        assert!(answer.expect_broken("/sse-forever").await > 0);
        assert_eq!(failure(&host, &id).await, ("stream".to_owned(), "plugin".to_owned()), "{version:?}");
    }
    until_idle(&host).await;
    assert_eq!(ended(&host, "stream"), 2.0);
    get(&host, Version::Http1, "/sse?events=2&every-ms=10").await.text().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_computes_ends_when_its_time_is_over() {
    let host = start(r#"stream = "200ms", cpu = "5s""#).await;
    // The second one begins where the first has moved to.
    for _ in 0..2 {
        let mut answer = get(&host, Version::Http1, "/compute-after-head?times=100&ms=20").await;
        let id = answer.request_id();
        answer.expect_broken("computing for ever").await;
        assert_eq!(failure(&host, &id).await, ("stream".to_owned(), "plugin".to_owned()));
    }
    until_idle(&host).await;
    assert_eq!(ended(&host, "stream"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_whose_body_nobody_wants_is_charged_for_its_end() {
    let host = start("").await;
    for _ in 0..20 {
        host.request("HEAD", "/sse-forever?every-ms=10").send().await.expect(200);
    }
    until_idle(&host).await;
    let of_calls = host.metric(r#"jackfield_call_cpu_seconds_sum{tenant="shop",plugin="guest"}"#);
    let of_tenant = host.metric(r#"jackfield_tenant_cpu_seconds_total{tenant="shop"}"#);
    assert!((of_calls - of_tenant).abs() < 1e-6, "calls used {of_calls} s, {of_tenant} s were charged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_its_cpu_anew_each_second() {
    let host = start(r#"cpu = "300ms""#).await;
    // More than one second's share in all, and less than it in each.
    let mut spread = get(&host, Version::Http1, "/compute-after-head?times=3&ms=200&rest-ms=1000").await;
    assert_eq!(spread.text().await, "computed 1\ncomputed 2\ncomputed 3\n");
    let mut at_once = get(&host, Version::Http1, "/compute-after-head?times=1&ms=5000").await;
    let id = at_once.request_id();
    at_once.expect_broken("computing at once").await;
    assert_eq!(failure(&host, &id).await, ("cpu".to_owned(), "plugin".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streams_length_is_limited_only_if_the_site_says_so() {
    let host = start(r#"response-body = "1MiB", cpu = "10s""#).await;
    for version in BOTH {
        let mut answer = get(&host, version, "/download?bytes=1048576").await;
        assert_eq!(answer.whole().await.expect("it is within the limit").len(), 1 << 20);
        let mut answer = get(&host, version, "/download?bytes=1048577").await;
        let id = answer.request_id();
        assert!(answer.expect_broken("/download").await <= 1 << 20);
        let expected = ("response-body".to_owned(), "plugin".to_owned());
        assert_eq!(failure(&host, &id).await, expected, "{version:?}");
    }
    until_idle(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_of_any_size_is_read_as_it_comes() {
    const PIECES: usize = 400;
    let host = start(r#"request-body = "64MiB", cpu = "10s""#).await;
    for version in BOTH {
        let (pieces, answer) = Caller::connect(&host, version).await.post("/count");
        let piece = Bytes::from(vec![1; 64 << 10]);
        let send = async move {
            for _ in 0..PIECES {
                assert!(pieces.send(piece.clone()).await);
            }
        };
        let (mut answer, ()) = tokio::join!(answer, send);
        assert_eq!(answer.text().await, format!("bytes={}\n", PIECES * (64 << 10)), "{version:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_too_large_is_413_before_the_head_and_breaks_the_answer_after_it() {
    let host = start(r#"request-body = "100KiB""#).await;
    // Stated.
    host.request("POST", "/count").body(vec![0; 102_401]).send().await.expect_problem(413, "request-body");
    assert_eq!(host.request("POST", "/count").body(vec![0; 102_400]).send().await.text(), "bytes=102400\n");
    for version in BOTH {
        // Found out.
        let (pieces, answer) = Caller::connect(&host, version).await.post("/count");
        let send = async { while pieces.send(vec![0; 10_000]).await {} };
        let (mut answer, ()) = tokio::join!(answer, send);
        assert_eq!(answer.status(), 413, "{version:?}");
        let (id, problem) = (answer.request_id(), answer.text().await);
        assert!(problem.contains("urn:jackfield:problem:request-body"), "{version:?}: {problem}");
        assert_eq!(failure(&host, &id).await, ("request-body".to_owned(), "client".to_owned()));

        let (pieces, answer) = Caller::connect(&host, version).await.post("/echo");
        assert!(pieces.send("begin").await);
        let mut answer = answer.await;
        answer.until("begin").await;
        let id = answer.request_id();
        let send = async { while pieces.send(vec![0; 10_000]).await {} };
        let read = async { answer.expect_broken("/echo").await };
        let (came, ()) = tokio::join!(read, send);
        assert!(came <= 102_400, "{version:?}: {came} bytes were echoed");
        let expected = ("request-body".to_owned(), "client".to_owned());
        assert_eq!(failure(&host, &id).await, expected, "{version:?}");
    }
    until_idle(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_stops_is_408_before_the_head_and_breaks_the_answer_after_it() {
    let options = || Options { host: "[host.timeouts]\nbody = \"200ms\"".into(), ..Options::default() };
    let host = Host::start_with(&guest_with(""), options()).await;
    for version in BOTH {
        let (pieces, answer) = Caller::connect(&host, version).await.post("/count");
        assert!(pieces.send("half").await);
        let mut answer = answer.await;
        assert_eq!(answer.status(), 408, "{version:?}");
        let (id, problem) = (answer.request_id(), answer.text().await);
        assert!(problem.contains("urn:jackfield:problem:request-timeout"), "{version:?}: {problem}");
        assert_eq!(failure(&host, &id).await, ("request-timeout".to_owned(), "client".to_owned()));

        let (pieces, answer) = Caller::connect(&host, version).await.post("/echo");
        assert!(pieces.send("half").await);
        let mut answer = answer.await;
        let id = answer.request_id();
        assert_eq!(answer.expect_broken("/echo").await, 4, "{version:?}");
        let expected = ("request-timeout".to_owned(), "client".to_owned());
        assert_eq!(failure(&host, &id).await, expected, "{version:?}");
    }
    until_idle(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_its_caller_breaks_off_ends_the_call() {
    let host = start("").await;
    for version in BOTH {
        let (pieces, answer) = Caller::connect(&host, version).await.post("/head-first");
        let mut answer = answer.await;
        answer.until("reading\n").await;
        assert!(pieces.send("half").await);
        pieces.break_off().await;
        answer.expect_broken("/head-first").await;
        until_idle(&host).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_hangs_up_stops_the_plugin_and_frees_its_places() {
    let host = start(r#"concurrency = 1, queue = 0, cpu = "10s""#).await;
    for version in BOTH {
        for path in ["/sse-forever?every-ms=10", "/loop-after-head", "/download?bytes=1000000000"] {
            let mut answer = get(&host, version, path).await;
            let id = answer.request_id();
            answer.piece().await.expect("it has begun").unwrap();
            // Its place is taken for as long as the stream goes on.
            host.get("/hello").await.expect_problem(503, "queue");
            drop(answer);
            until_idle(&host).await;
            assert_eq!(host.access_line(&id).await["blame"], "client", "{version:?} {path}");
            host.get("/hello").await.expect(200);
            // Its place may be given back a moment behind its answer.
            until_idle(&host).await;
        }
    }
    // A guest that writes may be told so before it is stopped, and end by itself. One that computes never is.
    let all = async || ended(&host, "cancelled") + ended(&host, "ok") == 12.0;
    host.wait_until("each of the calls to be counted", all).await;
    assert!(ended(&host, "cancelled") >= 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_holds_the_plugin_back() {
    const BYTES: usize = 64 << 20;
    let host = start(r#"cpu = "10s""#).await;
    for version in BOTH {
        let mut answer = get(&host, version, &format!("/download-watched?bytes={BYTES}&ms=300")).await;
        let id = answer.request_id();
        // Nothing is read: the plugin finds that it cannot write on, long before the end.
        let line = says(&host, &id, "stalled after ").await;
        let said = line["text"].as_str().unwrap();
        let written: usize = said.split(' ').nth(2).unwrap().parse().unwrap();
        assert!(written < BYTES / 4, "{version:?}: {written} bytes were written and not read");
        let body = answer.whole().await.expect("it goes on, and is whole");
        assert!(body.len() == BYTES && is_pattern(&body), "{version:?}: {} bytes", body.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_plugin_holds_the_caller_back() {
    const PIECES: u64 = 1024;
    const PIECE_BYTES: u64 = 64 << 10;
    let host = start(r#"request-body = "128MiB", cpu = "10s""#).await;
    for version in BOTH {
        let (pieces, answer) = Caller::connect(&host, version).await.post("/head-first?ms=700");
        let mut answer = answer.await;
        let sent = Arc::new(AtomicU64::new(0));
        let counter = sent.clone();
        let sending = tokio::spawn(async move {
            let piece = Bytes::from(vec![1; PIECE_BYTES as usize]);
            for _ in 0..PIECES {
                assert!(pieces.send_patiently(piece.clone()).await);
                counter.fetch_add(PIECE_BYTES, Ordering::Relaxed);
            }
        });
        // When the plugin wakes up, only what buffers hold has left the caller.
        answer.until("reading\n").await;
        let before = sent.load(Ordering::Relaxed);
        assert!(before < PIECES * PIECE_BYTES / 4, "{version:?}: {before} bytes were taken and not read");
        in_time("the rest of the upload", sending).await.unwrap();
        let text = answer.text().await;
        assert!(text.ends_with(&format!("bytes={}\n", PIECES * PIECE_BYTES)), "{version:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_with_its_revision_through_a_swap() {
    let host = start("").await;
    let mut answer = get(&host, Version::Http1, "/sse?events=30&every-ms=50").await;
    answer.until("data: 1\n\n").await;
    host.edit_site(&guest_with(r#"log-lines = 7"#));
    host.wait_for_log("another revision", |line| line["message"] == "revision live").await;
    let text = answer.text().await;
    assert!(text.ends_with("data: 30\n\n"), "{text}");
    host.wait_for_log("the drained one", |line| line["message"] == "revision drained").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_finished_when_the_host_is_told_to_stop() {
    let mut host = start("").await;
    let mut answer = get(&host, Version::Http1, "/sse?events=10&every-ms=30").await;
    answer.until("data: 1\n\n").await;
    let (text, ()) = tokio::join!(answer.text(), host.stop());
    assert!(text.ends_with("data: 10\n\n"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_go_on_side_by_side() {
    let host = Host::start_with(
        &guest_with("concurrency = 60"),
        Options { host: "concurrency = 60".into(), ..Options::default() },
    )
    .await;
    let streams = (0..50).map(|_| async {
        let mut answer = get(&host, Version::Http2, "/sse?events=10&every-ms=20").await;
        answer.text().await
    });
    let texts = in_time("all events", jackfield_tests::together(streams)).await;
    let expected: String = (1..=10).map(|event| format!("data: {event}\n\n")).collect();
    assert!(texts.iter().all(|text| *text == expected));
    tokio::time::timeout(Duration::from_secs(20), until_idle(&host)).await.unwrap();
}
