//! What the host tells of itself and of its guests: the access log, guests' lines, metrics, probes.

use std::net::SocketAddr;

use jackfield_tests::{Host, Options, PATIENCE, Process, Site, guest};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn site() -> Site {
    Site::default()
        .tenant("shop", ["shop.example"])
        .plugin("broken", "guest_filters.wasm")
        .config("mode = 'error-response'")
        .plugin("books", "guest_misbehave.wasm")
        .limits("cpu = '2s'")
        .route("/{page}")
        .with("methods = ['GET', 'POST']")
        .route("/{page}")
        .with("headers = { x-plugin = 'filtered' }\nfilters = ['broken']")
        .plugin("chatty", "guest_misbehave.wasm")
        .limits("log-lines = 5, log-bytes = '100B', request-body = '10B', cpu = '20ms'")
        .route("/{page}")
        .with("headers = { x-plugin = 'chatty' }")
}

const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_one_line_of_the_access_log() {
    let host = Host::start(&site()).await;
    let answer = host
        .request("GET", "/status?code=201&token=a-secret")
        .header("host", "Shop.Example:80")
        .header("x-request-id", "the-one")
        .header("traceparent", TRACE)
        .send()
        .await;
    answer.expect(201);
    let mut line = host.access_line("the-one").await;
    let fields = line.as_object_mut().expect("a line is an object");
    let time = fields.remove("time").expect("a line has a time");
    assert!(time.as_str().is_some_and(|time| time.len() == 24 && time.ends_with('Z')), "{time}");
    let duration = fields.remove("duration-ms").expect("a line has a duration");
    assert!(duration.as_f64().is_some_and(|ms| ms > 0.0), "{duration}");
    let cpu = fields.remove("cpu-ms").expect("a line has the CPU of its calls");
    assert!(cpu.as_f64().is_some_and(|ms| ms > 0.0), "{cpu}");
    assert_eq!(
        line,
        json!({
            "level": "info", "message": "request", "method": "GET", "host": "shop.example", "path": "/status",
            "version": "1.1", "status": 201, "response-bytes": 7, "tenant": "shop", "plugin": "books",
            "route": "/{page}", "request-id": "the-one", "trace-id": "0af7651916cd43dd8448eb211c80319c",
            "client": "127.0.0.1",
        })
    );
    // A later request's line is there: had this one a second line, it would be too.
    let later = host.request("GET", "/ok").header("host", "shop.example").send().await;
    host.access_line(later.expect(200).request_id()).await;
    assert_eq!(host.log_of("the-one").len(), 1);
    assert!(!host.log().iter().any(|line| line.to_string().contains("a-secret")), "queries are not kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_fails_has_its_line_too_with_problem_and_blame() {
    let host = Host::start(&site()).await;
    type Case<'a> = (&'a str, &'a str, &'a str, &'a str, Value);
    let shop = "shop.example";
    let cases: [Case<'_>; 10] = [
        ("GET", "other.example", "/ok", "", json!([404, "no-tenant", "client", null, null, null])),
        ("GET", shop, "/no/where", "", json!([404, "no-route", "client", "shop", null, null])),
        ("PUT", shop, "/ok", "", json!([405, "method", "client", "shop", null, null])),
        ("OPTIONS", shop, "/ok", "", json!([204, null, null, "shop", null, null])),
        ("GET", shop, "/%zz", "", json!([400, "bad-request", "client", "shop", null, null])),
        ("TRACE", shop, "/ok", "", json!([501, "unsupported-method", "client", null, null, null])),
        ("GET", shop, "/trap", "", json!([500, "plugin-failed", "plugin", "shop", "books", "/{page}"])),
        (
            "GET",
            shop,
            "/status?code=99",
            "",
            json!([502, "plugin-answer", "plugin", "shop", "books", "/{page}"]),
        ),
        ("GET", shop, "/loop", "chatty", json!([504, "cpu", "plugin", "shop", "chatty", "/{page}"])),
        (
            "POST",
            shop,
            "/echo",
            "chatty",
            json!([413, "request-body", "client", "shop", "chatty", "/{page}"]),
        ),
    ];
    for (method, name, path, plugin, expected) in cases {
        let body = if method == "POST" { "eleven bytes" } else { "" };
        let request = host.request(method, path).header("host", name).header("x-plugin", plugin).body(body);
        let answer = request.send().await;
        let line = host.access_line(answer.request_id()).await;
        let told =
            ["status", "problem", "blame", "tenant", "plugin", "route"].map(|field| line[field].clone());
        assert_eq!(json!(told), expected, "{line}");
        assert_eq!(line["response-bytes"], answer.body.len(), "{line}");
        assert_eq!(line["path"], path.split('?').next().unwrap_or(path));
    }
}

/// Sends a request's head on a connection of its own, which is as yet not read from.
async fn begin(address: SocketAddr, head: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("the host accepts");
    let request = format!("{head}\r\nhost: shop.example\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the host reads");
    stream
}

const CALLS_OF_BOOKS: &str = r#"jackfield_calls_in_flight{tenant="shop",plugin="books"}"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_hangs_up_has_a_line_too() {
    let host = Host::start(&site()).await;
    let stream = begin(host.address(), "GET /sleep?ms=20000 HTTP/1.1\r\nx-request-id: before").await;
    host.wait_until("the call to begin", async || host.metric(CALLS_OF_BOOKS) == 1.0).await;
    drop(stream);
    let line = host.access_line("before").await;
    let told = ["status", "problem", "blame", "plugin", "response-bytes"].map(|field| line[field].clone());
    assert_eq!(json!(told), json!([499, "client-gone", "client", "books", 0]), "{line}");
    // Its call ended with it.
    host.wait_until("the call to end", async || host.metric(CALLS_OF_BOOKS) == 0.0).await;
    let gone = r#"jackfield_requests_total{tenant="shop",plugin="books",status="499",blame="client"}"#;
    assert_eq!(host.metric(gone), 1.0, "{}", host.metrics());

    // What its filter had used by then is told all the same.
    let head = "GET /sleep?ms=20000 HTTP/1.1\r\nx-request-id: filtered\r\nx-plugin: filtered";
    let stream = begin(host.address(), head).await;
    host.wait_until("the call to begin", async || host.metric(CALLS_OF_BOOKS) == 1.0).await;
    drop(stream);
    let line = host.access_line("filtered").await;
    assert!(line["cpu-ms"].as_f64().is_some_and(|used| used > 0.0), "{line}");

    // More than the buffers on the way can hold.
    let bytes = 15_u64 << 20;
    let head = format!("GET /body?bytes={bytes} HTTP/1.1\r\nx-request-id: amid");
    let mut stream = begin(host.address(), &head).await;
    tokio::time::timeout(PATIENCE, stream.read_exact(&mut [0; 1000])).await.unwrap().unwrap();
    drop(stream);
    let line = host.access_line("amid").await;
    let told = ["status", "problem", "blame"].map(|field| line[field].clone());
    assert_eq!(json!(told), json!([200, "client-gone", "client"]), "{line}");
    assert!(line["response-bytes"].as_u64().is_some_and(|written| written < bytes), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_passed_on_as_it_came() {
    let host = Host::start(&site()).await;
    for (trace, id) in [(TRACE, Some("0af7651916cd43dd8448eb211c80319c")), ("00-nothing-of-the-kind", None)] {
        let request = host.request("GET", "/echo").header("host", "shop.example");
        let request = request.header("traceparent", trace).header("tracestate", "vendor=1,other=2");
        let answer = request.send().await;
        let echoed = answer.expect(200).text();
        assert!(echoed.contains(&format!("header traceparent: {trace}\n")), "{answer}");
        assert!(echoed.contains("header tracestate: vendor=1,other=2\n"), "{answer}");
        let line = host.access_line(answer.request_id()).await;
        assert_eq!(line.get("trace-id").and_then(Value::as_str), id, "{line}");
    }
}

/// What a plugin said during one request: level, source and text.
fn said(host: &Host, request_id: &str) -> Vec<(String, String, String)> {
    let lines = host.log_of(request_id).into_iter().filter(|line| line["message"] == "plugin says");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    lines.map(|line| (text(&line["level"]), text(&line["source"]), text(&line["text"]))).collect()
}

fn spoken(level: &str, source: &str, text: &str) -> (String, String, String) {
    (level.into(), source.into(), text.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_prints_or_logs_is_marked_with_whose_it_is() {
    let host = Host::start(&site()).await;
    let ask = async |path: &str| {
        let answer = host.request("GET", path).header("host", "shop.example").send().await;
        answer.expect(200).request_id().to_owned()
    };
    let id = ask("/log?lines=2&bytes=3").await;
    let line = spoken("info", "stdout", "xxx");
    assert_eq!(said(&host, &id), [line.clone(), line]);
    for line in host.log_of(&id).iter().filter(|line| line["message"] == "plugin says") {
        assert_eq!((&line["tenant"], &line["plugin"]), (&"shop".into(), &"books".into()), "{line}");
    }
    assert_eq!(said(&host, &ask("/stderr").await), [spoken("warn", "stderr", "to standard error")]);

    let levels = [
        ("debug", "trace"),
        ("debug", "debug"),
        ("info", "info"),
        ("warn", "warn"),
        ("error", "error"),
        ("error", "critical"),
    ];
    let expected = levels.map(|(level, name)| spoken(level, "guest", &format!("a line of level {name}")));
    assert_eq!(said(&host, &ask("/logging").await), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_prints_cannot_forge_a_line_or_move_a_cursor() {
    let host = Host::start(&site()).await;
    let answer = host.request("GET", "/log-escape").header("host", "shop.example").send().await;
    // In JSON it is there for programs as it was printed: escaped once on the line, and no more.
    assert_eq!(
        said(&host, answer.expect(200).request_id()),
        [
            spoken("info", "stdout", "\x1b[31mred\x1b[0m first"),
            spoken("info", "stdout", "second\rthird\x07\u{9b}2J\u{202e}txt.exe\u{2066}\0end"),
        ]
    );
}

#[test]
fn on_a_terminal_nothing_that_a_plugin_prints_acts() {
    let folder = tempfile::tempdir().expect("a folder for the test");
    std::fs::copy(guest("guest_misbehave.wasm"), folder.path().join("guest_misbehave.wasm")).expect("a copy");
    let site = format!("[host]\nlisten = [\"127.0.0.1:0\"]\nconcurrency = 8\n{}", site());
    let site =
        site.replace("guest_filters.wasm", "guest_misbehave.wasm").replace("filters = ['broken']\n", "");
    std::fs::write(folder.path().join("site.toml"), site).expect("a site file");
    let process = Process::start(folder.path(), ["serve", "--config", "site.toml"]);
    let listening = process.wait_for_line("listening");
    let address = listening.split("address=").nth(1).expect("it says where").trim().trim_matches('"');

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let talk = async {
        let head = "GET /log-escape HTTP/1.1\r\nconnection: close\r\nx-request-id: on-a-terminal";
        let mut stream = begin(address.parse().expect("an address"), head).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer
    };
    let answer = runtime.block_on(async { tokio::time::timeout(PATIENCE, talk).await });
    assert!(answer.as_ref().is_ok_and(|answer| answer.ends_with("logged\n")), "{answer:?}");
    // The access line is the request's last.
    process.wait_for_line("INFO  request method=GET");

    let lines = process.lines();
    let said: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split_once(" INFO  plugin says "))
        .map(|(_, rest)| rest)
        .collect();
    let marks = |text: &str| {
        format!("tenant=shop plugin=books source=stdout text=\"{text}\" request-id=on-a-terminal")
    };
    assert_eq!(
        said,
        [
            marks(r"\u001b[31mred\u001b[0m first"),
            marks(r"second\rthird\u0007\u009b2J\u202etxt.exe\u2066\u0000end"),
        ]
    );
    let acts = |character: char| character.is_control() || matches!(character, '\u{202e}' | '\u{2066}');
    assert!(!lines.iter().any(|line| line.contains(acts)), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_says_too_much_is_cut_and_one_line_says_how_much() {
    let host = Host::start(&site()).await;
    let mut dropped_before = 0.0;
    // Five lines or a hundred bytes, whichever comes first.
    for (path, kept, dropped_lines, dropped_bytes) in [
        ("/log?lines=5&bytes=20", 5, 0, 0),
        ("/log?lines=12&bytes=4", 5, 7, 28),
        ("/log?lines=4&bytes=40", 2, 2, 80),
        ("/log?lines=1&bytes=5000", 0, 2, 5000),
        // A line's source is the plugin's word as well: with `guest` the fourth is the one too many.
        ("/logging", 3, 3, 25 + 26 + 29),
    ] {
        let request = host.request("GET", path).header("host", "shop.example").header("x-plugin", "chatty");
        let answer = request.send().await;
        let id = answer.expect(200).request_id();
        assert_eq!(said(&host, id).len(), kept, "{path}: {:?}", host.log_of(id));
        let lines = host.log_of(id);
        let words: Vec<&Value> = lines.iter().filter(|line| line.get("dropped-lines").is_some()).collect();
        if dropped_lines == 0 {
            assert!(words.is_empty(), "{words:?}");
        } else {
            let [word] = words[..] else { panic!("one line says so: {words:?}") };
            let marks =
                ["tenant", "plugin", "dropped-lines", "dropped-bytes"].map(|field| word[field].clone());
            assert_eq!(json!(marks), json!(["shop", "chatty", dropped_lines, dropped_bytes]), "{path}");
        }
        let counted =
            host.metric(r#"jackfield_guest_log_dropped_lines_total{tenant="shop",plugin="chatty"}"#);
        assert_eq!(counted - dropped_before, f64::from(dropped_lines), "{path}");
        dropped_before = counted;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_says_of_its_failure_is_for_the_log_and_never_for_the_caller() {
    let host = Host::start(&site()).await;
    for (path, plugin, failed) in
        [("/error", "", "books"), ("/panic", "", "books"), ("/ok", "filtered", "broken")]
    {
        let request = host.request("GET", path).header("host", "shop.example").header("x-plugin", plugin);
        let answer = request.send().await;
        answer.expect_problem(500, "plugin-failed");
        let whole = format!("{:?} {}", answer.headers, answer.text());
        for inside in ["secret", "inside text", "wasm", "unreachable", "panicked"] {
            assert!(!whole.contains(inside), "{whole}");
        }
        let told = host.log_of(answer.request_id());
        assert!(told.iter().any(|line| line.to_string().contains("secret inside text")), "{path}: {told:?}");
        let failure = told.iter().find(|line| line["message"] == "request failed").expect("it is logged");
        let marks = ["level", "tenant", "plugin", "problem", "blame"].map(|field| failure[field].clone());
        assert_eq!(json!(marks), json!(["warn", "shop", failed, "plugin-failed", "plugin"]), "{failure}");
    }
}

/// What the probes' listener answers: the head, and the body.
async fn probe(address: SocketAddr, path: &str) -> (String, String) {
    let ask = async {
        let mut stream = begin(address, &format!("GET {path} HTTP/1.1\r\nconnection: close")).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("a probe is answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
        (head.to_owned(), body.to_owned())
    };
    tokio::time::timeout(PATIENCE, ask).await.expect("a probe is answered in time")
}

async fn start_with_probes() -> (Host, SocketAddr) {
    let options = Options { host: "probes = \"127.0.0.1:0\"".into(), ..Options::default() };
    let host = Host::start_with(&site(), options).await;
    let probes = host.running().probes().expect("it has probes");
    (host, probes)
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_counted_by_tenant_plugin_status_and_blame() {
    let (host, probes) = start_with_probes().await;
    for (name, path, plugin) in [
        ("shop.example", "/ok", ""),
        ("shop.example", "/ok", ""),
        ("shop.example", "/trap", ""),
        ("shop.example", "/status?code=404", ""),
        ("shop.example", "/no/where", ""),
        ("shop.example", "/loop", "chatty"),
        ("other.example", "/ok", ""),
    ] {
        let answer = host.request("GET", path).header("host", name).header("x-plugin", plugin).send().await;
        host.access_line(answer.request_id()).await;
    }
    let (head, metrics) = probe(probes, "/metrics").await;
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{head}"
    );
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    for series in [
        r#"requests_total{tenant="shop",plugin="books",status="200",blame="none"} 2"#,
        r#"requests_total{tenant="shop",plugin="books",status="500",blame="plugin"} 1"#,
        r#"requests_total{tenant="shop",plugin="books",status="404",blame="none"} 1"#,
        r#"requests_total{tenant="shop",plugin="",status="404",blame="client"} 1"#,
        r#"requests_total{tenant="shop",plugin="chatty",status="504",blame="plugin"} 1"#,
        r#"requests_total{tenant="",plugin="",status="404",blame="client"} 1"#,
        r#"request_duration_seconds_count{tenant="shop",plugin="books"} 4"#,
        r#"response_bytes_total{tenant="shop",plugin="chatty"}"#,
        r#"calls_total{tenant="shop",plugin="books",plug="handler",outcome="ok"} 3"#,
        r#"calls_total{tenant="shop",plugin="books",plug="handler",outcome="trap"} 1"#,
        r#"calls_total{tenant="shop",plugin="chatty",plug="handler",outcome="cpu"} 1"#,
        r#"call_cpu_seconds_count{tenant="shop",plugin="books"} 4"#,
        "requests_in_flight 0",
    ] {
        assert!(metrics.contains(&format!("\njackfield_{series}")), "{series} is missing from\n{metrics}");
    }
    // Nothing that a caller chose is a label.
    assert!(!metrics.contains("other.example") && !metrics.contains("/no/where"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_drains_is_alive_and_not_ready() {
    let (mut host, probes) = start_with_probes().await;
    for (path, line) in [("/livez", "200 OK"), ("/readyz", "200 OK"), ("/", "404 Not Found")] {
        assert!(probe(probes, path).await.0.starts_with(&format!("HTTP/1.1 {line}\r\n")), "{path}");
    }
    // Callers are not answered there, nor probers here.
    host.request("GET", "/livez")
        .header("host", "other.example")
        .send()
        .await
        .expect_problem(404, "no-tenant");

    // A request whose body is still to come keeps the host from ending.
    let head = "POST /echo HTTP/1.1\r\nx-request-id: last\r\nx-plugin: chatty\r\ncontent-length: 5";
    let mut stream = begin(host.address(), head).await;
    host.wait_until("the request to arrive", async || host.metric("jackfield_requests_in_flight") == 1.0)
        .await;
    let draining = async {
        let not_ready = async {
            while probe(probes, "/readyz").await.0.starts_with("HTTP/1.1 200") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, not_ready).await.expect("it is not ready for long");
        let (head, body) = probe(probes, "/readyz").await;
        assert!(head.starts_with("HTTP/1.1 503 "), "{head}\n{body}");
        assert!(probe(probes, "/livez").await.0.starts_with("HTTP/1.1 200 "));
        stream.write_all(b"hello").await.expect("the request goes on");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("it is answered");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\nhello"), "{answer}");
    };
    tokio::join!(host.stop(), draining);
    assert_eq!(host.access_line("last").await["status"], 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_of_metrics_names_every_series() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
    let metrics = Host::start(&site()).await.metrics();
    let families = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    for family in families {
        let name = family.strip_prefix("jackfield_").unwrap_or(family);
        let is_there = ["", "_total", "_info"].iter().any(|end| page.contains(&format!("`{name}{end}`")));
        assert!(is_there, "docs/metrics.md lacks {family}");
    }
    assert!(metrics.contains("# TYPE jackfield_requests counter"), "{metrics}");
}
