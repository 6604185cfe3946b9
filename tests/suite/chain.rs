//! Filters in front of a plugin: what each sees and changes, on the way in and on the way back.

use jackfield_tests::{Answer, Host, RequestBuilder, Site};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A site where the header `x-case` picks the filters that stand before one plugin.
fn site(cases: &[(&str, &[&str])]) -> Site {
    let mut named: Vec<&str> = cases.iter().flat_map(|(_, filters)| *filters).copied().collect();
    named.sort_unstable();
    named.dedup();
    let plugin = Site::shop().plugin("plugin", "guest_misbehave.wasm").limits("request-body = '1MiB'");
    let site = named.into_iter().fold(plugin, |site, name| {
        // Those that only tag are told apart by name; what others do is their name.
        let mode = if matches!(name, "first" | "second" | "third") { "tag" } else { name };
        site.plugin(name, "guest_filters.wasm")
            .config(format!("name = '{name}', mode = '{mode}', header = 'x-secret'"))
    });
    cases.iter().fold(site, |site, (case, filters)| {
        site.route_to("plugin", "/{*all}")
            .with(format!("headers = {{ x-case = '{case}' }}\nfilters = {filters:?}"))
    })
}

fn ask<'a>(host: &'a Host, case: &str, method: &str, path: &str) -> RequestBuilder<'a> {
    host.request(method, path).header("x-case", case)
}

