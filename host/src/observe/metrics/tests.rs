//! The exposition as a scraper reads it.

use super::*;
use std::thread;

use crate::limits::Limit;

/// The samples of a valid exposition: `name{labels}` to value.
fn scrape(metrics: &Metrics) -> BTreeMap<String, f64> {
    let text = metrics.encode();
    let body = text.strip_suffix("# EOF\n").expect("the text ends with EOF");
    let mut samples = BTreeMap::new();
    let mut families = std::collections::BTreeSet::new();
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (keyword, family) = (words.next().unwrap(), words.next().unwrap());
            assert!(["HELP", "TYPE", "UNIT"].contains(&keyword), "{line}");
            assert!(keyword != "HELP" || families.insert(family.to_owned()), "{family} is described twice");
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
        let name = series.split('{').next().unwrap();
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line}");
        assert!(families.iter().any(|family| name.starts_with(family.as_str())), "{line} has no description");
        assert!(series == name || series.ends_with('}'), "{line}");
        let value = value.parse().expect("a value is a number");
        assert_eq!(samples.insert(series.to_owned(), value), None, "{series} is there twice");
    }
    samples
}

fn shop() -> TenantName {
    TenantName::parse("shop").unwrap()
}

fn name(plugin: &str) -> PluginName {
    PluginName::parse(plugin).unwrap()
}

