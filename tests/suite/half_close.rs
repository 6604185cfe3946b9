//! Clients that close their sending side behind a request, as `nc -N` does: they are answered all the same.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use jackfield_tests::{Host, Options, PATIENCE, Site, together};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A lean plugin and one of wasi:http, each with a host of its own.
fn site() -> Site {
    Site::default()
        .tenant("lean", ["lean"])
        .plugin("guest", "guest_misbehave.wasm")
        .limits("wall = '60s'")
        .route("/{*rest}")
        .tenant("http", ["http"])
        .plugin("guest", "guest_http.wasm")
        .limits("wall = '60s'")
        .route("/{*rest}")
}

/// Sends all of it, closes the sending side, and takes what comes until the host closes the connection.
async fn half_closed(host: &Host, sent: &str) -> String {
    half_closed_at(host.address(), sent).await
}

async fn half_closed_at(address: SocketAddr, sent: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
    read.expect("the host closes in time").unwrap();
    answer
}

/// Sends a request of which the call goes on until it is stopped, and closes the sending side.
async fn sleeping(host: &Host, tenant: &str) -> TcpStream {
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    let request = format!("GET /sleep?ms=60000 HTTP/1.1\r\nhost: {tenant}\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    host.wait_until("the call runs", async || host.metric(&in_flight(tenant)) == 1.0).await;
    stream.shutdown().await.unwrap();
    stream
}

fn in_flight(tenant: &str) -> String {
    format!(r#"jackfield_calls_in_flight{{tenant="{tenant}",plugin="guest"}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_nothing_more_is_answered_by_every_kind_of_plugin() {
    let host = Host::start(&site()).await;
    for (request, end) in [
        ("GET /ok HTTP/1.1\r\nhost: lean\r\n\r\n", "ok\n"),
        ("GET /ok HTTP/1.0\r\nhost: lean\r\n\r\n", "ok\n"),
        ("GET /sleep?ms=300 HTTP/1.1\r\nhost: lean\r\n\r\n", "slept\n"),
        ("POST /echo HTTP/1.1\r\nhost: lean\r\ncontent-length: 5\r\n\r\nhello", "hello"),
        ("GET /hello HTTP/1.1\r\nhost: http\r\n\r\n", "hello over wasi:http\n"),
        ("GET /hello HTTP/1.0\r\nhost: http\r\n\r\n", "hello over wasi:http\n"),
        ("GET /sleep?ms=300 HTTP/1.1\r\nhost: http\r\n\r\n", "slept\n"),
        ("GET /sse?events=3&every-ms=100 HTTP/1.1\r\nhost: http\r\n\r\n", "data: 3\n\n"),
        ("POST /count HTTP/1.1\r\nhost: http\r\ncontent-length: 5\r\n\r\nhello", "bytes=5\n"),
        (
            "POST /echo HTTP/1.1\r\nhost: http\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "hello",
        ),
    ] {
        let answers = together((0..20).map(|_| half_closed(&host, request))).await;
        for answer in answers {
            assert!(answer.starts_with("HTTP/1.") && answer.contains(" 200 OK\r\n"), "{request}: {answer:?}");
            // With the last chunk behind it, if it is in chunks.
            let body = answer.strip_suffix("\r\n0\r\n\r\n").unwrap_or(&answer);
            assert!(body.ends_with(end), "{request}: {answer:?}");
        }
    }
    host.wait_until("no connection is left", async || host.metric("jackfield_connections") == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_requests_before_a_half_close_are_answered_in_their_order() {
    let host = Host::start(&site()).await;
    let requests: String = ["/sleep?ms=100", "/hello", "/sse?events=2&every-ms=100", "/hello"]
        .map(|path| format!("GET {path} HTTP/1.1\r\nhost: http\r\n\r\n"))
        .concat();
    // What is not whole is not answered.
    let answer = half_closed(&host, &(requests + "GET /hello HTTP/1.1\r\nho")).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK\r\n").count(), 4, "{answer}");
    assert!(answer.ends_with("hello over wasi:http\n"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_a_half_close_cuts_off_is_told_to_be_broken() {
    let host = Host::start(&site()).await;
    for (name, path) in [("lean", "/echo"), ("http", "/count")] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: {name}\r\ncontent-length: 10\r\n\r\nhello");
        let answer = half_closed(&host, &head).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{name}: {answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{name}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prober_that_sends_nothing_more_is_answered() {
    let options = Options { host: "probes = \"127.0.0.1:0\"".into(), ..Options::default() };
    let host = Host::start_with(&site(), options).await;
    let probes = host.running().probes().expect("there are probes");
    for _ in 0..20 {
        let answer = half_closed_at(probes, "GET /livez HTTP/1.1\r\nhost: probes\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("alive\n"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_closed_half_between_requests_is_closed_at_once() {
    let host = Host::start(&site()).await;
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    stream.write_all(b"GET /hello HTTP/1.1\r\nhost: http\r\n\r\n").await.unwrap();
    let (mut answer, mut whole) = ([0; 4096], Vec::new());
    // Head and body may come apart.
    while !whole.ends_with(b"hello over wasi:http\n") {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&whole));
        whole.extend_from_slice(&answer[..read]);
    }
    assert!(whole.starts_with(b"HTTP/1.1 200 OK\r\n"));
    stream.shutdown().await.unwrap();
    let began = Instant::now();
    assert_eq!(tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap(), 0);
    // No deadline of the host's is as short.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_resets_its_connection_ends_the_call_also_after_a_half_close() {
    let host = Host::start(&site()).await;
    for tenant in ["lean", "http"] {
        let stream = sleeping(&host, tenant).await;
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        let began = Instant::now();
        drop(stream);
        host.wait_until("the call ends", async || host.metric(&in_flight(tenant)) == 0.0).await;
        // Before the host would have given it up.
        assert!(began.elapsed() < Duration::from_secs(4), "{tenant}: {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_to_whom_nothing_can_be_sent_after_its_end_is_taken_for_gone() {
    let host = Host::start(&site()).await;
    // One that is still there looks the same as one that is not.
    let _still_there = sleeping(&host, "http").await;
    drop(sleeping(&host, "lean").await);
    for tenant in ["lean", "http"] {
        host.wait_until("the call ends", async || host.metric(&in_flight(tenant)) == 0.0).await;
    }
    let line = host.wait_for_log("its access line", |line| line["path"] == "/sleep").await;
    assert_eq!((&line["status"], &line["blame"]), (&499.into(), &"client".into()), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_for_whoever_takes_it_after_a_half_close_and_for_nobody_else() {
    let host = Host::start(&site()).await;
    let request = b"GET /sse-forever?every-ms=1000 HTTP/1.1\r\nhost: http\r\n\r\n";
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    stream.shutdown().await.unwrap();
    let (began, mut events, mut piece) = (Instant::now(), 0, [0; 4096]);
    // For longer than nothing may be sent.
    while began.elapsed() < Duration::from_secs(7) {
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await.unwrap().unwrap();
        assert!(read > 0, "it was closed after {events} events and {:?}", began.elapsed());
        events += String::from_utf8_lossy(&piece[..read]).matches("data: ").count();
    }
    assert!(events >= 5, "{events}");
    drop(stream);
    host.wait_until("the stream ends", async || host.metric(&in_flight("http")) == 0.0).await;
}
