//! Every limit has one name, and is broken here once: the caller gets the promised status, the log says whose
//! fault it was, and what the call held is free again.

use std::time::Duration;

use jackfield_tests::{Answer, Host, Options, Site};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::sandbox::{Made, filter_from_wat, handler_from_wat, handler_with_memories, handler_with_tables};

const IN_FLIGHT: &str = r#"jackfield_calls_in_flight{tenant="shop",plugin="guest"}"#;
const WAITING: &str = r#"jackfield_calls_waiting{tenant="shop",plugin="guest"}"#;

/// A tenant whose every path is the misbehaving guest's, under these limits.
pub(crate) fn guest_with(limits: &str) -> Site {
    Site::shop().plugin("guest", "guest_misbehave.wasm").limits(limits).route("/{*rest}")
}

/// The line in which the host says why it answered so.
#[track_caller]
pub(crate) fn failure(host: &Host, answer: &Answer) -> Value {
    let lines = host.log_of(answer.request_id());
    let failed = lines.into_iter().find(|line| line["message"] == "request failed");
    failed.unwrap_or_else(|| panic!("the log does not say why\n{answer}"))
}

/// A call that lasts until it is given up, once it is under way.
async fn a_call_under_way(host: &Host, path: &str, in_flight: &str) -> HeldOpen {
    let stream = HeldOpen::send(host, path).await;
    host.wait_until("the call is under way", async || host.metric(in_flight) >= 1.0).await;
    stream
}