#[test]
fn requests_calls_and_bytes_add_up() {
    let metrics = Metrics::new();
    let books = metrics.plugin(&shop(), &name("books"));
    let tenant = metrics.tenant(&shop());
    for _ in 0..3 {
        books.request(200, None, Duration::from_micros(700), 100);
    }
    books.request(500, Some(Blame::Plugin), Duration::from_secs(60), 20);
    books.request(503, Some(Blame::Quota), Duration::from_millis(1), 20);
    books.request(999, Some(Blame::Host), Duration::ZERO, 0);
    tenant.request(404, Some(Blame::Client), Duration::ZERO, 5);
    metrics.unrouted_request(400, Some(Blame::Client), Duration::ZERO, 7);
    books.call(Plug::Handler, CallOutcome::Ok, Duration::from_micros(15));
    books.call(Plug::Handler, CallOutcome::Limit(Limit::Cpu), Duration::from_millis(50));
    books.call(Plug::RequestFilter, CallOutcome::Limit(Limit::ResponseBody), Duration::from_secs(2));
    books.queue_rejected();
    books.guest_log_dropped(11);
    tenant.set_live_revision("sha256:0a");
    metrics.reload(Reload::Refused);

    let samples = scrape(&metrics);
    for (series, expected) in [
        (r#"requests_total{tenant="shop",plugin="books",status="200",blame="none"}"#, 3.0),
        (r#"requests_total{tenant="shop",plugin="books",status="500",blame="plugin"}"#, 1.0),
        (r#"requests_total{tenant="shop",plugin="books",status="503",blame="quota"}"#, 1.0),
        (r#"requests_total{tenant="shop",plugin="books",status="other",blame="host"}"#, 1.0),
        (r#"requests_total{tenant="shop",plugin="",status="404",blame="client"}"#, 1.0),
        (r#"requests_total{tenant="",plugin="",status="400",blame="client"}"#, 1.0),
        (r#"request_duration_seconds_bucket{le="0.0005",tenant="shop",plugin="books"}"#, 1.0),
        (r#"request_duration_seconds_bucket{le="0.001",tenant="shop",plugin="books"}"#, 5.0),
        (r#"request_duration_seconds_bucket{le="30.0",tenant="shop",plugin="books"}"#, 5.0),
        (r#"request_duration_seconds_bucket{le="+Inf",tenant="shop",plugin="books"}"#, 6.0),
        (r#"request_duration_seconds_count{tenant="shop",plugin="books"}"#, 6.0),
        (r#"request_duration_seconds_sum{tenant="shop",plugin="books"}"#, 60.0031),
        (r#"response_bytes_total{tenant="shop",plugin="books"}"#, 340.0),
        (r#"response_bytes_total{tenant="",plugin=""}"#, 7.0),
        (r#"calls_total{tenant="shop",plugin="books",plug="handler",outcome="ok"}"#, 1.0),
        (r#"calls_total{tenant="shop",plugin="books",plug="handler",outcome="cpu"}"#, 1.0),
        (r#"calls_total{tenant="shop",plugin="books",plug="request-filter",outcome="response-body"}"#, 1.0),
        (r#"call_cpu_seconds_bucket{le="0.000025",tenant="shop",plugin="books"}"#, 1.0),
        (r#"call_cpu_seconds_bucket{le="0.05",tenant="shop",plugin="books"}"#, 2.0),
        (r#"call_cpu_seconds_count{tenant="shop",plugin="books"}"#, 3.0),
        (r#"queue_rejected_total{tenant="shop",plugin="books"}"#, 1.0),
        (r#"guest_log_dropped_lines_total{tenant="shop",plugin="books"}"#, 11.0),
        (r#"live_revision_info{tenant="shop",revision="sha256:0a"}"#, 1.0),
        (r#"reloads_total{result="refused"}"#, 1.0),
        (r#"reloads_total{result="published"}"#, 0.0),
        ("log_dropped_lines_total", 0.0),
    ] {
        let found = samples.get(&format!("jackfield_{series}"));
        let found = found.unwrap_or_else(|| panic!("{series} is missing from {samples:#?}"));
        assert!((found - expected).abs() < 1e-9, "{series}: {found}");
    }
    assert!(samples.contains_key(concat!(
        "jackfield_build_info{version=\"",
        env!("CARGO_PKG_VERSION"),
        "\"}"
    )));
    assert!(samples["process_cpu_seconds_total"] > 0.0);
    if cfg!(target_os = "linux") {
        assert!(samples["process_resident_memory_bytes"] > 1e6);
    }
}

#[test]
fn what_is_held_counts_until_it_is_dropped() {
    let metrics = Metrics::new();
    let books = metrics.plugin(&shop(), &name("books"));
    let tenant = metrics.tenant(&shop());
    let held = [
        metrics.connection_guard(),
        metrics.request_guard(),
        books.in_flight_guard(),
        books.waiting_guard(),
        tenant.in_flight_guard(),
        tenant.waiting_guard(),
        tenant.draining_guard(),
    ];
    let series = [
        "connections",
        "requests_in_flight",
        r#"calls_in_flight{tenant="shop",plugin="books"}"#,
        r#"calls_waiting{tenant="shop",plugin="books"}"#,
        r#"tenant_requests_in_flight{tenant="shop"}"#,
        r#"tenant_requests_waiting{tenant="shop"}"#,
        r#"revisions_draining{tenant="shop"}"#,
    ];
    let values = || series.map(|series| scrape(&metrics)[&format!("jackfield_{series}")]);
    assert_eq!(values(), [1.0; 7]);
    drop(held);
    assert_eq!(values(), [0.0; 7]);
}

#[test]
fn a_swapped_plugin_goes_on_counting_and_a_removed_one_is_gone() {
    let metrics = Metrics::new();
    let old = metrics.plugin(&shop(), &name("books"));
    let other = metrics.plugin(&shop(), &name("other"));
    old.request(200, None, Duration::ZERO, 0);
    let new = metrics.plugin(&shop(), &name("books"));
    drop(old);
    new.request(200, None, Duration::ZERO, 0);
    let series = r#"jackfield_requests_total{tenant="shop",plugin="books",status="200",blame="none"}"#;
    assert_eq!(scrape(&metrics)[series], 2.0);

    drop(new);
    assert!(!metrics.encode().contains("books"));
    assert!(metrics.encode().contains("other"));
    for n in 0..100 {
        metrics.plugin(&shop(), &name(&format!("p{n}")));
    }
    assert_eq!(metrics.owners.plugins.0.lock().unwrap().len(), 2, "what nobody holds is swept away");
    drop(other);
}

#[test]
fn every_status_that_a_plugin_can_answer_has_one_series_and_no_more() {
    let metrics = Metrics::new();
    let books = metrics.plugin(&shop(), &name("books"));
    for status in 0..=u16::MAX {
        books.request(status, None, Duration::ZERO, 0);
    }
    let samples = scrape(&metrics);
    let counts: Vec<_> =
        samples.iter().filter(|(series, _)| series.starts_with("jackfield_requests_total")).collect();
    assert_eq!(counts.len(), 501);
    assert_eq!(counts.iter().map(|(_, count)| **count).sum::<f64>(), 65_536.0);
    for status in 100..600 {
        let series = format!(
            r#"jackfield_requests_total{{tenant="shop",plugin="books",status="{status}",blame="none"}}"#
        );
        assert_eq!(samples[&series], 1.0);
    }
}

#[test]
fn what_many_threads_count_at_once_adds_up() {
    let metrics = Metrics::new();
    let books = metrics.plugin(&shop(), &name("books"));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mine = metrics.plugin(&shop(), &name("books"));
                for n in 0..10_000_u16 {
                    let _held = mine.in_flight_guard();
                    mine.request(200 + n % 400, Some(Blame::Plugin), Duration::from_millis(1), 3);
                    mine.call(Plug::Handler, CallOutcome::Trap, Duration::from_micros(10));
                }
            });
        }
    });
    let samples = scrape(&metrics);
    let requests = samples.iter().filter(|(series, _)| series.starts_with("jackfield_requests_total"));
    assert_eq!(requests.map(|(_, count)| count).sum::<f64>(), 40_000.0);
    let owner = r#"{tenant="shop",plugin="books"}"#;
    assert_eq!(samples[&format!("jackfield_request_duration_seconds_count{owner}")], 40_000.0);
    assert_eq!(samples[&format!("jackfield_response_bytes_total{owner}")], 120_000.0);
    assert_eq!(samples[&format!("jackfield_call_cpu_seconds_count{owner}")], 40_000.0);
    assert_eq!(samples[&format!("jackfield_calls_in_flight{owner}")], 0.0);
    drop(books);
}

#[test]
fn lines_that_the_log_lost_are_counted() {
    struct Closed;
    impl std::io::Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Log::new(super::super::Format::Text, super::super::Level::Info, Box::new(Closed)).unwrap();
    let metrics = Metrics::new();
    metrics.watch_log(&log);
    log.info("lost").send();
    log.flush();
    assert_eq!(scrape(&metrics)["jackfield_log_dropped_lines_total"], 1.0);
}
