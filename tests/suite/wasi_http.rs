//! Components that export `wasi:http/incoming-handler` 0.2: handlers like any other, clause by clause of their interface.
//! What their bodies do as streams is `streaming.rs`'s.

use jackfield_tests::{Answer, Host, Site};
use serde_json::{Value, json};

use crate::streaming::client::{BOTH, Caller, Pieces};
use crate::streaming::guest_with;

const IN_FLIGHT: &str = r#"jackfield_calls_in_flight{tenant="shop",plugin="guest"}"#;

async fn start(limits: &str) -> Host {
    Host::start(&guest_with(limits)).await
}

/// The line in which the host says why it answered so.
#[track_caller]
fn failure(host: &Host, answer: &Answer) -> Value {
    let lines = host.log_of(answer.request_id());
    let failed = lines.into_iter().find(|line| line["message"] == "request failed");
    failed.unwrap_or_else(|| panic!("the log does not say why\n{answer}"))
}

/// A route of the guest behind the filters named, which are the test filter in the modes of their names.
fn behind(filters: &[&str]) -> Site {
    let site = guest_with("").with(format!("filters = {filters:?}"));
    filters.iter().fold(site, |site, filter| {
        site.plugin(filter, "guest_filters.wasm")
            .config(format!("name = '{filter}', mode = '{filter}', header = 'x-secret'"))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_knows_wasi_http_alone_is_a_handler() {
    let host = start("").await;
    for path in ["/hello", "/hello-unsized"] {
        let answer = host.get(path).await;
        assert_eq!(answer.expect(200).text(), "hello over wasi:http\n");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{answer}");
        let line = host.access_line(answer.request_id()).await;
        assert_eq!(
            (&line["plugin"], &line["status"], &line["response-bytes"]),
            (&"guest".into(), &200.into(), &21.into())
        );
        assert_eq!((line.get("problem"), line.get("blame")), (None, None), "{line}");
    }
    let calls = r#"jackfield_calls_total{tenant="shop",plugin="guest",plug="handler",outcome="ok"}"#;
    assert_eq!((host.metric(calls), host.metric(IN_FLIGHT)), (2.0, 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_request_has_the_answers_head_and_no_body() {
    let host = start("").await;
    let answer = host.raw("HEAD /hello HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\r\ncontent-length: 21\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n"), "{answer}");
    // One whose body would be a stream is not waited for.
    for version in BOTH {
        let caller = Caller::connect(&host, version).await;
        let mut answer = caller.send("HEAD", "/sse-forever", &[], Pieces::new().1).await;
        assert_eq!((answer.status(), answer.text().await.as_str()), (200, ""), "{version:?}");
        host.wait_until("the guest was stopped", async || host.metric(IN_FLIGHT) == 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_may_be_stated_where_no_body_is_sent() {
    let host = start("").await;
    for version in BOTH {
        // With `late` the host has the head before the guest has finished; without it, the other way round.
        for late in ["", "&late"] {
            for (method, code, length) in
                [("HEAD", 200, Some("1234")), ("GET", 304, None), ("GET", 204, None), ("HEAD", 304, None)]
            {
                let path = format!("/without-body?code={code}&length=1234{late}");
                let caller = Caller::connect(&host, version).await;
                let mut answer = caller.send(method, &path, &[], Pieces::new().1).await;
                let told = (answer.status(), answer.header("content-length").map(str::to_owned));
                assert_eq!(told, (code, length.map(str::to_owned)), "{version:?} {method} {path}");
                let id = answer.request_id();
                assert_eq!(answer.text().await, "", "{version:?} {method} {path}");
                assert_eq!(host.access_line(&id).await.get("problem"), None, "{version:?} {method} {path}");
            }
        }
    }
    let reset = host.get("/without-body?code=205&length=1234").await;
    assert_eq!((reset.expect(205).text(), reset.header("content-length")), (String::new(), Some("0")));
    // Where a body is sent it is held to the length.
    let id = "held-to-its-length";
    // As a rule its call has ended before its head was to be sent. A tick of the clock may come between.
    let asked = host.request("GET", "/without-body?length=1234").header("x-request-id", id).try_send().await;
    if let Ok(answer) = asked {
        answer.expect_problem(500, "plugin-failed");
    }
    let problem = host.access_line(id).await["problem"].clone();
    assert!(problem == "plugin-failed" || problem == "plugin-answer", "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_does_not_finish_to_say_that_it_failed_has_failed() {
    let host = start("").await;
    for (number, path) in ["/no-finish?code=500", "/drop-body?code=503"].into_iter().enumerate() {
        let id = format!("case-{number}");
        // As a rule its call has ended before its head was to be sent. A tick of the clock may come between.
        if let Ok(answer) = host.request("GET", path).header("x-request-id", &id).try_send().await {
            answer.expect_problem(500, "plugin-failed");
        }
        let line = host.access_line(&id).await;
        assert_eq!((&line["problem"], &line["blame"]), (&"plugin-failed".into(), &"plugin".into()), "{line}");
        let told = host.log_of(&id).into_iter().find(|line| line["message"] == "request failed");
        let why = told.expect("the log says why")["error"].as_str().unwrap().to_owned();
        assert!(why.contains(&format!("status {}", &path[path.len() - 3..])), "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guest_sees_the_request_as_it_was_sent() {
    let host = start("").await;
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        assert_eq!(host.request(method, "/info").send().await.json()["method"], method);
    }
    for method in ["PURGE", "get", "FOO"] {
        assert_eq!(host.request(method, "/info").send().await.json()["method"], format!("other {method}"));
    }

    let answer = host
        .request("GET", "/info?a=%20b&c")
        .header("host", "Shop.Example:8080")
        .header("x-one", "1")
        .header("x-two", "2")
        .header("x-one", "3")
        .header("x-mine", "secret")
        .header("connection", "x-mine")
        .header("te", "trailers")
        .send()
        .await;
    let seen = answer.expect(200).json();
    assert_eq!(seen["path-with-query"], "/info?a=%20b&c");
    assert_eq!(seen["scheme"], "http");
    assert_eq!(seen["authority"], "shop.example:8080");
    let headers: Vec<(String, String)> = serde_json::from_value(seen["headers"].clone()).unwrap();
    let values = |name: &str| -> Vec<&str> {
        headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    };
    assert_eq!((values("x-one"), values("x-two")), (vec!["1", "3"], vec!["2"]));
    assert_eq!(values("x-request-id"), [answer.request_id()]);
    for gone in ["connection", "te", "x-mine", "transfer-encoding", "keep-alive"] {
        assert_eq!(values(gone), Vec::<&str>::new(), "{gone}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_are_the_connections_are_refused_to_the_guest() {
    let host = start("").await;
    for name in [
        "connection",
        "Keep-Alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
        "host",
        "http2-settings",
    ] {
        assert_eq!(
            host.get(&format!("/header?name={name}&value=x")).await.text(),
            "refused: forbidden\n",
            "{name}"
        );
    }
    for (name, value) in [("a%20b", "x"), ("", "x"), ("x-a", "b%0D%0Ax-c:%20d"), ("x-a", "%00")] {
        let answer = host.get(&format!("/header?name={name}&value={value}")).await;
        assert_eq!(answer.text(), "refused: invalid-syntax\n", "{name}: {value}");
    }
    let answer = host.get("/header?name=X-Mine&value=b%FF").await;
    assert_eq!(answer.expect(200).headers["x-mine"].as_bytes(), b"b\xff");
    let answer = host.get("/header?name=te&value=x").await;
    assert_eq!((answer.text().as_str(), answer.header("te")), ("header\n", None), "{answer}");
    let id = host.get("/header?name=x-request-id&value=mine").await;
    assert_eq!(id.header_all("x-request-id").len(), 1, "{id}");
    assert_ne!(id.request_id(), "mine");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_be_taken_once_is_given_once() {
    let host = start("").await;
    assert_eq!(
        host.get("/once").await.expect(200).text(),
        "consume: true, false\nstream: Ok((true, false))\nbody: true, false\nwrite: Ok((true, false))\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_requests_fields_cannot_be_changed_and_a_copy_of_them_can() {
    let host = start("").await;
    assert_eq!(
        host.get("/immutable").await.expect(200).text(),
        "append: immutable\nset: immutable\ndelete: immutable\nappend to a copy: ok\n"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_status_that_no_answer_has_is_refused_by_the_interface_or_the_host() {
    let host = start("").await;
    for code in [0, 99, 1000, 65535] {
        assert_eq!(host.get(&format!("/status?code={code}")).await.text(), "refused\n", "{code}");
    }
    for code in [100, 101, 199, 600, 999] {
        let answer = host.get(&format!("/status?code={code}")).await;
        answer.expect_problem(502, "plugin-answer");
        assert_eq!(failure(&host, &answer)["blame"], "plugin", "{answer}");
    }
    for code in [201, 404, 418, 503, 599] {
        assert_eq!(host.get(&format!("/status?code={code}")).await.expect(code).text(), "status\n");
    }
    for code in [204, 304] {
        let answer = host.get(&format!("/status?code={code}")).await;
        assert_eq!(answer.expect(code).text(), "", "{answer}");
        let logged = host.log_of(answer.request_id());
        assert!(logged.iter().any(|line| line["message"].as_str().unwrap().contains("body")), "{logged:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_fails_before_its_head_is_answered_for() {
    let host = start(r#"cpu = "50ms", wall = "2s""#).await;
    let cases = [
        ("/trap-before-head", 500, "plugin-failed"),
        ("/exit", 500, "plugin-failed"),
        ("/never-set", 500, "plugin-failed"),
        ("/loop-before-head", 504, "cpu"),
        ("/sleep?ms=60000", 504, "wall"),
        ("/handles?n=100000", 500, "plugin-failed"),
    ];
    for (path, status, problem) in cases {
        let answer = host.get(path).await;
        answer.expect_problem(status, problem);
        let why = failure(&host, &answer);
        let expected = (&Value::from(problem), &Value::from("plugin"), &Value::from("guest"));
        assert_eq!((&why["problem"], &why["blame"], &why["plugin"]), expected, "{path}");
        let line = host.access_line(answer.request_id()).await;
        assert_eq!((&line["problem"], &line["blame"]), (&problem.into(), &"plugin".into()), "{path}");
        assert_eq!(host.metric(IN_FLIGHT), 0.0, "{path}");
    }
    host.get("/hello").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_instead_of_an_answer_is_500_and_its_words_stay_in_the_log() {
    let host = start("").await;
    let names = [
        "internal-error",
        "DNS-error",
        "connection-refused",
        "HTTP-request-denied",
        "HTTP-response-timeout",
        "loop-detected",
    ];
    for name in names {
        let answer = host.get(&format!("/error-code?name={name}")).await;
        answer.expect_problem(500, "plugin-failed");
        assert!(!answer.text().contains("secret"), "{answer}");
        let why = failure(&host, &answer);
        assert_eq!(why["blame"], "plugin", "{why}");
        let is_secret = ["internal-error", "DNS-error"].contains(&name);
        assert_eq!(why["error"].as_str().unwrap().contains("secret inside text"), is_secret, "{why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answers_fields_are_bounded() {
    let host = start("").await;
    host.get("/big-headers?n=80&bytes=700").await.expect(200);
    host.get("/big-headers?n=300&bytes=1").await.expect_problem(502, "plugin-answer");
    host.get("/big-headers?n=70&bytes=1000").await.expect_problem(502, "plugin-answer");
    // Far more than can be sent cannot even be made.
    host.get("/big-headers?n=1000&bytes=1000000").await.expect_problem(500, "plugin-failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_guest_prints_is_in_the_log_under_its_request() {
    let host = start("").await;
    let answer = host.get("/log").await;
    let lines = host.log_of(answer.expect(200).request_id());
    for (source, text) in
        [("stdout", "to standard output over wasi:http"), ("stderr", "to standard error over wasi:http")]
    {
        let line = lines.iter().find(|line| line["source"] == source);
        let line = line.unwrap_or_else(|| panic!("nothing from {source}: {lines:#?}"));
        assert_eq!(
            (&line["text"], &line["plugin"], &line["tenant"]),
            (&text.into(), &"guest".into(), &"shop".into())
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lean_filters_stand_before_a_streaming_handler() {
    let host = Host::start(&behind(&["tag", "strip", "see"])).await;
    let seen = host.request("GET", "/info").header("x-secret", "1").send().await;
    let headers: Vec<(String, String)> =
        serde_json::from_value(seen.expect(200).json()["headers"].clone()).unwrap();
    assert!(headers.contains(&("x-filter".into(), "tag".into())), "{headers:?}");
    assert!(headers.iter().all(|(name, _)| name != "x-secret"), "{headers:?}");
    assert_eq!(
        (seen.header_all("x-next"), seen.header_all("x-chain")),
        (vec!["see", "tag"], vec!["tag"]),
        "{seen}"
    );
    assert!(seen.header("x-seen").is_some_and(|seen| seen.starts_with("200 ")), "{seen}");

    // They see heads alone: a stream passes them piece by piece.
    for version in BOTH {
        let (pieces, answer) = Caller::connect(&host, version).await.post("/echo");
        assert!(pieces.send("one\n").await);
        let mut answer = answer.await;
        assert_eq!(answer.header("x-chain"), Some("tag"), "{version:?}");
        answer.until("one\n").await;
        assert!(pieces.send("two\n").await);
        drop(pieces);
        assert_eq!(answer.text().await, "one\ntwo\n", "{version:?}");
    }
    // And what the host answers for the guest.
    let failed = host.get("/trap-before-head").await;
    assert!(
        failed
            .expect_problem(500, "plugin-failed")
            .header("x-seen")
            .is_some_and(|seen| seen.starts_with("500 "))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_answers_or_fails_keeps_the_guest_from_being_called() {
    for (filter, status) in [("deny", 403), ("trap", 500)] {
        let host = Host::start(&behind(&[filter])).await;
        host.request("POST", "/echo").body("a body").send().await.expect(status);
        let calls = host.metrics();
        let of_guest = calls
            .lines()
            .filter(|line| line.starts_with("jackfield_calls_total{tenant=\"shop\",plugin=\"guest\""));
        assert!(of_guest.into_iter().all(|line| line.ends_with(" 0")), "{calls}");
    }
    // On the way back: the guest's head is there, its body is not sent.
    let host = Host::start(&behind(&["trap-response"])).await;
    for path in ["/hello", "/sse-forever"] {
        let answer = host.get(path).await;
        answer.expect_problem(500, "plugin-failed");
        assert_eq!(failure(&host, &answer)["plugin"], "trap-response", "{answer}");
        host.wait_until("the guest was stopped", async || host.metric(IN_FLIGHT) == 0.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_may_come_before_its_requests_body_was_read() {
    let host = start("").await;
    assert_eq!(
        host.request("POST", "/early").body(vec![0; 100_000]).send().await.expect(401).text(),
        "who are you?\n"
    );
    assert_eq!(
        host.request("POST", "/read-some?bytes=10").body(vec![0; 100_000]).send().await.text(),
        "read=10\n"
    );
    for version in BOTH {
        // The caller has not ended its body, and need not.
        let (pieces, answer) = Caller::connect(&host, version).await.post("/early");
        // Whether it was still wanted: the answer may have come before.
        let _ = pieces.send("some").await;
        let mut answer = answer.await;
        assert_eq!((answer.status(), answer.text().await.as_str()), (401, "who are you?\n"), "{version:?}");
    }
    host.wait_until("nothing is in flight", async || host.metric(IN_FLIGHT) == 0.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_may_go_on_after_its_answer_is_whole() {
    let host = start("").await;
    let answer = host.get("/outlive?ms=1000").await;
    let id = answer.expect(200).request_id().to_owned();
    assert_eq!(answer.text(), "answered\n");
    assert_eq!(host.metric(IN_FLIGHT), 1.0);
    host.wait_for_log("its last words", |line| {
        line["request-id"] == id && line["text"] == "outlived its answer"
    })
    .await;
    host.wait_until("its place is free", async || host.metric(IN_FLIGHT) == 0.0).await;
    let line = host.access_line(&id).await;
    assert_eq!((&line["status"], line.get("problem")), (&200.into(), None), "{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_that_fails_after_its_answer_was_whole_is_logged_and_harms_nobody() {
    let host = start(r#"stream = "300ms""#).await;
    for (path, outcome) in [("/trap-after-finish?ms=50", "trap"), ("/outlive?ms=60000", "stream")] {
        let answer = host.get(path).await;
        let id = answer.expect(200).request_id().to_owned();
        let failed = |line: &Value| {
            line["request-id"] == id && line["message"] == "a plugin failed after its answer was whole"
        };
        host.wait_for_log(&format!("how {path} ended"), failed).await;
        let ended = format!(
            r#"jackfield_calls_total{{tenant="shop",plugin="guest",plug="handler",outcome="{outcome}"}}"#
        );
        host.wait_until("it was counted", async || host.metric(&ended) == 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_may_be_read_on_after_the_answer_is_whole() {
    let host = start("").await;
    for version in BOTH {
        let (pieces, answer) = Caller::connect(&host, version).await.post("/early-then-read");
        let mut answer = answer.await;
        let id = answer.request_id();
        // HTTP/1.1 tells its callers to stop when their answer is whole: what has arrived by then is read.
        assert!(pieces.send("read me").await);
        drop(pieces);
        assert_eq!(answer.text().await, "answered\n");
        let said = |line: &Value| {
            line["request-id"] == id && line["text"].as_str().is_some_and(|text| text.contains("read"))
        };
        host.wait_for_log("what it has read", said).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_that_could_mislead_are_left_out() {
    let host = start("").await;
    for version in BOTH {
        for name in ["content-length", "authorization", "set-cookie", "x-request-id"] {
            let caller = Caller::connect(&host, version).await;
            let path = format!("/trailers?name={name}&value=1");
            let mut answer = caller.send("GET", &path, &[("te", "trailers")], Pieces::new().1).await;
            assert_eq!(answer.text().await, "trailing\n");
            let trailers = answer.trailers.take().unwrap_or_default();
            assert!(
                trailers.contains_key("x-sum") && !trailers.contains_key(name),
                "{version:?}: {trailers:?}"
            );
        }
    }
    assert_eq!(host.get("/trailers?name=connection&value=x").await.text(), "refused: forbidden\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_an_origin_that_was_not_granted_is_denied() {
    let host = start("").await;
    for path in [
        "/fetch?url=http://127.0.0.1:1/",
        "/fetch?url=http://localhost:1/",
        "/post-upstream?url=http://[::1]:1/",
    ] {
        let answer = host.get(path).await;
        assert_eq!(answer.expect(502).text(), "HTTP-request-denied\n");
        let logged = host.log_of(answer.request_id());
        let told = logged.iter().find(|line| line["message"] == "a host call of the plugin failed");
        let reason = told.unwrap_or_else(|| panic!("{logged:#?}"))["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("denied") && reason.contains("grant `http`"), "{reason}");
    }
    // Not a failure of the host's making: the guest's 502 is its own.
    let line = json!(host.access_line(host.get("/fetch?url=http://127.0.0.1:1/").await.request_id()).await);
    assert_eq!((line.get("problem"), &line["status"]), (None, &502.into()), "{line}");
}
