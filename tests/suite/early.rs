//! Answers that come before their request was read to its end: each is read whole, and its client is never left to find
//! out by itself that its connection is closed.

use std::time::Duration;

use jackfield_tests::{Host, Options, PATIENCE, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Whoever answers early: the host for want of a route, a method or room, a filter, a plugin of either kind.
fn site() -> Site {
    Site::default()
        .tenant("lean", ["lean"])
        .plugin("deny", "guest_filters.wasm")
        .config("name = 'deny', mode = 'deny'")
        .plugin("guest", "guest_misbehave.wasm")
        .limits("request-body = '1KiB'")
        .route("/echo")
        .route("/ok")
        .with("methods = ['GET']")
        .route("/denied")
        .with("filters = ['deny']")
        .tenant("http", ["http"])
        .plugin("guest", "guest_http.wasm")
        .limits("request-body = '16MiB'")
        .route("/{*rest}")
}

/// How much is read of what nobody wants, so that the connection can be kept.
const KEPT_BYTES: usize = 256 << 10;

/// A client that keeps its connection unless it was told not to.
struct KeepAlive<'a> {
    host: &'a Host,
    stream: TcpStream,
    connections: usize,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn is_last(&self) -> bool {
        self.head.to_ascii_lowercase().contains("\r\nconnection: close\r\n")
    }
}

impl<'a> KeepAlive<'a> {
    async fn connect(host: &'a Host) -> Self {
        let stream = TcpStream::connect(host.address()).await.unwrap();
        Self { host, stream, connections: 1 }
    }

    /// Sends all of a request, then takes its answer, and goes to another connection if it is told to.
    async fn ask(&mut self, head: &str, body: &[u8]) -> Answer {
        let what = head.lines().next().unwrap_or_default();
        let ask = async {
            self.stream.write_all(&[head.as_bytes(), b"\r\n\r\n", body].concat()).await?;
            self.read().await
        };
        let answer =
            tokio::time::timeout(PATIENCE, ask).await.unwrap_or_else(|_| panic!("{what}: no answer"));
        let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
        if answer.is_last() {
            let rest = tokio::time::timeout(PATIENCE, self.stream.read(&mut [0])).await;
            assert_eq!(rest.expect("it is closed").unwrap_or_default(), 0, "{what}");
            self.stream = TcpStream::connect(self.host.address()).await.unwrap();
            self.connections += 1;
        }
        answer
    }

    /// An answer with a `content-length`.
    async fn read(&mut self) -> std::io::Result<Answer> {
        let mut came = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&came).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let head = format!("{head}\r\n");
                let length = head.to_ascii_lowercase();
                let length = length.split("content-length: ").nth(1).expect("it has a length");
                let length: usize =
                    length.split("\r\n").next().and_then(|length| length.parse().ok()).unwrap();
                if body.len() == length {
                    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
                    return Ok(Answer { status, head, body: body.into() });
                }
            }
            let mut piece = [0; 4096];
            match self.stream.read(&mut piece).await? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                read => came.extend_from_slice(&piece[..read]),
            }
        }
    }
}

