//! Clients that are slow, silent or gone: each is cut in time, and holds nothing that another caller needs.

use std::time::{Duration, Instant};

use jackfield_tests::{Host, Options, PATIENCE, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const IN_FLIGHT: &str = r#"jackfield_calls_in_flight{tenant="shop",plugin="guest"}"#;
const REQUESTS: &str = "jackfield_requests_in_flight";

const STALLED: &str = r#"jackfield_connections_closed_total{reason="stalled"}"#;

/// More than the system's buffers of both ends of a connection take.
const LARGE: usize = 24_000_000;

/// The misbehaving guest, one request at once, answers of any size.
async fn start(host: &str) -> Host {
    let site = Site::shop()
        .with("quota = { concurrency = 1, queue = 0 }")
        .plugin("guest", "guest_misbehave.wasm")
        .limits("cpu = '10s', wall = '60s', response-body = '32MiB', random = '1GiB'")
        .route("/{*rest}");
    Host::start_with(&site, Options { host: host.into(), ..Options::default() }).await
}

async fn connect(host: &Host) -> TcpStream {
    TcpStream::connect(host.address()).await.unwrap()
}

/// A connection that takes little before it is read from.
async fn connect_narrow(host: &Host) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 << 10).unwrap();
    socket.connect(host.address()).await.unwrap()
}

