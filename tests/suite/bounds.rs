//! What one call may hold of the host at once, or use up in all: beyond it the call ends, the caller is told no more
//! than that its plugin failed, and log and metrics name the limit.

use jackfield_tests::{Answer, Host, Site};

use crate::limits::{failure, guest_with};
use crate::sandbox::{Made, handler_with_tables};
use crate::streaming::guest_with as http_guest_with;

/// Expects that a call was ended for being beyond `limit`, which is `most`.
#[track_caller]
fn expect_beyond(host: &Host, answer: &Answer, limit: &str, most: &str) {
    answer.expect_problem(500, "plugin-failed");
    let why = failure(host, answer);
    let error = why["error"].as_str().unwrap();
    assert!(error.contains(&format!("beyond its limit `{limit}` of {most}: ")), "{error}");
    assert_eq!((&why["blame"], &why["plugin"]), (&"plugin".into(), &"guest".into()), "{why}");
    assert!(!answer.text().contains(limit), "{answer}");
}

/// How many calls were ended so.
fn ended(host: &Host, outcome: &str) -> f64 {
    host.metric(&format!(
        r#"jackfield_calls_total{{tenant="shop",plugin="guest",plug="handler",outcome="{outcome}"}}"#
    ))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_holds_so_many_handles_at_once_and_no_more() {
    let host = Host::start(&guest_with(r#"handles = 100, cpu = "5s""#)).await;
    // Of the host's two things, a clock's alarm and the means to wait for it, the guest has one handle.
    assert_eq!(host.get("/handles?n=45").await.expect(200).text(), "handles=45\n");
    expect_beyond(&host, &host.get("/handles?n=51").await, "handles", "100");
    assert_eq!(ended(&host, "handles"), 1.0);
    host.get("/ok").await.expect(200);

    let host = Host::start(&http_guest_with(r#"handles = 100, cpu = "5s""#)).await;
    assert_eq!(host.get("/handles?n=80").await.expect(200).text(), "handles=80\n");
    expect_beyond(&host, &host.get("/handles?n=101").await, "handles", "100");
    assert_eq!(ended(&host, "handles"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_sleeps_on_no_more_than_it_may_hold_and_a_list_of_handles_counts_as_it_is_long() {
    let host = Host::start(&guest_with(r#"cpu = "5s", memory = "64MiB""#)).await;
    let woken = host.get("/sleep-on-many?n=1000").await.expect(200).text();
    assert!(woken.starts_with("woken="), "{woken}");
    expect_beyond(&host, &host.get("/sleep-on-many?n=10000").await, "handles", "4096");
    assert_eq!(host.get("/poll-list?n=1000").await.expect(200).text(), "ready=1000\n");
    expect_beyond(&host, &host.get("/poll-list?n=1000000").await, "handles", "4096");
    assert_eq!(ended(&host, "handles"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn random_bytes_are_counted_over_the_whole_call_whichever_function_gives_them() {
    let host = Host::start(&guest_with(r#"random = "4KiB""#)).await;
    let ways = [
        ("by=bytes&bytes=1024", 4),
        ("by=word", 512),
        ("by=insecure&bytes=1024", 4),
        ("by=insecure-word", 512),
        ("by=bytes&bytes=4096", 1),
        ("by=bytes&bytes=0", 5000),
    ];
    let mut beyond = 0.0;
    for (way, most) in ways {
        let answer = host.get(&format!("/random-in-all?{way}&times={most}")).await;
        assert_eq!(answer.expect(200).text(), format!("times={most}\n"));
        if way.ends_with("=0") {
            continue;
        }
        let one_more = most + 1;
        let answer = host.get(&format!("/random-in-all?{way}&times={one_more}")).await;
        expect_beyond(&host, &answer, "random", "4096");
        beyond += 1.0;
    }
    expect_beyond(&host, &host.get("/random?bytes=18446744073709551615").await, "random", "4096");
    assert_eq!(ended(&host, "random"), beyond + 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_of_random_gives_more_than_64_kib_whatever_a_call_may_have_in_all() {
    let host = Host::start(&guest_with(r#"random = "1MiB", cpu = "5s""#)).await;
    host.get("/random-in-all?bytes=65536&times=16").await.expect(200);
    let answer = host.get("/random?bytes=65537").await;
    answer.expect_problem(500, "plugin-failed");
    let error = failure(&host, &answer)["error"].to_string();
    assert!(error.contains("65537") && error.contains("65536"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn header_fields_are_counted_over_the_whole_call_kept_or_not() {
    let host = Host::start(&http_guest_with(r#"fields = "64KiB", cpu = "5s""#)).await;
    // Each has a value, a name of eight bytes, and what the host's map takes for them.
    assert_eq!(host.get("/hoard?n=15&bytes=4000").await.expect(200).text(), "held=15\n");
    expect_beyond(&host, &host.get("/hoard?n=17&bytes=4000").await, "fields", "65536");
    expect_beyond(&host, &host.get("/hoard?n=2000&bytes=0").await, "fields", "65536");
    expect_beyond(&host, &host.get("/big-headers?n=1&bytes=70000").await, "fields", "65536");
    expect_beyond(&host, &host.get("/big-headers?n=5000&bytes=0").await, "fields", "65536");
    assert_eq!(ended(&host, "fields"), 4.0);
    host.get("/hello").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_method_of_a_request_counts_as_header_fields_do() {
    let host = Host::start(&http_guest_with(r#"cpu = "5s""#)).await;
    assert_eq!(host.get("/methods?n=100&bytes=1000").await.expect(200).text(), "methods=Ok(100)\n");
    expect_beyond(&host, &host.get("/methods?n=1&bytes=1000000").await, "fields", "262144");
    expect_beyond(&host, &host.get("/methods?n=300&bytes=1000").await, "fields", "262144");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_of_the_largest_size_may_be_copied_three_times_by_default() {
    let host = Host::start(&http_guest_with(r#"cpu = "5s""#)).await;
    let fields: String = (0..100).map(|n| format!("x-filler-{n}: {}\r\n", "x".repeat(600))).collect();
    let copies = async |n: u32| {
        let head = format!("GET /copies?n={n} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{fields}\r\n");
        host.raw(head).await
    };
    let taken = copies(3).await;
    assert!(taken.starts_with("HTTP/1.1 200 ") && taken.ends_with("copies=3\n"), "{taken}");
    assert!(copies(5).await.starts_with("HTTP/1.1 500 "));
    assert_eq!(ended(&host, "fields"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_tables_share_one_limit_and_a_growth_beyond_it_is_refused_to_the_guest() {
    const STATUS: &str = "(i32.store16 (i32.const 4)";
    let made = Made::new(&handler_with_tables(
        100,
        &format!(
            r#"
            {STATUS} (i32.const 299))
            (if (i32.eq (call $grow-a (i32.const 700)) (i32.const 100)) (then
                (if (i32.eq (call $grow-b (i32.const 101)) (i32.const -1)) (then
                    (if (i32.eq (call $grow-b (i32.const 100)) (i32.const 100)) (then
                        {STATUS} (i32.const 200))))))))
            (i32.const 0)
            "#
        ),
    ));
    let host = Host::start(&made.site("tables = 1000")).await;
    host.get("/").await.expect(200);
    assert_eq!(ended(&host, "tables"), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_traps_for_want_of_table_elements_is_told_so_in_the_log() {
    let grows = handler_with_tables(
        0,
        r#"
        (if (i32.eq (call $grow-a (i32.const 1001)) (i32.const -1)) (then (unreachable)))
        (i32.store16 (i32.const 4) (i32.const 200))
        (i32.const 0)
        "#,
    );
    let made = Made::new(&grows);
    let host = Host::start(&made.site("tables = 1000")).await;
    expect_beyond(&host, &host.get("/").await, "tables", "1000");
    assert_eq!(ended(&host, "tables"), 1.0);
    let host = Host::start(&made.site("tables = 1002")).await;
    host.get("/").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_longer_than_4_kib_is_several_lines() {
    let host = Host::start(&guest_with("")).await;
    let answer = host.get("/log?lines=1&bytes=10000").await;
    answer.expect(200);
    let lines = host.log_of(answer.request_id());
    let said = lines.iter().filter(|line| line["message"] == "plugin says").count();
    assert_eq!(said, 3, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_passes_between_a_plugin_and_its_store_is_bounded() {
    const MIB: usize = 1 << 20;
    let site = Site::shop()
        .plugin("guest", "guest_keyvalue.wasm")
        .grants("keyvalue = true")
        .limits("request-body = '4MiB', memory = '256MiB', cpu = '5s'")
        .route("/{*rest}");
    let host = Host::start(&site).await;
    let set = |key: &str, bytes: usize| {
        host.request("PUT", &format!("/set?key={key}")).body(vec![b'x'; bytes]).send()
    };
    set("a", MIB).await.expect(200);
    set(&"k".repeat(1024), 1).await.expect(200);
    let some = |count: usize| "a,".repeat(count);
    host.get(&format!("/get-many?keys={}", some(7))).await.expect(200);
    let refused = [
        (set("b", MIB + 1).await, "value too long: it has 1048577 bytes"),
        (set(&"k".repeat(1025), 1).await, "key too long: it has 1025 bytes"),
        (host.get(&format!("/get-many?keys={}", some(9))).await, "too much at once: "),
        (host.get(&format!("/get-many?keys={}", some(1001))).await, "too many keys at once: 1001"),
        (
            host.request("POST", &format!("/delete-many?keys={}", some(1001))).send().await,
            "too many keys at once: 1001",
        ),
        (
            host.request("POST", &format!("/set-many?pairs={}", "a:1,".repeat(1001))).send().await,
            "too many keys at once: 1001",
        ),
    ];
    for (answer, why) in refused {
        assert!(answer.expect(503).text().contains(why), "{answer}");
    }
    host.get("/get?key=b").await.expect(404);
    assert_eq!(host.get("/get?key=a").await.expect(200).body.len(), MIB, "nothing was deleted or replaced");
}