/// Requests that are answered before their body was read, and how.
const EARLY: [(&str, &str, u16); 6] = [
    ("lean", "/none", 404),
    ("lean", "/ok", 405),
    ("lean", "/%zz", 400),
    ("lean", "/denied", 403),
    ("lean", "/echo", 413),
    ("http", "/early", 401),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_keeps_its_connection_loses_no_request_behind_an_early_answer() {
    let host = Host::start(&site()).await;
    for (name, path, status) in EARLY {
        for (bytes, is_kept) in
            [(2000, true), (KEPT_BYTES, true), (KEPT_BYTES + 1, false), (5_000_000, false)]
        {
            let mut client = KeepAlive::connect(&host).await;
            for _ in 0..3 {
                let head = format!("POST {path} HTTP/1.1\r\nhost: {name}\r\ncontent-length: {bytes}");
                let answer = client.ask(&head, &vec![b'x'; bytes]).await;
                assert_eq!(answer.status, status, "{path}: {}", answer.body);
                assert_eq!(answer.is_last(), !is_kept, "{path}, {bytes} bytes: {}", answer.head);
                let next = client.ask("GET /ok HTTP/1.1\r\nhost: lean", b"").await;
                assert_eq!((next.status, next.body.as_str()), (200, "ok\n"), "behind {path}, {bytes} bytes");
            }
            assert_eq!(client.connections, if is_kept { 1 } else { 4 }, "{path}, {bytes} bytes");
        }
        // Of chunks nobody knows how many come.
        let mut client = KeepAlive::connect(&host).await;
        let head = format!("POST {path} HTTP/1.1\r\nhost: {name}\r\ntransfer-encoding: chunked");
        let begun = [b"800\r\n".as_slice(), &[b'x'; 1500]].concat();
        let answer = client.ask(&head, &begun).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.body);
        assert!(answer.is_last(), "{path}: {}", answer.head);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_answers_when_it_has_read_enough_keeps_the_connection_of_a_short_rest() {
    let host = Host::start(&site()).await;
    for (bytes, is_kept) in [(100_000, true), (5_000_000, false)] {
        let mut client = KeepAlive::connect(&host).await;
        let head = format!("POST /read-some?bytes=10 HTTP/1.1\r\nhost: http\r\ncontent-length: {bytes}");
        let answer = client.ask(&head, &vec![b'x'; bytes]).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "read=10\n"));
        assert_eq!(answer.is_last(), !is_kept, "{bytes} bytes: {}", answer.head);
        assert_eq!(client.ask("GET /ok HTTP/1.1\r\nhost: lean", b"").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_answer_is_read_whole_though_an_upgrade_was_asked_for() {
    let host = Host::start(&site()).await;
    let upgrade = "connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk";
    for _ in 0..20 {
        let mut client = KeepAlive::connect(&host).await;
        let head = format!("POST /echo HTTP/1.1\r\nhost: lean\r\n{upgrade}\r\ncontent-length: 5000000");
        assert_eq!(client.ask(&head, &vec![b'x'; 5_000_000]).await.status, 413);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_that_does_not_come_is_not_waited_for_for_long() {
    let host = Host::start(&site()).await;
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    stream.write_all(b"POST /none HTTP/1.1\r\nhost: lean\r\ncontent-length: 2000\r\n\r\nless").await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("it is closed").unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    host.wait_until("no connection is left", async || host.metric("jackfield_connections") == 0.0).await;
}

const GO_ON: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// A client that sends its body only when it is told to go on.
async fn asking_first(host: &Host, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: http\r\nconnection: close\r\nexpect: 100-continue\r\ncontent-length: 5\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn rest_of(mut stream: TcpStream) -> String {
    let mut rest = Vec::new();
    // Broken off, it may be reset.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("it is closed");
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_answers_before_it_reads_has_its_caller_told_to_go_on() {
    let host = Host::start(&site()).await;
    for (path, end) in [
        ("/echo", "\r\nhello\r\n0\r\n\r\n"),
        ("/shrug", "\r\nhello\r\n0\r\n\r\n"),
        ("/shrug?ms=200", "\r\nhello\r\n0\r\n\r\n"),
        // It waits for its first lines to be taken before it reads.
        ("/head-first", "bytes=5\n\r\n0\r\n\r\n"),
        ("/early-then-read", "answered\n"),
    ] {
        let mut stream = asking_first(&host, path).await;
        let mut told = vec![0; GO_ON.len()];
        let read = tokio::time::timeout(PATIENCE, stream.read_exact(&mut told)).await;
        read.unwrap_or_else(|_| panic!("{path}: it is told nothing")).unwrap();
        assert_eq!(String::from_utf8_lossy(&told), GO_ON, "{path}");
        stream.write_all(b"hello").await.unwrap();
        let answer = rest_of(stream).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with(end), "{path}: {answer:?}");
    }
    // Who does not want it does not ask for it.
    let answer = rest_of(asking_first(&host, "/early").await).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_to_a_body_that_never_came_is_never_whole() {
    let options = Options { host: "[host.timeouts]\nbody = \"300ms\"".into(), ..Options::default() };
    let host = Host::start_with(&site(), options).await;
    // Told to go on, or when the head is long gone.
    for path in ["/shrug", "/shrug?ms=1500"] {
        let answer = rest_of(asking_first(&host, path).await).await;
        assert!(!answer.ends_with("0\r\n\r\n"), "{path}: {answer:?}");
        let head = answer.strip_prefix(GO_ON).unwrap_or(&answer);
        assert_eq!(head.len() < answer.len(), path == "/shrug", "{answer:?}");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{path}: {answer:?}");
        let id = head.split("x-request-id: ").nth(1).and_then(|id| id.split("\r\n").next()).unwrap();
        let line = host.access_line(id).await;
        assert_eq!(
            (&line["problem"], &line["blame"]),
            (&"request-timeout".into(), &"client".into()),
            "{line}"
        );
    }
}

/// RFC 9113 §6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags, 0, 0, 0, stream], payload].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http_2_client_that_still_sends_reads_its_answer_before_any_reset() {
    let host = Host::start(&site()).await;
    for (name, path, status) in EARLY {
        let fields = [(":method", "POST"), (":scheme", "http"), (":authority", name), (":path", path)];
        let block = fields.map(|(field, value)| {
            let (field_bytes, value_bytes) = (field.len() as u8, value.len() as u8);
            [&[0, field_bytes], field.as_bytes(), &[value_bytes], value.as_bytes()].concat()
        });
        let mut stream = TcpStream::connect(host.address()).await.unwrap();
        let begin = [
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            frame(SETTINGS, 0, 0, &[]),
            frame(SETTINGS, 1, 0, &[]),
            frame(HEADERS, END_HEADERS, 1, &block.concat()),
            frame(DATA, 0, 1, &[b'x'; 2000]),
        ];
        stream.write_all(&begin.concat()).await.unwrap();
        let (mut ends, mut is_answered) = (Vec::new(), false);
        let converse = async {
            loop {
                let mut head = [0; 9];
                stream.read_exact(&mut head).await.unwrap();
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let mut payload = vec![0; length as usize];
                stream.read_exact(&mut payload).await.unwrap();
                let [_, _, _, kind, flags, _, _, _, id] = head;
                match (kind, id) {
                    (RST_STREAM, 1) => ends.push("reset"),
                    (HEADERS | DATA, 1) if flags & END_STREAM != 0 => {
                        ends.push("answer");
                        is_answered = true;
                        // It goes on for a while, and then asks for another thing.
                        for _ in 0..5 {
                            stream.write_all(&frame(DATA, 0, 1, &[b'x'; 2000])).await.unwrap();
                            tokio::time::sleep(Duration::from_millis(50)).await;
                        }
                        stream.write_all(&frame(DATA, END_STREAM, 1, b"end")).await.unwrap();
                        stream
                            .write_all(&frame(HEADERS, END_HEADERS | END_STREAM, 3, &block.concat()))
                            .await
                            .unwrap();
                    }
                    (HEADERS, 3) => return,
                    _ => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, converse).await.unwrap_or_else(|_| panic!("{path}: no answer"));
        // 413 is of the announced length alone, and none was announced here: then it is of what came.
        assert!(is_answered, "{path} {status}");
        assert_eq!(ends, ["answer"], "{path}");
    }
}
