//! The deadlines of a connection, each at its edge: not before, and not much after.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use http::Version;
use http_body_util::BodyExt;
use jackfield_tests::{Host, Options, PATIENCE, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

const REQUEST: &[u8] = b"GET /ok HTTP/1.1\r\nhost: a\r\n\r\n";

async fn start(timeouts: &str) -> Host {
    let host = format!("[host.timeouts]\n{timeouts}");
    let site = Site::shop().plugin("guest", "guest_misbehave.wasm").route("/{*rest}");
    Host::start_with(&site, Options { host, ..Options::default() }).await
}

async fn connect(host: &Host) -> TcpStream {
    TcpStream::connect(host.address()).await.unwrap()
}

async fn ask(stream: &mut TcpStream) {
    stream.write_all(REQUEST).await.unwrap();
    let mut answer = [0; 4096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200 "), "{}", answer[..read].escape_ascii());
}

/// What comes until the connection ends, and how long that took.
async fn until_closed(stream: &mut TcpStream) -> (String, Duration) {
    let began = Instant::now();
    let mut answer = Vec::new();
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("it is closed");
    (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
}

async fn expect_closed(host: &Host, reason: &str) {
    let series = format!("jackfield_connections_closed_total{{reason=\"{reason}\"}}");
    host.wait_until(&format!("it is counted as {reason}"), async || host.metric(&series) == 1.0).await;
}

/// The clock of the one who waits begins a moment after the host's.
const A_MOMENT: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_closed_after_head_and_not_before() {
    let host = start("head = \"400ms\"").await;
    let (answer, after) = until_closed(&mut connect(&host).await).await;
    assert!(answer.is_empty() && after + A_MOMENT >= Duration::from_millis(400), "{after:?}: {answer}");
    expect_closed(&host, "silent").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_head_is_answered_408_after_head_however_it_drips() {
    let host = start("head = \"600ms\"").await;
    let mut stream = connect(&host).await;
    // The time of a head is that of its first byte: those that follow win none.
    let began = Instant::now();
    let mut dripping = REQUEST[..20].iter();
    let answer = loop {
        if let Some(byte) = dripping.next() {
            stream.write_all(std::slice::from_ref(byte)).await.unwrap();
        }
        let mut answer = [0; 4096];
        let read = stream.read(&mut answer);
        if let Ok(read) = tokio::time::timeout(Duration::from_millis(60), read).await {
            break String::from_utf8_lossy(&answer[..read.unwrap()]).into_owned();
        }
        assert!(began.elapsed() < PATIENCE);
    };
    assert!(began.elapsed() + A_MOMENT >= Duration::from_millis(600), "{:?}", began.elapsed());
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && answer.contains("urn:jackfield:problem:request-timeout"),
        "{answer}"
    );
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    // A second one on a connection that has been idle for longer than a head may take has its whole time, too.
    let host = start("head = \"600ms\"\nidle = \"10s\"").await;
    let mut stream = connect(&host).await;
    ask(&mut stream).await;
    let idle = tokio::time::timeout(Duration::from_millis(900), stream.read(&mut [0; 16])).await;
    assert!(idle.is_err(), "an idle connection is no late head");
    stream.write_all(&REQUEST[..10]).await.unwrap();
    let (answer, after) = until_closed(&mut stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 408 ") && after + A_MOMENT >= Duration::from_millis(600),
        "{after:?}: {answer}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_without_a_request_is_closed_after_idle_and_not_before() {
    let host = start("idle = \"500ms\"").await;
    let mut stream = connect(&host).await;
    for _ in 0..3 {
        ask(&mut stream).await;
        let early = tokio::time::timeout(Duration::from_millis(250), stream.read(&mut [0; 16])).await;
        assert!(early.is_err(), "it is closed too early");
    }
    ask(&mut stream).await;
    let (answer, after) = until_closed(&mut stream).await;
    assert!(answer.is_empty() && after + A_MOMENT >= Duration::from_millis(500), "{after:?}: {answer}");
    expect_closed(&host, "idle").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_takes_no_request_beyond_its_age_and_finishes_the_one_it_is_in() {
    let host = start("age = \"600ms\"").await;
    let began = Instant::now();
    let mut stream = connect(&host).await;
    ask(&mut stream).await;
    stream.write_all(b"GET /sleep?ms=1200 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let (answer, _) = until_closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("slept\n"), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    assert!(began.elapsed() >= Duration::from_millis(1200));
    expect_closed(&host, "aged").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_has_rested_goes_on_as_if_nothing_had_been() {
    let host = start("idle = \"9s\"").await;
    let mut kept = Vec::new();
    for _ in 0..4 {
        let mut stream = connect(&host).await;
        ask(&mut stream).await;
        kept.push(stream);
    }
    // Long enough for hyper to be gone; nothing tells from outside.
    tokio::time::sleep(Duration::from_secs(6)).await;
    for stream in &mut kept {
        ask(stream).await;
        ask(stream).await;
    }
    tokio::time::sleep(Duration::from_secs(6)).await;
    let [first, second, third, fourth] = kept.as_mut_slice() else { panic!("four") };
    // Half of a head, and the rest later.
    first.write_all(&REQUEST[..7]).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    first.write_all(&REQUEST[7..]).await.unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    // What is no HTTP is refused as ever.
    second.write_all(b"GET /ok HTTP/1.1\n\n").await.unwrap();
    let (answer, _) = until_closed(second).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    // And the deadline of those that say nothing is that of their last request.
    let (answer, after) = until_closed(third).await;
    assert!(answer.is_empty() && after + A_MOMENT >= Duration::from_secs(2), "{after:?}: {answer}");
    let (answer, _) = until_closed(fourth).await;
    assert!(answer.is_empty());
    let idle = r#"jackfield_connections_closed_total{reason="idle"}"#;
    host.wait_until("they are counted as idle", async || host.metric(idle) == 2.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_its_answer_did_not_wait_for_is_never_taken_for_a_request_however_late_it_comes() {
    let site = Site::shop().plugin("guest", "guest_http.wasm").route("/{*rest}");
    let host = Host::start(&site).await;
    let mut stream = connect(&host).await;
    let hidden = "GET /info HTTP/1.1\nhost: hidden.example\n\n";
    let head =
        format!("POST /early-then-read HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n", hidden.len());
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    assert!(answer[..read].starts_with(b"HTTP/1.1 200 "), "{}", answer[..read].escape_ascii());
    // As long as an idle connection takes to rest, and more.
    tokio::time::sleep(Duration::from_secs(7)).await;
    stream.write_all(hidden.as_bytes()).await.unwrap();
    stream.write_all(b"GET /info HTTP/1.1\r\nhost: seen.example\r\nconnection: close\r\n\r\n").await.unwrap();
    let (rest, _) = until_closed(&mut stream).await;
    assert!(!rest.contains("hidden.example"), "{rest}");
    assert!(rest.matches("HTTP/1.1 ").count() <= 1, "{rest}");
    assert!(!host.log().iter().any(|line| line["host"] == "hidden.example"));
}

/// What a slow reader takes in each of its [`PAUSE`]s, some 800 KiB a second.
const SIP: usize = 16 << 10;
const PAUSE: Duration = Duration::from_millis(20);

/// How long a client may take too little.
const RATE_PERIOD: Duration = Duration::from_secs(10);

/// Reads an answer in sips until it ends.
async fn sip(address: SocketAddr, version: Version) {
    let socket = TcpSocket::new_v4().unwrap();
    // What the system holds for it counts as taken.
    socket.set_recv_buffer_size(u32::try_from(SIP).unwrap()).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    if version == Version::HTTP_2 {
        let executor = hyper_util::rt::TokioExecutor::new();
        let (mut sender, connection) = hyper::client::conn::http2::Builder::new(executor)
            .initial_stream_window_size(u32::try_from(SIP).unwrap())
            .handshake(hyper_util::rt::TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let request = http::Request::get("http://a/body?bytes=24000000");
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        while let Some(Ok(_)) = body.frame().await {
            tokio::time::sleep(PAUSE).await;
        }
        return;
    }
    stream.write_all(b"GET /body?bytes=24000000 HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    let mut sip = [0; SIP];
    stream.read_exact(&mut sip[..13]).await.unwrap();
    assert_eq!(&sip[..13], b"HTTP/1.1 200 ");
    while let Ok(1..) = stream.read(&mut sip).await {
        tokio::time::sleep(PAUSE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_less_of_an_answer_than_rate_is_cut_after_a_while_and_who_takes_more_is_not() {
    let site = Site::shop()
        .plugin("guest", "guest_misbehave.wasm")
        .limits("cpu = '10s', wall = '60s', response-body = '32MiB'")
        .route("/{*rest}");
    let start = async |rate| {
        // A connection is looked at as often as its shortest deadline is long.
        let host = format!("[host.timeouts]\nhead = \"1s\"\nrate = \"{rate}\"");
        Host::start_with(&site, Options { host, ..Options::default() }).await
    };
    // All of the answer is less than what is due in a period.
    let (demanding, lenient) = (start("4MiB/s").await, start("32KiB/s").await);
    let began = Instant::now();
    let sippers = |host: &Host| {
        let address = host.address();
        JoinSet::from_iter([Version::HTTP_11, Version::HTTP_2].map(|version| sip(address, version)))
    };
    let (_cut, mut served) = (sippers(&demanding), sippers(&lenient));
    let stalled = r#"jackfield_connections_closed_total{reason="stalled"}"#;
    demanding.wait_until("both are cut", async || demanding.metric(stalled) == 2.0).await;
    assert!(began.elapsed() >= RATE_PERIOD, "{:?}", began.elapsed());
    tokio::time::sleep((2 * RATE_PERIOD).saturating_sub(began.elapsed())).await;
    assert_eq!(lenient.metric(stalled), 0.0);
    assert!(served.try_join_next().is_none(), "who takes enough goes on");
}
