//! Streams whose callers or plugins hold on to what they should let go of.

use std::time::Duration;

use jackfield_tests::{Host, Options, PATIENCE};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::streaming::guest_with;

const IN_FLIGHT: &str = r#"jackfield_calls_in_flight{tenant="shop",plugin="guest"}"#;
const TENANT: &str = r#"jackfield_tenant_requests_in_flight{tenant="shop"}"#;

/// A connection on which these bytes were sent.
async fn sent(host: &Host, bytes: &str) -> TcpStream {
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    stream
}

async fn until_free(host: &Host) {
    host.wait_until("nothing is held", async || host.metric(IN_FLIGHT) == 0.0 && host.metric(TENANT) == 0.0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_works_on_after_its_answer_counts_in_its_tenants_quota() {
    let site = guest_with("stream = '1s'").with("[tenants.shop.quota]\nconcurrency = 2\nqueue = 0");
    let host = Host::start(&site).await;
    for _ in 0..2 {
        assert_eq!(host.get("/outlive?ms=60000").await.expect(200).text(), "answered\n");
    }
    host.wait_until("both answers were taken", async || host.metric("jackfield_requests_in_flight") == 0.0)
        .await;
    host.get("/hello").await.expect_problem(503, "queue");
    // `stream` bounds what they still do.
    until_free(&host).await;
    host.get("/hello").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_with_bytes_unread_is_noticed_all_the_same() {
    let options = Options { host: "[host.timeouts]\nhead = \"200ms\"".into(), ..Options::default() };
    let host = Host::start_with(&guest_with(r#"stream = "10min""#), options).await;
    let quiet = "/sse-forever?every-ms=600000";
    for request in [
        format!("POST {quiet} HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nless than that"),
        format!("GET {quiet} HTTP/1.1\r\nhost: a\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n"),
    ] {
        let stream = sent(&host, &request).await;
        host.wait_until("it streams", async || host.metric(IN_FLIGHT) == 1.0).await;
        drop(stream);
        until_free(&host).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_looks_away_from_its_callers_body_does_not_put_off_its_wall() {
    let options = Options { host: "[host.timeouts]\nbody = \"300ms\"".into(), ..Options::default() };
    let host = Host::start_with(&guest_with(r#"wall = "300ms""#), options).await;
    let upload = "POST /look-away?ms=600000 HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\n";
    let mut stream = sent(&host, upload).await;
    let mut answer = [0; 12];
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await.expect("an answer in time").unwrap();
    assert_eq!(&answer, b"HTTP/1.1 504");
    until_free(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_resets_a_caller_who_could_not_tell_otherwise() {
    let host = Host::start(&guest_with("")).await;
    let mut whole = sent(&host, "GET /download?bytes=100000 HTTP/1.0\r\nhost: a\r\n\r\n").await;
    let mut bytes = Vec::new();
    tokio::time::timeout(PATIENCE, whole.read_to_end(&mut bytes)).await.expect("it comes in time").unwrap();
    assert!(bytes.len() > 100_000);
    let mut broken = sent(&host, "GET /trap-mid-body?bytes=1000 HTTP/1.0\r\nhost: a\r\n\r\n").await;
    let ended = tokio::time::timeout(PATIENCE, broken.read_to_end(&mut Vec::new())).await.expect("it ends");
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    until_free(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_has_its_filters_called_however_few_slots_there_are() {
    let site = guest_with("")
        .with("filters = ['mark']")
        .plugin("mark", "guest_filters.wasm")
        .config("name = 'mark', mode = 'pass'");
    let host =
        Host::start_with(&site, Options { host: "concurrency = 1".into(), ..Options::default() }).await;
    for _ in 0..3 {
        let answer = host.get("/download?bytes=1000000").await;
        assert_eq!(answer.expect(200).body.len(), 1_000_000);
    }
    until_free(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_filters_its_own_stream_does_not_wait_for_itself() {
    let site = guest_with("concurrency = 1").with("filters = ['guest']");
    let host = Host::start(&site).await;
    for _ in 0..3 {
        let answer = host.get("/download?bytes=1000000").await;
        assert_eq!(answer.expect(200).body.len(), 1_000_000);
        assert_eq!(answer.header("x-chain"), Some("http"));
    }
    until_free(&host).await;
    // What it lent came back once, so that there is still one place, and no more.
    let stream = sent(&host, "GET /sse-forever?every-ms=600000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    host.wait_until("it streams", async || host.metric(IN_FLIGHT) == 1.0).await;
    let refused = host.get("/hello").await;
    refused.expect_problem(503, "queue");
    drop(stream);
    until_free(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_upload_takes_in_all_is_bounded_whatever_its_pieces_take() {
    let options =
        Options { host: "[host.timeouts]\nbody = \"100ms\"\nrate = \"0B/s\"".into(), ..Options::default() };
    let host = Host::start_with(&guest_with(""), options).await;
    let mut stream = sent(&host, "POST /count HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n").await;
    let (mut read, mut write) = stream.split();
    let mut answer = [0; 12];
    let drip = async {
        // Each well within its time, and all of them together far beyond ten times that.
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answered = tokio::time::timeout(PATIENCE, read.read_exact(&mut answer)) => {
            answered.expect("an answer in time").unwrap();
        }
        () = drip => {}
    }
    assert_eq!(&answer, b"HTTP/1.1 408");
    until_free(&host).await;
}