/// How often a filter, or the plugin, was called as this plug.
fn calls(host: &Host, plugin: &str, plug: &str) -> f64 {
    let prefix = format!(r#"jackfield_calls_total{{tenant="shop",plugin="{plugin}",plug="{plug}","#);
    let metrics = host.metrics();
    let counts = metrics.lines().filter(|line| line.starts_with(&prefix));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// The filters that an answer came back through, in the order in which it did.
fn came_back_through(answer: &Answer) -> (Vec<&str>, Vec<&str>) {
    (answer.header_all("x-next"), answer.header_all("x-chain"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_passes_the_filters_in_order_and_its_answer_passes_them_back() {
    let host = Host::start(&site(&[("three", &["first", "second", "third"]), ("none", &[])])).await;
    let answer = ask(&host, "three", "GET", "/echo").header("x-filter", "caller").send().await;
    let text = answer.expect(200).text();
    let seen: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("header x-filter: ")).collect();
    assert_eq!(seen, ["caller", "first", "second", "third"]);
    let back = vec!["third", "second", "first"];
    assert_eq!(came_back_through(&answer), (back.clone(), back));

    let answer = ask(&host, "none", "GET", "/echo").send().await;
    assert_eq!(came_back_through(answer.expect(200)), (vec![], vec![]));
    for name in ["first", "second", "third"] {
        assert_eq!((calls(&host, name, "request-filter"), calls(&host, name, "response-filter")), (1.0, 1.0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_takes_fields_away_from_request_and_answer() {
    let host = Host::start(&site(&[("strip", &["first", "strip"])])).await;
    let ask = |path| ask(&host, "strip", "GET", path).header("x-secret", "1").header("X-Secret", "2");
    let answer = ask("/echo").header("x-kept", "3").send().await;
    assert!(!answer.expect(200).text().contains("x-secret"), "{answer}");
    assert!(answer.text().contains("header x-kept: 3\n"), "{answer}");

    let answer = ask("/header?name=X-Secret&value=inside").send().await;
    assert_eq!((answer.expect(200).header("x-secret"), answer.text().as_str()), (None, "header\n"));
    assert_eq!(came_back_through(&answer), (vec!["first"], vec!["first"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_sees_the_heads_as_they_are_at_its_place_in_the_chain() {
    let host = Host::start(&site(&[("see", &["first", "see", "third"])])).await;
    let answer = ask(&host, "see", "GET", "/status?code=404").send().await;
    let seen = answer.expect(404).header("x-seen").expect("the filter saw the answer").to_owned();
    let [status, answered, asked] = seen.split(' ').collect::<Vec<_>>()[..] else { panic!("{seen}") };
    assert_eq!(status, "404");
    // Of the answer: what `third` did on the way back, and what it asked for itself by `next`.
    assert_eq!(answered.split(',').filter(|name| *name == "x-next").count(), 2, "{seen}");
    assert_eq!(answered.split(',').filter(|name| *name == "x-chain").count(), 1, "{seen}");
    // Of the request: what `first` had done to it, and not yet its own change.
    assert_eq!(asked.split(',').filter(|name| *name == "x-filter").count(), 1, "{seen}");

    // What the host answers for a plugin that failed is an answer like others.
    let answer = ask(&host, "see", "GET", "/trap").send().await;
    let seen = answer.expect_problem(500, "plugin-failed").header("x-seen").unwrap_or_default();
    assert!(seen.starts_with("500 ") && seen.contains("content-type"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_answers_ends_the_way_in_and_its_answer_goes_back_through_those_that_ran() {
    let host = Host::start(&site(&[("deny", &["first", "second", "deny", "third"])])).await;
    let answer = ask(&host, "deny", "GET", "/echo").send().await;
    assert_eq!(answer.expect(403).text(), "denied by deny\n");
    assert_eq!(came_back_through(&answer), (vec!["second", "first"], vec!["deny", "second", "first"]));
    assert_eq!(
        (calls(&host, "third", "request-filter"), calls(&host, "third", "response-filter")),
        (0.0, 0.0)
    );
    assert_eq!(calls(&host, "plugin", "handler"), 0.0);
    // A filter's answer is an answer: nothing failed, and nobody is to blame.
    let line = host.access_line(answer.request_id()).await;
    assert_eq!(
        (&line["status"], line.get("blame"), line.get("problem")),
        (&403.into(), None, None),
        "{line}"
    );
    assert_eq!(line["plugin"], "plugin");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_answers_for_a_failed_plugin_goes_back_through_the_filters() {
    let host = Host::start(&site(&[("tags", &["first", "second"])])).await;
    for (path, status, problem) in [
        ("/trap", 500, "plugin-failed"),
        ("/error", 500, "plugin-failed"),
        ("/status?code=99", 502, "plugin-answer"),
        ("/header?name=x-a&value=a%0D%0Ab", 502, "plugin-answer"),
        ("/loop", 504, "cpu"),
    ] {
        let answer = ask(&host, "tags", "GET", path).send().await;
        answer.expect_problem(status, problem);
        assert_eq!(came_back_through(&answer), (vec!["second", "first"], vec!["second", "first"]), "{path}");
    }
    let answer = ask(&host, "tags", "POST", "/echo").body(vec![b'x'; (1 << 20) + 1]).send().await;
    answer.expect_problem(413, "request-body");
    assert_eq!(came_back_through(&answer), (vec!["second", "first"], vec!["second", "first"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_host_answers_itself_passes_the_filters_of_the_routes_that_it_answers_for() {
    let filters = [
        ("cors", "tag"),
        ("limit", "tag"),
        ("auth", "tag"),
        ("see", "see"),
        ("deny", "deny"),
        ("trap", "trap"),
    ];
    let plugin = Site::shop().plugin("plugin", "guest_misbehave.wasm");
    let mut site = filters.into_iter().fold(plugin, |site, (name, mode)| {
        site.plugin(name, "guest_filters.wasm").config(format!("name = '{name}', mode = '{mode}'"))
    });
    for (path, method, filters) in [
        ("/page", "GET", &["cors", "limit"][..]),
        ("/page", "POST", &["cors", "auth"]),
        ("/seen/{id}", "GET", &["see"]),
        ("/denied", "GET", &["cors", "deny"]),
        ("/broken", "GET", &["cors", "trap"]),
        ("/plain", "GET", &[]),
    ] {
        site = site.route_to("plugin", path).with(format!("methods = ['{method}']\nfilters = {filters:?}"));
    }
    let host = Host::start(&site).await;
    let preflight = async |path: &str, method: &str| {
        let request = host.request("OPTIONS", path).header("origin", "https://b.example");
        request.header("access-control-request-method", method).send().await
    };
    let back = |names: &[&'static str]| (names.to_vec(), names.to_vec());

    // A preflight passes the filters of the route that it asks about; what it asks for may be HEAD.
    for (method, names) in [
        ("GET", &["limit", "cors"][..]),
        ("HEAD", &["limit", "cors"]),
        ("POST", &["auth", "cors"]),
        // No route takes this one: the filters that all of them begin with.
        ("DELETE", &["cors"]),
    ] {
        let answer = preflight("/page", method).await;
        assert_eq!(came_back_through(answer.expect(204)), back(names), "{method}");
        assert_eq!(answer.header("allow"), Some("GET, HEAD, OPTIONS, POST"));
    }
    let options = host.request("OPTIONS", "/page").send().await;
    assert_eq!(came_back_through(options.expect(204)), back(&["cors"]));
    let refused = host.request("DELETE", "/page").body("unread").send().await;
    assert_eq!(came_back_through(refused.expect_problem(405, "method")), back(&["cors"]));
    assert_eq!(refused.header("allow"), Some("GET, HEAD, OPTIONS, POST"));
    let line = host.access_line(refused.request_id()).await;
    assert_eq!(
        (&line["problem"], &line["blame"], line.get("plugin")),
        (&"method".into(), &"client".into(), None)
    );
    assert!(line["cpu-ms"].as_f64().is_some_and(|cpu| cpu > 0.0), "{line}");

    // They see what was asked, and what is answered.
    let seen = host.request("PUT", "/seen/7").header("x-mine", "1").send().await;
    let told = seen.expect_problem(405, "method").header("x-seen").unwrap_or_default();
    assert!(told.starts_with("405 ") && told.contains("allow") && told.contains("x-mine"), "{seen}");
    // One may answer itself, and one that fails fails the request.
    let denied = preflight("/denied", "GET").await;
    assert_eq!(denied.expect(403).text(), "denied by deny\n");
    let broken = host.request("POST", "/broken").send().await;
    broken.expect_problem(500, "plugin-failed");
    assert_eq!(came_back_through(&broken), back(&[]));
    assert_eq!(calls(&host, "plugin", "handler"), 0.0);

    // Where nothing is, no filter stands.
    assert_eq!(came_back_through(preflight("/plain", "GET").await.expect(204)), back(&[]));
    assert_eq!(came_back_through(host.get("/nowhere").await.expect_problem(404, "no-route")), back(&[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_filter_runs_for_a_request_that_its_tenant_has_no_place_for_any_more() {
    let site = site(&[("tags", &["first", "second"]), ("none", &[])])
        .with("[tenants.shop.quota]\nconcurrency = 1\nqueue = 0");
    let host = Host::start(&site).await;
    let in_flight = r#"jackfield_calls_in_flight{tenant="shop",plugin="plugin"}"#;
    let idle = async || host.metric("jackfield_tenant_requests_in_flight{tenant=\"shop\"}") == 0.0;
    for (is_full, status, chain) in [(true, "503", 0.0), (false, "413", 1.0)] {
        let mut upload = TcpStream::connect(host.address()).await.unwrap();
        let head = "POST /echo HTTP/1.1\r\nhost: a.example\r\nx-case: tags\r\nconnection: close\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        let asked = calls(&host, "second", "request-filter");
        upload.write_all(head.as_bytes()).await.unwrap();
        // It has passed the filters, and has no place while its body is waited for.
        let waits = async || calls(&host, "second", "request-filter") > asked && idle().await;
        host.wait_until("the upload waits for its body", waits).await;
        let mut other = TcpStream::connect(host.address()).await.unwrap();
        if is_full {
            let request = "GET /sleep?ms=20000 HTTP/1.1\r\nhost: a.example\r\nx-case: none\r\n\r\n";
            other.write_all(request.as_bytes()).await.unwrap();
            host.wait_until("another has the place", async || host.metric(in_flight) == 1.0).await;
        }
        // More than the plugin takes.
        let chunk = format!("200000\r\n{}\r\n", "x".repeat(0x20_0000));
        let _ = upload.write_all(chunk.as_bytes()).await;
        let mut answer = vec![0; 4096];
        let read = tokio::time::timeout(jackfield_tests::PATIENCE, upload.read(&mut answer));
        let length = read.await.unwrap().unwrap();
        answer.truncate(length);
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert_eq!(answer.matches("x-chain: ").count() > 0, chain > 0.0, "{answer}");
        assert_eq!(calls(&host, "second", "response-filter"), chain, "{answer}");
        drop((upload, other));
        host.wait_until("nobody is left", idle).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_full_is_answered_for_through_its_filters() {
    let site = site(&[("tags", &["first", "second"]), ("none", &[])]);
    let site = site.replace("request-body = '1MiB'", "concurrency = 1, queue = 0");
    let host = Host::start(&site).await;
    let mut holding = TcpStream::connect(host.address()).await.unwrap();
    let request = "GET /sleep?ms=20000 HTTP/1.1\r\nhost: a.example\r\nx-case: none\r\n\r\n";
    holding.write_all(request.as_bytes()).await.unwrap();
    let in_flight = r#"jackfield_calls_in_flight{tenant="shop",plugin="plugin"}"#;
    host.wait_until("the plugin to be full", async || host.metric(in_flight) == 1.0).await;
    let answer = ask(&host, "tags", "GET", "/ok").send().await;
    assert!(answer.expect_problem(503, "queue").header("retry-after").is_some(), "{answer}");
    assert_eq!(came_back_through(&answer), (vec!["second", "first"], vec!["second", "first"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_fails_on_the_way_in_fails_the_request_closed() {
    let host =
        Host::start(&site(&[("trap", &["first", "trap", "second"]), ("loop", &["first", "loop", "second"])]))
            .await;
    for (case, status, problem, outcome) in
        [("trap", 500, "plugin-failed", "trap"), ("loop", 504, "cpu", "cpu")]
    {
        let answer = ask(&host, case, "GET", "/echo").send().await;
        answer.expect_problem(status, problem);
        assert_eq!(came_back_through(&answer), (vec![], vec![]), "{answer}");
        let failed = format!(
            r#"jackfield_calls_total{{tenant="shop",plugin="{case}",plug="request-filter",outcome="{outcome}"}}"#
        );
        assert_eq!(host.metric(&failed), 1.0, "{}", host.metrics());
        let told = host.log_of(answer.request_id());
        let failure = told.iter().find(|line| line["message"] == "request failed").expect("it is logged");
        assert_eq!((&failure["plugin"], &failure["blame"]), (&case.into(), &"plugin".into()), "{failure}");
    }
    assert_eq!(calls(&host, "first", "request-filter"), 2.0);
    assert_eq!(calls(&host, "first", "response-filter"), 0.0);
    assert_eq!((calls(&host, "second", "request-filter"), calls(&host, "plugin", "handler")), (0.0, 0.0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_fails_on_the_way_back_keeps_the_answer_from_the_caller() {
    let cases = ["trap-response", "error-response", "loop-response", "bad-change"];
    let chains = cases.map(|case| ["first", case, "second"]);
    let chains: Vec<(&str, &[&str])> = cases.into_iter().zip(chains.iter().map(|chain| &chain[..])).collect();
    let host = Host::start(&site(&chains)).await;
    for (case, status, problem) in [
        ("trap-response", 500, "plugin-failed"),
        ("error-response", 500, "plugin-failed"),
        ("loop-response", 504, "cpu"),
        ("bad-change", 502, "plugin-answer"),
    ] {
        let answer = ask(&host, case, "GET", "/header?name=x-inside&value=1").send().await;
        answer.expect_problem(status, problem);
        assert_eq!(came_back_through(&answer), (vec![], vec![]), "{answer}");
        assert_eq!(answer.header("x-inside"), None, "{answer}");
        assert!(!answer.text().contains("secret inside text"), "{answer}");
        let told = host.log_of(answer.request_id());
        let failure = told.iter().find(|line| line["message"] == "request failed").expect("it is logged");
        assert_eq!((&failure["plugin"], &failure["blame"]), (&case.into(), &"plugin".into()), "{failure}");
        if case == "error-response" {
            assert!(failure["error"].as_str().is_some_and(|error| error.contains("secret inside text")));
        }
    }
    // The plugin and the filters behind the failing one ran, those before it did not run again.
    assert_eq!((calls(&host, "plugin", "handler"), calls(&host, "second", "response-filter")), (4.0, 4.0));
    assert_eq!(calls(&host, "first", "response-filter"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_goes_past_the_filters_whole() {
    let host = Host::start(&site(&[("two", &["first", "second"])])).await;
    let body: Vec<u8> = (0..700_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let answer = ask(&host, "two", "POST", "/echo").body(body.clone()).send().await;
    let head = format!("body-bytes={}\n", body.len());
    let echoed = answer.expect(200).body.windows(head.len()).position(|window| window == head.as_bytes());
    let echoed = &answer.body[echoed.expect("the body's length is told") + head.len()..];
    assert!(echoed == body, "{} bytes came back of {}", echoed.len(), body.len());
    assert_eq!(came_back_through(&answer).1, ["second", "first"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_does_not_wait_for_the_body() {
    let host = Host::start(&site(&[("deny", &["first", "deny"])])).await;
    // The body that is promised never comes.
    let request = "POST /echo HTTP/1.1\r\nhost: a.example\r\nx-case: deny\r\ncontent-length: 100\r\n\r\n";
    let mut stream = TcpStream::connect(host.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    tokio::time::timeout(jackfield_tests::PATIENCE, stream.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), "HTTP/1.1 403");
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_of_the_connection_are_not_seen_by_plugins() {
    let host = Host::start(&site(&[("see", &["see"])])).await;
    let request = "GET /echo HTTP/1.1\r\nhost: a.example\r\nx-case: see\r\n\
                   connection: close, X-Hop\r\nconnection: x-hop-2, authorization\r\nx-hop: 1\r\nx-hop-2: 2\r\n\
                   keep-alive: timeout=5\r\nproxy-connection: close\r\nte: trailers\r\ntrailer: x-t\r\n\
                   upgrade: h3\r\nauthorization: mine\r\nx-kept: 3\r\n\r\n";
    let text = host.raw(request).await;
    let seen = text.lines().find_map(|line| line.strip_prefix("x-seen: ")).expect("the filter saw it");
    let (told, echoed) = (seen.rsplit(' ').next().unwrap_or_default(), text.split("method=GET").nth(1));
    let echoed = echoed.unwrap_or_else(|| panic!("there is no echo: {text}"));
    for name in
        ["connection", "x-hop", "x-hop-2", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"]
    {
        assert!(!echoed.contains(&format!("header {name}:")), "the plugin sees {name}: {text}");
        assert!(told.split(',').all(|seen| seen != name), "the filter sees {name}: {text}");
    }
    for kept in ["header x-kept: 3\n", "header host: a.example\n", "header authorization: mine\n"] {
        assert!(echoed.contains(kept), "{kept} is gone: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_cannot_speak_for_the_connection() {
    let host = Host::start(&site(&[("one", &["first"])])).await;
    for (name, value) in [
        ("connection", "close"),
        ("Connection", "upgrade"),
        ("keep-alive", "timeout=9"),
        ("proxy-connection", "close"),
        ("te", "trailers"),
        ("trailer", "x-t"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
    ] {
        let answer = ask(&host, "one", "GET", &format!("/header?name={name}&value={value}")).send().await;
        assert_eq!(answer.expect(200).header(name), None, "{answer}");
        assert_eq!((answer.text().as_str(), answer.header("content-length")), ("header\n", Some("7")));
        assert_eq!(came_back_through(&answer).1, ["first"]);
    }
}
