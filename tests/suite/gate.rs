//! The protocol gate: what is no good HTTP, or HTTP that two programs could read differently, goes no further.

use std::collections::BTreeMap;

use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jackfield_tests::{Host, Site};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// One tenant of a host name, one of every other.
fn site() -> Site {
    Site::default()
        .tenant("shop", ["shop.example"])
        .plugin("shop", "guest_misbehave.wasm")
        .route("/{*all}")
        .tenant("rest", ["*"])
        .plugin("rest", "guest_misbehave.wasm")
        .route("/ok")
}

/// One answer of a connection, as it was on the wire.
#[derive(Debug)]
struct Wire {
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

impl Wire {
    /// All the answers that a connection gave, each with its `content-length`.
    fn all(text: &str) -> Vec<Self> {
        let mut rest = text;
        let mut answers = Vec::new();
        while !rest.is_empty() {
            let (head, after) = rest.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
            let (line, fields) = head.split_once("\r\n").unwrap_or((head, ""));
            let status = line.split(' ').nth(1).and_then(|status| status.parse().ok());
            let headers: BTreeMap<_, _> = fields
                .lines()
                .filter_map(|field| field.split_once(": "))
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
            let (body, after) = after.split_at(length);
            let status = status.unwrap_or_else(|| panic!("no status: {text:?}"));
            answers.push(Self { status, headers, body: body.into() });
            rest = after;
        }
        answers
    }

    /// The only answer of a connection.
    #[track_caller]
    fn only(text: &str) -> Self {
        let mut answers = Self::all(text);
        assert_eq!(answers.len(), 1, "{text}");
        answers.remove(0)
    }

    #[track_caller]
    fn expect_problem(&self, status: u16, problem: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers.get("content-type").map(String::as_str), Some("application/problem+json"));
        let document: Value = serde_json::from_str(&self.body).expect("a problem is JSON");
        assert_eq!(document["type"], format!("urn:jackfield:problem:{problem}"), "{self:?}");
        assert_eq!(document["status"], status, "{self:?}");
        assert!(document["title"].is_string() && document["detail"].is_string(), "{self:?}");
        assert_eq!(document["request-id"], self.request_id(), "{self:?}");
    }