async fn send(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// Everything that comes until the host closes the connection, however it does.
async fn until_closed(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ =
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the host closes it");
    answer
}

async fn until_idle(host: &Host) {
    // A guest that computes is ended at its next tick, which may be after its request.
    let is_idle = async || host.metric(REQUESTS) == 0.0 && host.metric(IN_FLIGHT) == 0.0;
    host.wait_until("nothing is in flight", is_idle).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_or_half_of_a_head_is_cut() {
    let host = start("[host.timeouts]\nhead = \"100ms\"").await;
    for said in [
        "",
        "G",
        "GET /ok HTTP/1.1\r\n",
        "GET /ok HTTP/1.1\r\nhost: a\r\nx-header: and so o",
        "PRI * HTTP/2.0\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut stream = connect(&host).await;
        send(&mut stream, said).await;
        let answer = String::from_utf8_lossy(&until_closed(&mut stream).await).into_owned();
        assert!(!answer.contains(" 200 "), "{said:?}: {answer}");
    }
    host.get("/ok").await.expect(200);
    host.wait_until("no connection is left", async || host.metric("jackfield_connections") == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_drips_its_head_is_cut() {
    let host = start("[host.timeouts]\nhead = \"300ms\"").await;
    let mut stream = connect(&host).await;
    send(&mut stream, "GET /ok HTTP/1.1\r\nhost: a\r\nx-drip: ").await;
    let (mut read, mut write) = stream.split();
    let drip = async {
        // Each piece well within the time that the whole has.
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let mut answer = Vec::new();
    let closed = tokio::time::timeout(PATIENCE, read.read_to_end(&mut answer));
    tokio::select! {
        closed = closed => { let _ = closed.expect("the host closes it"); }
        () = drip => {}
    }
    assert!(!String::from_utf8_lossy(&answer).contains(" 200 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_connection_is_kept_for_a_while_and_then_closed() {
    let host = start("[host.timeouts]\nidle = \"300ms\"").await;
    let mut stream = connect(&host).await;
    let mut answer = [0; 4096];
    for _ in 0..3 {
        send(&mut stream, "GET /ok HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let length = stream.read(&mut answer).await.unwrap();
        assert!(answer[..length].starts_with(b"HTTP/1.1 200 ") && answer[..length].ends_with(b"ok\n"));
    }
    assert_eq!(until_closed(&mut stream).await, b"");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stalls_is_answered_408() {
    let host = start("[host.timeouts]\nbody = \"100ms\"").await;
    for (framing, piece) in
        [("content-length: 10", "hello"), ("transfer-encoding: chunked", "5\r\nhello\r\n")]
    {
        let mut stream = connect(&host).await;
        send(&mut stream, &format!("POST /echo HTTP/1.1\r\nhost: a\r\n{framing}\r\n\r\n{piece}")).await;
        let answer = String::from_utf8_lossy(&until_closed(&mut stream).await).into_owned();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{framing}: {answer}");
        assert!(answer.contains("urn:jackfield:problem:request-timeout"), "{framing}: {answer}");
    }
    until_idle(&host).await;
    let blamed = r#"jackfield_requests_total{tenant="shop",plugin="guest",status="408",blame="client"}"#;
    assert_eq!(host.metric(blamed), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_drips_is_answered_408_in_the_end() {
    let host = start("[host.timeouts]\nbody = \"60ms\"").await;
    let mut stream = connect(&host).await;
    send(&mut stream, "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n").await;
    let (mut read, mut write) = stream.split();
    let drip = async {
        while write.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        std::future::pending::<()>().await;
    };
    let mut answer = [0; 4096];
    tokio::select! {
        length = tokio::time::timeout(PATIENCE, read.read(&mut answer)) => {
            let length = length.expect("it is answered in time").unwrap();
            assert!(answer[..length].starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
        }
        () = drip => {}
    }
    until_idle(&host).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_in_the_middle_of_its_body_is_accounted_for() {
    let host = start("").await;
    let mut stream = connect(&host).await;
    send(&mut stream, "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhello").await;
    host.wait_until("it has begun", async || host.metric(REQUESTS) == 1.0).await;
    drop(stream);
    until_idle(&host).await;
    let line = host.wait_for_log("the access line", |line| line["path"] == "/echo").await;
    assert_eq!(line["blame"], "client", "{line}");
    assert_eq!(
        host.metric(r#"jackfield_calls_total{tenant="shop",plugin="guest",plug="handler",outcome="ok"}"#),
        0.0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_whose_client_leaves_is_stopped_and_counted() {
    let host = start("").await;
    let of_tenant = r#"jackfield_tenant_requests_in_flight{tenant="shop"}"#;
    let mut stream = connect(&host).await;
    send(&mut stream, "GET /sleep?ms=60000 HTTP/1.1\r\nhost: a\r\n\r\n").await;
    host.wait_until("the call runs", async || host.metric(IN_FLIGHT) == 1.0).await;
    assert_eq!(host.metric(of_tenant), 1.0);
    drop(stream);
    host.wait_until("the call is stopped", async || host.metric(IN_FLIGHT) == 0.0).await;
    until_idle(&host).await;
    let cancelled =
        r#"jackfield_calls_total{tenant="shop",plugin="guest",plug="handler",outcome="cancelled"}"#;
    assert_eq!((host.metric(cancelled), host.metric(of_tenant)), (1.0, 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_and_its_permit_is_free() {
    let host = start("[host.timeouts]\nwrite = \"200ms\"").await;
    let mut stream = connect_narrow(&host).await;
    send(&mut stream, &format!("GET /body?bytes={LARGE} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
    // It has its answer, and nobody else has a place while it is not taken.
    stream.readable().await.unwrap();
    host.get("/ok").await.expect_problem(503, "queue");
    until_idle(&host).await;
    host.get("/ok").await.expect(200);
    let taken = until_closed(&mut stream).await.len();
    assert!(taken < LARGE, "{taken}");
    let line = host.wait_for_log("the access line", |line| line["path"] == "/body").await;
    assert_eq!((&line["status"], &line["blame"]), (&200.into(), &"client".into()), "{line}");
    host.wait_until("it is counted as stalled", async || host.metric(STALLED) == 1.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_takes_its_answer_slowly_but_steadily_gets_all_of_it() {
    let host = start("[host.timeouts]\nhead = \"100ms\"\nwrite = \"2s\"").await;
    let mut stream = connect_narrow(&host).await;
    let bytes = 8_000_000;
    send(&mut stream, &format!("GET /body?bytes={bytes} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"))
        .await;
    let began = Instant::now();
    let mut taken = 0;
    let mut piece = vec![0; 64 << 10];
    loop {
        match stream.read(&mut piece).await {
            Ok(0) => break,
            Ok(length) => taken += length,
            Err(error) => panic!("broken off after {taken} bytes and {:?}: {error}", began.elapsed()),
        }
        // Slowness is the subject: many times `head` for the whole, far less than `write` for each piece.
        if began.elapsed() < Duration::from_millis(800) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert!(taken > bytes, "broken off after {taken} bytes and {:?}", began.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_ends_the_call() {
    let host = start("").await;
    for path in ["/loop", "/sleep?ms=60000"] {
        let mut stream = connect(&host).await;
        send(&mut stream, &format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")).await;
        host.wait_until("the call runs", async || host.metric(IN_FLIGHT) == 1.0).await;
        let hung_up = Instant::now();
        drop(stream);
        until_idle(&host).await;
        // Neither limit was what ended it.
        assert!(hung_up.elapsed() < Duration::from_secs(8), "{path}: {:?}", hung_up.elapsed());
        let line = host
            .wait_for_log("the access line", |line| path.starts_with(line["path"].as_str().unwrap_or("-")))
            .await;
        assert_eq!((&line["status"], &line["blame"]), (&499.into(), &"client".into()), "{line}");
    }
    host.get("/ok").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_when_all_connections_are_taken_waits_and_is_served() {
    let host = start("connections = 2\nconnections-per-client = 2").await;
    let first = connect(&host).await;
    let _second = connect(&host).await;
    host.wait_until("both are taken", async || host.metric("jackfield_connections") == 2.0).await;
    let mut third = connect(&host).await;
    send(&mut third, "GET /ok HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    let early = tokio::time::timeout(Duration::from_millis(150), third.readable()).await;
    assert!(early.is_err(), "it is served beyond the limit");
    drop(first);
    let answer = until_closed(&mut third).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_client_that_opens_no_window_is_cut_and_its_permit_is_free() {
    // Also of an answer that is one piece, which HTTP/2 has as soon as there is room for a byte of it.
    for bytes in [LARGE, 10_000] {
        let host = start("[host.timeouts]\nhead = \"100ms\"\nwrite = \"200ms\"").await;
        let stream = connect(&host).await;
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut sender, connection) = hyper::client::conn::http2::Builder::new(executor)
            .initial_stream_window_size(1)
            .handshake(hyper_util::rt::TokioIo::new(stream))
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let request = http::Request::get(format!("http://a/body?bytes={bytes}"));
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        until_idle(&host).await;
        host.get("/ok").await.expect(200);
        host.wait_until("it is counted as stalled", async || host.metric(STALLED) == 1.0).await;
        connection.abort();
    }
}