/// A request whose answer nobody waits for; its caller hangs up when this is dropped.
struct HeldOpen(#[expect(dead_code, reason = "held, not used")] TcpStream);

impl HeldOpen {
    async fn send(host: &Host, path: &str) -> Self {
        let mut stream = TcpStream::connect(host.address()).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", host.address());
        stream.write_all(head.as_bytes()).await.unwrap();
        Self(stream)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_computes_past_its_cpu_is_stopped() {
    let host = Host::start(&guest_with(r#"cpu = "20ms", random = "1GiB""#)).await;
    for path in ["/loop", "/random-loop", "/loop-after-log", "/spin?ms=5000"] {
        let answer = host.get(path).await;
        answer.expect_problem(504, "cpu");
        let why = failure(&host, &answer);
        assert_eq!((&why["problem"], &why["blame"]), (&"cpu".into(), &"plugin".into()), "{answer}");
        assert!(why["error"].as_str().unwrap().contains("20ms"), "{why}");
    }
    host.get("/spin?ms=1").await.expect(200);
    assert_eq!(host.metric(IN_FLIGHT), 0.0);
    let stopped = r#"jackfield_calls_total{tenant="shop",plugin="guest",plug="handler",outcome="cpu"}"#;
    assert_eq!(host.metric(stopped), 4.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sleeping_call_uses_no_cpu() {
    let host = Host::start(&guest_with(r#"cpu = "20ms""#)).await;
    host.get("/sleep?ms=200").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_loops_is_stopped_in_either_direction_and_lets_nothing_pass() {
    let site = |mode: &str| {
        Site::shop()
            .plugin("filter", "guest_filters.wasm")
            .config(format!("mode = '{mode}', name = 'f'"))
            .limits("cpu = '20ms'")
            .plugin("hello", "guest_hello.wasm")
            .route("/")
            .with("filters = ['filter']")
    };
    for (mode, calls_of_the_handler) in [("loop", 0.0), ("loop-response", 1.0)] {
        let host = Host::start(&site(mode)).await;
        let answer = host.get("/").await;
        answer.expect_problem(504, "cpu");
        assert_eq!(failure(&host, &answer)["plugin"], "filter", "{answer}");
        let handled = r#"jackfield_calls_total{tenant="shop",plugin="hello",plug="handler",outcome="ok"}"#;
        assert_eq!(host.metric(handled), calls_of_the_handler, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_before_or_after_the_call_itself_is_stopped_too() {
    const FOREVER: &str = "(func $forever (loop $on (br $on)))";
    let answers = r#"(i32.store8 (i32.const 0) (i32.const 0)) (i32.store16 (i32.const 4) (i32.const 200))
                     (i32.const 0)"#;
    let places = [
        ("in the start function", format!("{FOREVER} (start $forever)"), answers),
        (
            "in realloc",
            r#"(func (export "realloc") (param i32 i32 i32 i32) (result i32) (loop $on (br $on)) (unreachable))"#
                .to_owned(),
            answers,
        ),
        ("in post-return", r#"(func (export "post") (param i32) (loop $on (br $on)))"#.to_owned(), answers),
    ];
    for (place, module, body) in places {
        let made = Made::new(&handler_from_wat(&module, body));
        let host = Host::start(&made.site(r#"cpu = "20ms""#)).await;
        host.get("/x").await.expect_problem(504, "cpu");
        assert_eq!(host.metric(IN_FLIGHT), 0.0, "{place}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_sleeps_past_its_wall_is_stopped() {
    let host = Host::start(&guest_with(r#"wall = "100ms""#)).await;
    let answer = host.get("/sleep?ms=60000").await;
    answer.expect_problem(504, "wall");
    assert_eq!(failure(&host, &answer)["blame"], "plugin");
    assert_eq!(host.metric(IN_FLIGHT), 0.0);
    host.get("/sleep?ms=1").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_in_a_queue_counts_into_wall() {
    let site = Site::shop()
        .with("quota = { concurrency = 1, queue-wait = '60s' }")
        .plugin("guest", "guest_misbehave.wasm")
        .route("/sleep")
        .plugin("hasty", "guest_misbehave.wasm")
        .limits("wall = '100ms'")
        .route("/ok");
    let host = Host::start(&site).await;
    let held = a_call_under_way(&host, "/sleep?ms=60000", IN_FLIGHT).await;
    // It was never called, so it is not the plugin that took too long.
    let refused = host.get("/ok").await;
    assert!(refused.expect_problem(503, "queue").header("retry-after").is_some(), "{refused}");
    assert_eq!(failure(&host, &refused)["blame"], "quota");
    assert!(!host.metrics().contains(r#"calls_total{tenant="shop",plugin="hasty""#), "it was never called");
    drop(held);
    host.wait_until("the place is free again", async || host.metric(IN_FLIGHT) == 0.0).await;
    host.get("/ok").await.expect(200);
}

/// A request with a body, of which the caller has sent half.
async fn half_an_upload(host: &Host) -> TcpStream {
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    let head = format!(
        "POST /echo HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: 10\r\n\r\nhello",
        host.address()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_upload_holds_no_permit_and_does_not_count_into_wall() {
    let wall = Duration::from_millis(250);
    let site = guest_with("wall = '250ms', concurrency = 1").with("[tenants.shop.quota]\nconcurrency = 1");
    let host = Host::start(&site).await;
    let mut uploads = Vec::new();
    for _ in 0..3 {
        uploads.push(half_an_upload(&host).await);
    }
    let under_way = async || host.metric("jackfield_requests_in_flight") == 3.0;
    host.wait_until("the uploads have begun", under_way).await;
    let began = tokio::time::Instant::now();
    // Time is the subject here: uploads that last longer than `wall`.
    while began.elapsed() < wall * 2 {
        host.get("/ok").await.expect(200);
    }
    for mut upload in uploads {
        upload.write_all(b"world").await.unwrap();
        let mut answer = String::new();
        upload.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.ends_with("body-bytes=10\nhelloworld"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_beyond_the_limit_is_refused_to_the_guest_which_may_go_on() {
    let host = Host::start(&guest_with(r#"memory = "16MiB""#)).await;
    assert_eq!(host.get("/memory-report?mib=8").await.expect(200).text(), "reserved=8 wanted=8\n");
    let report = host.get("/memory-report?mib=64").await;
    let reserved = report.expect(200).text();
    let reserved: u32 =
        reserved.strip_prefix("reserved=").unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((8..16).contains(&reserved), "{report}");

    let answer = host.get("/memory").await;
    answer.expect_problem(500, "plugin-failed");
    let why = failure(&host, &answer);
    assert!(why["error"].as_str().unwrap().contains("memory"), "{why}");
    assert_eq!(why["blame"], "plugin");
    let calls = r#"jackfield_calls_total{tenant="shop",plugin="guest",plug="handler",outcome="memory"}"#;
    assert_eq!(host.metric(calls), 1.0);
    host.get("/ok").await.expect(200);
}

/// Answers with a status that is 300 and as many more as the pages of 64 KiB that `$grown` gives; beside the one page
/// of its own it has two memories of these limits.
fn counts_pages(a: &str, b: &str, grown: &str) -> Made {
    let body = r#"
        (i32.store8 (i32.const 0) (i32.const 0))
        (i32.store16 (i32.const 4) (i32.add (i32.const 300) (call $grown)))
        (i32.const 0)"#;
    let module = format!("(func $grown (result i32) {grown})");
    Made::new(&handler_with_memories(a, b, &module, body))
}

#[tokio::test(flavor = "multi_thread")]
async fn several_memories_share_one_limit() {
    let made = counts_pages(
        "0",
        "0",
        r#"
        (loop $on (br_if $on (i32.and
            (i32.ne (call $grow-a (i32.const 1)) (i32.const -1))
            (i32.lt_u (call $size-a) (i32.const 10)))))
        (loop $on (br_if $on (i32.ne (call $grow-b (i32.const 1)) (i32.const -1))))
        (i32.add (call $size-a) (call $size-b))
        "#,
    );
    let host = Host::start(&made.site(r#"memory = "1MiB""#)).await;
    host.get("/").await.expect(315);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grow_that_its_own_maximum_forbids_takes_nothing_from_the_limit() {
    let made = counts_pages(
        "0 2",
        "0",
        r#"
        (local $turn i32)
        (loop $on
            (drop (call $grow-a (i32.const 5)))
            (local.set $turn (i32.add (local.get $turn) (i32.const 1)))
            (br_if $on (i32.lt_u (local.get $turn) (i32.const 10))))
        (loop $on (br_if $on (i32.ne (call $grow-b (i32.const 1)) (i32.const -1))))
        (call $size-b)
        "#,
    );
    let host = Host::start(&made.site(r#"memory = "1MiB""#)).await;
    host.get("/").await.expect(315);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_begins_above_a_limit_is_refused_and_told_the_least_that_would_do() {
    // A page of its own, and 64 and 7 more.
    let memories = counts_pages("64", "7", "(i32.const 0)");
    let tables =
        Made::new(&handler_with_tables(501, "(i32.store16 (i32.const 4) (i32.const 200)) (i32.const 0)"));
    for (made, below, least, words) in [
        (&memories, r#"memory = "4544KiB""#, r#"memory = "4608KiB""#, "4608KiB of memory"),
        (&tables, "tables = 1001", "tables = 1002", "1002 elements"),
    ] {
        let refused =
            Host::try_start(&made.site(below), Options::default()).await.err().expect("it is refused");
        assert!(refused.contains(words) && refused.contains("site.toml:"), "{refused}");
        assert!(refused.contains(&format!("`limits = {{ {least} }}`")), "{refused}");
        let host = Host::start(&made.site(least)).await;
        assert!(host.get("/").await.status.as_u16() < 400);
    }
}

/// POSTs a body of so many bytes in chunks, without saying beforehand how long it is; the whole answer.
async fn chunked(host: &Host, bytes: usize) -> String {
    let piece = format!("1\r\nx\r\n{}0\r\n\r\n", "1\r\nx\r\n".repeat(bytes.saturating_sub(1)));
    let body = if bytes == 0 { "0\r\n\r\n".to_owned() } else { piece };
    host.raw(format!(
        "POST /echo HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{body}"
    ))
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_body_over_its_limit_is_answered_413() {
    let host = Host::start(&guest_with(r#"request-body = "1000B""#)).await;
    let post = |bytes: usize| host.request("POST", "/echo").body(vec![b'x'; bytes]).send();
    assert!(post(1000).await.expect(200).text().contains("body-bytes=1000\n"));
    let refused = post(1001).await;
    refused.expect_problem(413, "request-body");
    assert!(chunked(&host, 1000).await.contains("body-bytes=1000\n"));
    assert!(chunked(&host, 1001).await.starts_with("HTTP/1.1 413 "));
    let calls = r#"jackfield_calls_total{tenant="shop",plugin="guest",plug="handler",outcome="ok"}"#;
    assert_eq!(host.metric(calls), 2.0, "a plugin never sees what is too large");
    let blamed = r#"jackfield_requests_total{tenant="shop",plugin="guest",status="413",blame="client"}"#;
    assert_eq!(host.metric(blamed), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_goes_on_sending_what_is_too_large_still_gets_its_413() {
    let host = Host::start(&guest_with(r#"request-body = "1KiB""#)).await;
    for _ in 0..8 {
        host.request("POST", "/echo")
            .body(vec![b'x'; 4 << 20])
            .send()
            .await
            .expect_problem(413, "request-body");
        assert!(chunked(&host, 300_000).await.starts_with("HTTP/1.1 413 "));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_takes_no_bodies_still_takes_requests_without_one() {
    let host = Host::start(&guest_with(r#"request-body = "0B""#)).await;
    host.get("/ok").await.expect(200);
    assert!(chunked(&host, 0).await.starts_with("HTTP/1.1 200 "));
    host.request("POST", "/echo").body("x").send().await.expect_problem(413, "request-body");
    assert!(chunked(&host, 1).await.starts_with("HTTP/1.1 413 "));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_over_its_limit_is_answered_502() {
    let host = Host::start(&guest_with(r#"response-body = "1000B", cpu = "5s""#)).await;
    assert_eq!(host.get("/body?bytes=1000").await.expect(200).body.len(), 1000);
    // The last is more than the host takes over from a guest at all.
    for bytes in ["1001", "100000", "64000000"] {
        let answer = host.get(&format!("/body?bytes={bytes}")).await;
        answer.expect_problem(502, "response-body");
        let why = failure(&host, &answer);
        assert_eq!((&why["problem"], &why["blame"]), (&"response-body".into(), &"plugin".into()), "{why}");
    }
    let calls =
        r#"jackfield_calls_total{tenant="shop",plugin="guest",plug="handler",outcome="response-body"}"#;
    assert_eq!(host.metric(calls), 3.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filters_own_answer_is_held_to_the_filters_limit() {
    let site = |response_body: usize| {
        Site::shop()
            .plugin("filter", "guest_filters.wasm")
            .config("mode = 'deny', name = 'f'")
            .limits(format!("response-body = '{response_body}B'"))
            .plugin("hello", "guest_hello.wasm")
            .route("/")
            .with("filters = ['filter']")
    };
    let denied = "denied by f\n";
    let host = Host::start(&site(denied.len())).await;
    assert_eq!(host.get("/").await.expect(403).text(), denied);
    let host = Host::start(&site(denied.len() - 1)).await;
    host.get("/").await.expect_problem(502, "response-body");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_at_its_concurrency_has_callers_wait_and_turns_away_who_finds_the_queue_full() {
    let host = Host::start(&guest_with(r#"concurrency = 1, queue = 1, queue-wait = "60s""#)).await;
    let held = a_call_under_way(&host, "/sleep?ms=60000", IN_FLIGHT).await;
    let waiting = async { host.get("/ok").await };
    let turned_away = async {
        host.wait_until("the second waits", async || host.metric(WAITING) == 1.0).await;
        let answer = host.get("/ok").await;
        drop(held);
        answer
    };
    let (waited, refused) = tokio::join!(waiting, turned_away);
    waited.expect(200);
    refused.expect_problem(503, "queue");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(failure(&host, &refused)["blame"], "quota");
    assert_eq!(host.metric(r#"jackfield_queue_rejected_total{tenant="shop",plugin="guest"}"#), 1.0);
    assert_eq!((host.metric(IN_FLIGHT), host.metric(WAITING)), (0.0, 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_a_plugin_longer_than_queue_wait() {
    let host = Host::start(&guest_with(r#"concurrency = 1, queue = 5, queue-wait = "50ms""#)).await;
    let _held = a_call_under_way(&host, "/sleep?ms=60000", IN_FLIGHT).await;
    let refused = host.get("/ok").await;
    refused.expect_problem(503, "queue");
    let why = failure(&host, &refused);
    assert!(why["error"].as_str().unwrap().contains("50ms"), "{why}");
    assert_eq!(host.metric(WAITING), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_has_waited_for_its_tenant_does_not_wait_as_long_again_for_its_plugin() {
    let site = Site::shop()
        .with("quota = { concurrency = 2, queue-wait = '2s' }")
        .plugin("guest", "guest_misbehave.wasm")
        .limits("concurrency = 1, queue-wait = '2s'")
        .route("/{*rest}")
        .plugin("other", "guest_misbehave.wasm")
        .route("/{*rest}")
        .with("headers = { x-plugin = 'other' }");
    let host = Host::start(&site).await;
    let _held = a_call_under_way(&host, "/sleep?ms=60000", IN_FLIGHT).await;
    let other = async { host.request("GET", "/sleep?ms=400").header("x-plugin", "other").send().await };
    let refused = async {
        let others = r#"jackfield_calls_in_flight{tenant="shop",plugin="other"}"#;
        host.wait_until("the tenant is full", async || host.metric(others) == 1.0).await;
        host.get("/ok").await
    };
    let (other, refused) = tokio::join!(other, refused);
    other.expect(200);
    let detail = refused.expect_problem(503, "queue").json()["detail"].to_string();
    assert!(detail.contains("What answers at this path"), "{detail}");
    let why = failure(&host, &refused)["error"].to_string();
    assert!(why.contains("in other queues") && !why.contains("within 2s"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_quota_counts_all_its_plugins_together_and_nobody_elses() {
    let quotas = [
        ("shop", "concurrency = 1, queue = 0"),
        ("wait", "concurrency = 1, queue = 1, queue-wait = '50ms'"),
        ("free", ""),
    ];
    let site = quotas.into_iter().fold(Site::default(), |site, (name, quota)| {
        site.tenant(name, [format!("{name}.example")])
            .with(format!("quota = {{ {quota} }}"))
            .plugin("guest", "guest_misbehave.wasm")
            .route("/sleep")
            .plugin("other", "guest_misbehave.wasm")
            .route("/ok")
    });
    let host = Host::start(&site).await;
    let hold = async |name: &str| {
        let mut stream = TcpStream::connect(host.address()).await.unwrap();
        let head = format!("GET /sleep?ms=60000 HTTP/1.1\r\nhost: {name}.example\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let series = format!(r#"jackfield_calls_in_flight{{tenant="{name}",plugin="guest"}}"#);
        host.wait_until("the call is under way", async || host.metric(&series) == 1.0).await;
        stream
    };
    let ask = |name: &str| host.request("GET", "/ok").header("host", format!("{name}.example")).send();
    let held = (hold("shop").await, hold("wait").await);
    for name in ["shop", "wait"] {
        let refused = ask(name).await;
        refused.expect_problem(503, "queue");
        assert_eq!(refused.header("retry-after"), Some("1"));
        let why = failure(&host, &refused);
        assert_eq!(why["blame"], "quota");
        assert!(why["error"].as_str().unwrap().contains("tenant"), "{why}");
        assert!(refused.json()["detail"].to_string().contains("The site has"), "{refused}");
    }
    ask("free").await.expect(200);
    drop(held);
    host.wait_until("the place is free again", async || ask("shop").await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_hosts_concurrency_the_host_is_to_blame() {
    let options = Options { host: "concurrency = 1".into(), ..Options::default() };
    let host = Host::start_with(&guest_with(""), options).await;
    let held = a_call_under_way(&host, "/sleep?ms=60000", IN_FLIGHT).await;
    let refused = host.get("/ok").await;
    refused.expect_problem(503, "queue");
    assert_eq!(refused.header("retry-after"), Some("1"));
    assert_eq!(failure(&host, &refused)["blame"], "host");
    assert!(refused.json()["detail"].to_string().contains("The host has"), "{refused}");
    drop(held);
    host.wait_until("the slot is free again", async || host.metric(IN_FLIGHT) == 0.0).await;
    host.get("/ok").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn permits_and_slots_come_back_however_a_call_ends() {
    let limits = r#"concurrency = 1, queue = 0, cpu = "20ms", wall = "300ms", memory = "8MiB", response-body = "1KiB""#;
    let site = guest_with(limits).with("[tenants.shop.quota]\nconcurrency = 1\nqueue = 0");
    let host =
        Host::start_with(&site, Options { host: "concurrency = 1".into(), ..Options::default() }).await;
    let ways = [
        ("/trap", 500),
        ("/panic", 500),
        ("/exit", 500),
        ("/error", 500),
        ("/deep", 500),
        ("/memory", 500),
        ("/loop", 504),
        ("/sleep?ms=60000", 504),
        ("/status?code=99", 502),
        ("/body?bytes=4000", 502),
        ("/ok", 200),
    ];
    for _ in 0..2 {
        for (path, status) in ways {
            // A place in the quota is free when the answer's last byte is taken, an instant after it was read.
            host.wait_until("the place is free", async || host.metric("jackfield_requests_in_flight") == 0.0)
                .await;
            host.get(path).await.expect(status);
            assert_eq!(host.metric(IN_FLIGHT), 0.0, "{path}");
        }
        let nobody = async || host.metric("jackfield_requests_in_flight") == 0.0;
        host.wait_until("the place is free", nobody).await;
        drop(a_call_under_way(&host, "/sleep?ms=60000", IN_FLIGHT).await);
        host.wait_until("nobody is left", async || host.metric("jackfield_requests_in_flight") == 0.0).await;
    }
    host.get("/ok").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_call_logs_beyond_its_limits_is_dropped_and_counted() {
    let table = [
        // limits, what is printed, lines kept, lines and bytes dropped
        ("log-lines = 3", "lines=10&bytes=5", 3, 7, 35),
        (r#"log-bytes = "20B""#, "lines=10&bytes=8", 2, 8, 64),
        ("log-lines = 0", "lines=1&bytes=8", 0, 1, 8),
        ("", "lines=10&bytes=8", 10, 0, 0),
    ];
    for (limits, printed, kept, dropped_lines, dropped_bytes) in table {
        let host = Host::start(&guest_with(limits)).await;
        let answer = host.get(&format!("/log?{printed}")).await;
        answer.expect(200);
        let lines = host.log_of(answer.request_id());
        let said = lines.iter().filter(|line| line["message"] == "plugin says").count();
        assert_eq!(said, kept, "{limits}\n{answer}");
        let told: Vec<_> = lines.iter().filter(|line| line["dropped-lines"].is_u64()).collect();
        assert_eq!(told.len(), usize::from(dropped_lines > 0), "{limits}\n{answer}");
        for told in told {
            assert_eq!(told["dropped-lines"], dropped_lines, "{limits}");
            assert_eq!(told["dropped-bytes"], dropped_bytes, "{limits}");
            assert_eq!((&told["tenant"], &told["plugin"]), (&"shop".into(), &"guest".into()));
        }
        let series = r#"jackfield_guest_log_dropped_lines_total{tenant="shop",plugin="guest"}"#;
        assert_eq!(host.metric(series), f64::from(dropped_lines));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_name_a_guest_gives_to_its_log_lines_counts_as_logged_too() {
    let host = Host::start(&guest_with(r#"log-bytes = "2KiB""#)).await;
    let answer = host.get("/logging-context?bytes=60000&lines=50").await;
    answer.expect(200);
    let kept: usize = host.log_of(answer.request_id()).iter().map(|line| line.to_string().len()).sum();
    assert!(kept < 60_000, "{kept} bytes were logged");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_storage_quota_is_an_error_to_the_guest_and_holds_for_all_its_plugins() {
    let site = |storage: &str| {
        Site::shop()
            .with(format!("quota.storage = {{ {storage} }}"))
            .plugin("one", "guest_keyvalue.wasm")
            .grants("keyvalue = true")
            .route("/{*rest}")
            .plugin("two", "guest_keyvalue.wasm")
            .grants("keyvalue = true")
            .route("/{*rest}")
            .with("headers = { x-plugin = 'two' }")
    };
    let table = [(r#"bytes = "1KiB""#, 700, "bytes would be kept"), ("keys = 1", 1, "keys would be kept")];
    for (storage, value_bytes, said) in table {
        let host = Host::start(&site(storage)).await;
        let set = |plugin: &str, key: &str| {
            let body = vec![b'x'; value_bytes];
            host.request("PUT", &format!("/set?key={key}")).header("x-plugin", plugin).body(body).send()
        };
        set("one", "a").await.expect(200);
        for (plugin, key) in [("one", "b"), ("two", "c")] {
            let refused = set(plugin, key).await;
            let text = refused.expect(503).text();
            assert!(text.contains("storage quota used up") && text.contains(said), "{refused}");
        }
        assert_eq!(host.get("/get?key=a").await.expect(200).body.len(), value_bytes);
        host.get("/get?key=b").await.expect(404);
        host.request("POST", "/delete?key=a").send().await.expect(200);
        set("two", "c").await.expect(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_above_its_ceiling_is_refused_at_load() {
    let limits = [
        ("cpu", "\"50ms\"", "\"51ms\""),
        ("wall", "\"1s\"", "\"2s\""),
        ("memory", "\"16MiB\"", "\"17MiB\""),
        ("request-body", "\"1KiB\"", "\"2KiB\""),
        ("response-body", "\"1KiB\"", "\"2KiB\""),
        ("stream", "\"1s\"", "\"2s\""),
        ("outbound", "5", "6"),
        ("outbound-bytes", "\"1KiB\"", "\"2KiB\""),
        ("handles", "50", "51"),
        ("tables", "5", "6"),
        ("fields", "\"1KiB\"", "\"2KiB\""),
        ("random", "\"1KiB\"", "\"2KiB\""),
        ("concurrency", "5", "6"),
        ("queue", "5", "6"),
        ("queue-wait", "\"1s\"", "\"2s\""),
        ("log-lines", "5", "6"),
        ("log-bytes", "\"1KiB\"", "\"2KiB\""),
    ];
    for (name, ceiling, above) in limits {
        let of_host = Options { host: format!("[host.limits]\n{name} = {ceiling}\n"), ..Options::default() };
        let of_tenant = format!("[tenants.shop.quota]\nlimits = {{ {name} = {ceiling} }}");
        let site = guest_with(&format!("{name} = {above}"));
        for (whose, site, options) in [
            ("the host", site.clone(), of_host),
            ("the tenant `shop`", site.with(of_tenant), Options::default()),
        ] {
            let refused = Host::try_start(&site, options).await.err().expect("it does not start");
            assert!(refused.contains(&format!("`{name}` of ")), "{refused}");
            assert!(refused.contains(&format!("above the ceiling of {whose}")), "{refused}");
            assert!(refused.contains("site.toml:"), "{refused}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filters_changes_are_bounded_like_a_messages_fields() {
    // As many changes as the host takes over: first half of them add a field, then each of the others goes
    // through all of those, if it is let.
    let made = Made::new(&filter_from_wat(200_000, 200_000));
    let host = Host::start(&made.filter_site(r#"cpu = "10s""#)).await;
    let answer = host.get("/").await;
    answer.expect_problem(502, "plugin-answer");
}