    #[track_caller]
    fn request_id(&self) -> &str {
        self.headers.get("x-request-id").unwrap_or_else(|| panic!("no request id: {self:?}"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_clear_http_is_refused_with_a_problem_and_a_log_line() {
    let host = Host::start(&site()).await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: shop.example", "x".repeat(9000));
    let long_query = format!("GET /ok?{} HTTP/1.1\r\nhost: shop.example", "x".repeat(9000));
    let cases: [(&[u8], u16, &str); 25] = [
        (b"GET /ok HTTP/1.1", 400, "bad-request"),
        (b"GET /ok HTTP/1.1\r\nhost: shop.example\r\nhost: shop.example", 400, "bad-request"),
        (b"GET /ok HTTP/1.1\r\nhost: shop.example\r\nhost: other.example", 400, "bad-request"),
        (b"GET /ok HTTP/1.1\r\nhost: shop example", 400, "bad-request"),
        (b"GET /ok HTTP/1.1\r\nhost: shop.example/x", 400, "bad-request"),
        (b"GET /ok HTTP/1.1\r\nhost: shop.example:99999", 400, "bad-request"),
        (b"GET /ok HTTP/1.1\r\nhost: shop.example:+80", 400, "bad-request"),
        (b"GET /ok HTTP/1.1\r\nhost: :80", 400, "bad-request"),
        (b"GET /ok HTTP/1.1\r\nhost: caf\xc3\xa9.example", 400, "bad-request"),
        (b"GET /ok HTTP/1.1\r\nhost: user@shop.example", 400, "bad-request"),
        (
            b"GET http://user:word@shop.example/ok HTTP/1.1\r\nhost: user:word@shop.example",
            400,
            "bad-request",
        ),
        (b"GET http://user@shop.example/ok HTTP/1.1\r\nhost: shop.example", 400, "bad-request"),
        (b"GET shop.example HTTP/1.1\r\nhost: shop.example", 400, "bad-request"),
        (b"GET * HTTP/1.1\r\nhost: shop.example", 400, "bad-request"),
        (b"GET /caf\xc3\xa9 HTTP/1.1\r\nhost: shop.example", 400, "bad-request"),
        (b"POST /echo HTTP/1.1\r\nhost: shop.example\r\nexpect: 200-ok", 417, "expectation"),
        (b"POST /echo HTTP/1.1\r\nhost: shop.example\r\nexpect: 100-continue, x", 417, "expectation"),
        (
            b"POST /echo HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: gzip, chunked",
            501,
            "unsupported-coding",
        ),
        (
            b"POST /echo HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked, chunked",
            501,
            "unsupported-coding",
        ),
        (
            b"POST /echo HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked",
            501,
            "unsupported-coding",
        ),
        (b"TRACE /ok HTTP/1.1\r\nhost: shop.example", 501, "unsupported-method"),
        (b"CONNECT shop.example:443 HTTP/1.1\r\nhost: shop.example:443", 501, "unsupported-method"),
        (long.as_bytes(), 414, "target-length"),
        (long_query.as_bytes(), 414, "target-length"),
        // Two faults: the first that is looked for.
        (b"TRACE /ok HTTP/1.1", 400, "bad-request"),
    ];
    for (head, status, problem) in cases {
        // Shown only if an expectation fails.
        println!("{}", head.escape_ascii());
        let request = [head, b"\r\nconnection: close\r\n\r\n"].concat();
        let answer = Wire::only(&host.raw(&request).await);
        answer.expect_problem(status, problem);
        let line = host.access_line(answer.request_id()).await;
        assert_eq!(line["status"], status, "{line}");
        assert_eq!((&line["problem"], &line["blame"]), (&problem.into(), &"client".into()), "{line}");
        assert_eq!((&line["tenant"], &line["plugin"]), (&Value::Null, &Value::Null), "{line}");
    }
    assert_eq!(host.metric(r#"jackfield_calls_in_flight{tenant="shop",plugin="shop"}"#), 0.0);
    let calls = host.metrics().lines().filter(|line| line.starts_with("jackfield_calls_total{")).count();
    assert_eq!(calls, 0, "{}", host.metrics());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_at_all_is_refused_like_the_rest_and_ends_its_connection() {
    let host = Host::start(&site()).await;
    let long = format!("GET /{} HTTP/1.1\r\nhost: shop.example", "x".repeat(70_000));
    let large = format!("GET /ok HTTP/1.1\r\nhost: shop.example\r\nx-a: {}", "x".repeat(70_000));
    let many = format!("GET /ok HTTP/1.1\r\nhost: shop.example{}", "\r\nx-a: 1".repeat(200));
    let cases: [(&[u8], u16, &str); 12] = [
        (b"GET /ok HTTP/1.1\r\nhost: shop.example\r\nx a: 1", 400, "bad-request"),
        (b"GET /ok HTTP/1.1\r\nhost: shop.example\r\nx-a : 1", 400, "bad-request"),
        (b"GET /ok HTTP/1.1\r\nhost: shop.example\r\nx-a: 1\r\n folded", 400, "bad-request"),
        (b"GET /ok HTTP/1.1\r\nhost: shop.example\r\nx-a: \0", 400, "bad-request"),
        (b"GET /ok HTTP/3.0\r\nhost: shop.example", 505, "version"),
        (b"GET /a b HTTP/1.1\r\nhost: shop.example", 400, "bad-request"),
        (b"POST /echo HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: gzip", 501, "unsupported-coding"),
        (
            b"POST /echo HTTP/1.1\r\nhost: shop.example\r\ncontent-length: 1\r\ncontent-length: 2",
            400,
            "bad-request",
        ),
        (b"POST /echo HTTP/1.1\r\nhost: shop.example\r\ncontent-length: +1", 400, "bad-request"),
        (long.as_bytes(), 414, "target-length"),
        (large.as_bytes(), 431, "headers"),
        (many.as_bytes(), 431, "headers"),
    ];
    for (head, status, problem) in cases {
        println!("{}", head.get(..80).unwrap_or(head).escape_ascii());
        // What follows is never answered: nobody knows where it would begin.
        let following = b"\r\n\r\nGET /ok HTTP/1.1\r\nhost: shop.example\r\n\r\n";
        let mut stream = TcpStream::connect(host.address()).await.unwrap();
        // The host may have closed before it was given everything.
        let _ = stream.write_all(&[head, following].concat()).await;
        let mut answer = Vec::new();
        let read = stream.read_to_end(&mut answer);
        let _ = tokio::time::timeout(jackfield_tests::PATIENCE, read).await.expect("the host closes");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let answer = Wire::only(&answer);
        answer.expect_problem(status, problem);
        assert_eq!(answer.headers.get("connection").map(String::as_str), Some("close"), "{answer:?}");
    }
    assert!(!host.metrics().contains("jackfield_calls_total{"), "{}", host.metrics());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_absolute_target_is_served_by_whom_it_names() {
    let host = Host::start(&site()).await;
    for head in [
        "GET http://shop.example/echo/x?y HTTP/1.1\r\nhost: shop.example",
        "GET http://Shop.Example/echo/x?y HTTP/1.1\r\nhost: shop.EXAMPLE",
        // The target counts, and the plugin is told so.
        "GET http://shop.example/echo/x?y HTTP/1.1\r\nhost: other.example",
    ] {
        let answer = Wire::only(&host.raw(format!("{head}\r\nconnection: close\r\n\r\n")).await);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(answer.body.contains("path=/echo/x\nquery=Some(\"y\")\n"), "{answer:?}");
        assert!(answer.body.to_lowercase().contains("header host: shop.example\n"), "{answer:?}");
        assert_eq!(host.access_line(answer.request_id()).await["tenant"], "shop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_is_served_and_need_not_name_a_host() {
    let host = Host::start(&site()).await;
    // The connection is closed after the answer, for nobody asked to keep it.
    for (request, status, tenant) in [
        ("GET /ok HTTP/1.0\r\n\r\n", 200, "rest"),
        ("GET /status?code=201 HTTP/1.0\r\nhost: shop.example\r\n\r\n", 201, "shop"),
        ("GET /status?code=201 HTTP/1.0\r\n\r\n", 404, "rest"),
    ] {
        let text = host.raw(request).await;
        assert!(text.starts_with("HTTP/1.0 "), "{text}");
        let answer = Wire::only(&text);
        assert_eq!(answer.status, status, "{text}");
        let line = host.access_line(answer.request_id()).await;
        assert_eq!((&line["tenant"], &line["version"]), (&tenant.into(), &"1.0".into()), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_come_at_once_on_one_connection_are_answered_in_order() {
    let host = Host::start(&site()).await;
    let mut requests = String::new();
    for (path, more) in [
        ("/status?code=201", ""),
        ("/error", ""),
        ("/%zz", ""),
        ("/ok", "expect: other\r\n"),
        ("/ok", "connection: close\r\n"),
    ] {
        requests += &format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n{more}\r\n");
    }
    let answers = Wire::all(&host.raw(&requests).await);
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [201, 500, 400, 417, 200], "{answers:?}");
    assert_eq!(answers[4].body, "ok\n");
    let ids: std::collections::BTreeSet<_> = answers.iter().map(Wire::request_id).collect();
    assert_eq!(ids.len(), 5, "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_kept_for_the_next_request() {
    let host = Host::start(&site()).await;
    let stream = TcpStream::connect(host.address()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Full<bytes::Bytes>>(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    for (path, status) in [("/ok", 200), ("/trap", 500), ("/", 404), ("/ok", 200)] {
        sender.ready().await.unwrap();
        let request = Request::get(path).header("host", "shop.example").body(Full::default()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
        answer.into_body().collect().await.unwrap();
    }
    assert_eq!(host.metric("jackfield_connections"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_nobody_reads_is_never_taken_for_a_request() {
    let host = Host::start(&site()).await;
    let hidden = "GET /status?code=299 HTTP/1.1\r\nhost: shop.example\r\n\r\n";
    for refused in
        ["POST /nowhere HTTP/1.1\r\nhost: other.example", "TRACE /ok HTTP/1.1\r\nhost: shop.example"]
    {
        let request = format!(
            "{refused}\r\ncontent-length: {}\r\n\r\n{hidden}\
             GET /ok HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n",
            hidden.len(),
        );
        let answers = Wire::all(&host.raw(&request).await);
        assert!(matches!(answers[0].status, 404 | 501), "{answers:?}");
        // The next request is answered, or the connection is closed before it.
        assert!(answers[1..].iter().all(|answer| answer.body == "ok\n") && answers.len() <= 2, "{answers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_in_chunks_arrives_whole() {
    let host = Host::start(&site()).await;
    let request = "POST /echo HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\
                   transfer-encoding: Chunked\r\n\r\n\
                   6;note=1\r\nhello \r\n5\r\nworld\r\n0\r\nx-trailer: 1\r\n\r\n";
    let answer = Wire::only(&host.raw(request).await);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.body.ends_with("body-bytes=11\nhello world"), "{answer:?}");
    assert!(!answer.body.contains("transfer-encoding") && !answer.body.contains("x-trailer"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_asks_first_is_told_to_go_on_only_where_its_body_is_wanted() {
    let host = Host::start(&site()).await;
    let head = |path| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\
             expect: 100-Continue\r\ncontent-length: 5\r\n\r\n"
        )
    };
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    stream.write_all(head("/echo").as_bytes()).await.unwrap();
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut told = vec![0; go_on.len()];
    tokio::time::timeout(jackfield_tests::PATIENCE, stream.read_exact(&mut told)).await.unwrap().unwrap();
    assert_eq!(told, go_on);
    stream.write_all(b"hello").await.unwrap();
    let mut rest = String::new();
    tokio::time::timeout(jackfield_tests::PATIENCE, stream.read_to_string(&mut rest)).await.unwrap().unwrap();
    assert!(Wire::only(&rest).body.ends_with("body-bytes=5\nhello"), "{rest}");

    // Its body never comes, and is not asked for.
    Wire::only(&host.raw(head("/%zz")).await).expect_problem(400, "bad-request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_request_id_is_kept_and_any_other_replaced() {
    let host = Host::start(&site()).await;
    let longest = "i".repeat(128);
    for id in ["a", "2f6c/1:~!\"\\", &longest] {
        let answer = host.request("GET", "/ok").header("x-request-id", id).send().await;
        assert_eq!(answer.expect(200).request_id(), id);
        assert_eq!(host.access_line(id).await["status"], 200);
    }
    let too_long = "i".repeat(129);
    for id in ["", "two words", "tab\tbed", "caf\u{e9}", &too_long] {
        let answer = host.request("GET", "/ok").header("x-request-id", id).send().await;
        let made = answer.expect(200).request_id();
        assert!(made != id && !made.is_empty() && made.bytes().all(|byte| byte.is_ascii_graphic()), "{made}");
        assert_eq!(host.access_line(made).await["status"], 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_sees_the_id_that_the_log_and_the_caller_see() {
    let host = Host::start(&site()).await;
    // The second would hide the field from whoever honours it; the third is no id.
    for (connection, id) in
        [("keep-alive", "mine"), ("keep-alive, x-request-id", "mine"), ("keep-alive", "two words")]
    {
        let request = host.request("GET", "/echo").header("host", "shop.example");
        let answer = request.header("connection", connection).header("x-request-id", id).send().await;
        let text = answer.expect(200).text();
        let seen: Vec<_> =
            text.lines().filter_map(|line| line.strip_prefix("header x-request-id: ")).collect();
        assert_eq!(seen, [answer.request_id()], "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_its_request_id() {
    let host = Host::start(&site()).await;
    for (method, name, path, status) in [
        ("GET", "shop.example", "/ok", 200),
        ("HEAD", "shop.example", "/ok", 200),
        ("GET", "shop.example", "/status?code=304", 304),
        ("GET", "shop.example", "/status?code=204", 204),
        ("GET", "shop.example", "/%00", 400),
        ("GET", "other.example", "/nowhere", 404),
        ("GET", "shop.example", "/trap", 500),
        ("TRACE", "shop.example", "/ok", 501),
        ("GET", "shop.example", "/status?code=99", 502),
        ("GET", "shop.example", "/loop", 504),
    ] {
        let id = format!("id-{status}-{method}");
        let request = host.request(method, path).header("host", name).header("x-request-id", &id);
        assert_eq!(request.send().await.expect(status).header_all("x-request-id"), [id.as_str()]);
    }
    // A plugin cannot give another one.
    let answer = host
        .request("GET", "/header?name=x-request-id&value=forged")
        .header("host", "shop.example")
        .header("x-request-id", "mine")
        .send()
        .await;
    assert_eq!(answer.expect(200).header_all("x-request-id"), ["mine"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_without_tls_is_served_with_many_requests_at_once() {
    let host = Host::start(&site()).await;
    let stream = TcpStream::connect(host.address()).await.unwrap();
    let (sender, connection) = hyper::client::conn::http2::handshake::<_, _, Full<bytes::Bytes>>(
        TokioExecutor::new(),
        TokioIo::new(stream),
    )
    .await
    .unwrap();
    tokio::spawn(connection);
    let ask = async |request: http::request::Builder| {
        let request = request.body(Full::from("hello")).unwrap();
        let (head, body) = sender.clone().send_request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let id = head.headers["x-request-id"].to_str().unwrap().to_owned();
        (head.status.as_u16(), id, String::from_utf8_lossy(&body).into_owned())
    };
    let echo = |number: u32| Request::post(format!("http://shop.example/echo/{number}"));
    let (first, second, refused) = tokio::join!(
        ask(echo(1)),
        ask(echo(2)),
        ask(Request::post("http://other.example/nowhere").header("x-request-id", "h2-refused")),
    );
    for ((status, id, body), number) in [(first, 1), (second, 2)] {
        assert_eq!(status, 200, "{body}");
        assert!(body.contains(&format!("path=/echo/{number}\n")) && body.ends_with("\nhello"), "{body}");
        let line = host.access_line(&id).await;
        assert_eq!((&line["version"], &line["host"]), (&"2".into(), &"shop.example".into()), "{line}");
    }
    let (status, id, body) = refused;
    assert_eq!((status, id.as_str()), (404, "h2-refused"), "{body}");

    for (request, expected) in [
        (echo(3).header("host", "other.example"), 400),
        (Request::post("http://user@shop.example/ok"), 400),
        (echo(4).header("expect", "other"), 417),
        (Request::builder().method("TRACE").uri("http://shop.example/ok"), 501),
    ] {
        let (status, id, body) = ask(request).await;
        assert_eq!(status, expected, "{body}");
        let document: Value = serde_json::from_str(&body).expect("a problem is JSON");
        assert_eq!(document["request-id"], id);
    }
    // None of that ended the connection.
    assert_eq!(ask(echo(5)).await.0, 200);
}
