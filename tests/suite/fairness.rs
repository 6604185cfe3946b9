//! Who gets the CPU and the slots when both are short: tenants by weight, and none more than its quota.
//!
//! Shares are told by the CPU clocks of the calls themselves, so that a busy machine changes none of them.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use jackfield_tests::{Host, Options, PATIENCE, Process, Site, raw, site_folder, together};

use crate::limits::failure;
use crate::streaming::client::{Caller, Version};

/// A tenant whose every path is the misbehaving guest's.
fn tenant(name: &str, quota: &str, limits: &str) -> Site {
    Site::default()
        .tenant(name, [format!("{name}.example")])
        .with(format!("quota = {{ {quota} }}"))
        .plugin("guest", "guest_misbehave.wasm")
        .limits(limits)
        .route("/{*rest}")
}

fn cpu(host: &Host, tenant: &str) -> f64 {
    host.metric(&format!(r#"jackfield_tenant_cpu_seconds_total{{tenant="{tenant}"}}"#))
}

/// Has so many callers of each of two tenants ask for `/loop`, each again and again, until the tenants have used so
/// many seconds of CPU together: what each has used by then. (What is under way then ends without competition.)
async fn compete(host: &Host, [one, other]: [(&str, usize); 2], seconds: f64) -> (f64, f64) {
    let before = (cpu(host, one.0), cpu(host, other.0));
    let used = || (cpu(host, one.0) - before.0, cpu(host, other.0) - before.1);
    let in_the_end = OnceLock::new();
    let give_up = Instant::now() + Duration::from_secs(30);
    let callers = [one, other].into_iter().flat_map(|(tenant, count)| std::iter::repeat_n(tenant, count));
    together(callers.map(async |tenant| {
        while in_the_end.get().is_none() && Instant::now() < give_up {
            let request = host.request("GET", "/loop").header("host", format!("{tenant}.example"));
            request.send().await.expect_problem(504, "cpu");
            let used = used();
            if used.0 + used.1 >= seconds {
                in_the_end.get_or_init(|| used);
            }
        }
    }))
    .await;
    *in_the_end.get().expect("they use so much in time")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_greedy_tenants_get_as_much_cpu_as_each_other_however_many_calls_they_make() {
    let limits = r#"cpu = "20ms""#;
    let host = Host::start(&tenant("many", "", limits).with(tenant("few", "", limits))).await;
    let (many, few) = compete(&host, [("many", 32), ("few", 8)], 2.0).await;
    assert!((0.8..1.25).contains(&(many / few)), "32 callers got {many} s, 8 got {few} s");
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_share_the_cpu_and_change_in_place() {
    let limits = r#"cpu = "20ms""#;
    let site = |weight: u32| {
        tenant("light", "weight = 1", limits).with(tenant("heavy", &format!("weight = {weight}"), limits))
    };
    let host = Host::start(&site(3)).await;
    let (light, heavy) = compete(&host, [("light", 12), ("heavy", 12)], 2.0).await;
    assert!((2.25..4.0).contains(&(heavy / light)), "weights 1:3 got {light} s and {heavy} s");

    host.edit_site(&site(1));
    host.wait_for_log("the quota's change", |line| line["message"] == "quota changed").await;
    let (light, heavy) = compete(&host, [("light", 12), ("heavy", 12)], 2.0).await;
    assert!((0.8..1.25).contains(&(heavy / light)), "weights 1:1 got {light} s and {heavy} s");
}

/// What one instruction over 64 MiB takes is measured in the same run: a call that is cut takes less than one of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_fills_is_cut_in_the_midst_of_an_instruction() {
    let limits = |cpu: &str| format!(r#"cpu = "{cpu}", memory = "96MiB""#);
    let host =
        Host::start(&tenant("once", "", &limits("5s")).with(tenant("storm", "", &limits("5ms")))).await;
    let used = async |tenant: &str, path: &str, status: u16| {
        let request = host.request("GET", path).header("host", format!("{tenant}.example"));
        let answer = request.send().await;
        host.access_line(answer.expect(status).request_id()).await["cpu-ms"]
            .as_f64()
            .expect("a call has used CPU")
    };
    let mut whole = f64::INFINITY;
    for _ in 0..4 {
        whole = whole.min(used("once", "/fill?mib=64&times=1", 200).await);
    }
    let cut = std::sync::Mutex::new(Vec::new());
    together((0..8).map(async |_| {
        for _ in 0..4 {
            let used = used("storm", "/fill?mib=64", 504).await;
            cut.lock().unwrap().push(used);
        }
    }))
    .await;
    let mut cut = cut.into_inner().unwrap();
    cut.sort_by(f64::total_cmp);
    println!("one fill takes {whole:.1} ms of CPU; calls of 5 ms that fill and fill: {cut:.1?}");
    assert!(cut[cut.len() / 2] < whole * 0.75, "one fill takes {whole} ms, calls were cut after {cut:?}");
}

/// With one call for each processor a tenant has none that waits while its others run.
#[tokio::test(flavor = "multi_thread")]
async fn weights_hold_between_tenants_that_have_few_calls() {
    let limits = r#"cpu = "200ms""#;
    let host =
        Host::start(&tenant("light", "weight = 1", limits).with(tenant("heavy", "weight = 3", limits))).await;
    let calls = available();
    let (light, heavy) = compete(&host, [("light", calls), ("heavy", calls)], 3.0).await;
    assert!((2.25..4.0).contains(&(heavy / light)), "weights 1:3 got {light} s and {heavy} s");
}

/// Of each thread of a process: its name, the kernel's class that it is in, and what CPU it has used, in nanoseconds.
fn threads(process: &Process) -> Vec<(String, u32, u64)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    let threads = tasks.filter_map(|task| {
        let task = task.unwrap().path();
        // One that has ended meanwhile has no files.
        let read = |file: &str| fs::read_to_string(task.join(file)).ok();
        let (name, state, used) = (read("comm")?, read("stat")?, read("schedstat")?);
        // Its name is in brackets, and the 41st field is the class.
        let class = state.rsplit_once(')')?.1.split_whitespace().nth(38)?.parse().ok()?;
        Some((name.trim().to_owned(), class, used.split(' ').next()?.parse().ok()?))
    });
    threads.collect()
}

#[tokio::test]
async fn guests_that_compute_do_so_on_threads_that_the_kernel_keeps_behind_all_others() {
    let site = tenant("loops", "", "cpu = '100ms'")
        .tenant("keeps", ["keeps.example"])
        .plugin("guest", "guest_keyvalue.wasm")
        .grants("keyvalue = true")
        .route("/{*rest}");
    let folder = site_folder(&site);
    let process = Process::start(folder.path(), ["serve"]);
    let ask = async |tenant: &str, path: &str| {
        raw(
            process.address(),
            format!("GET {path} HTTP/1.1\r\nhost: {tenant}.example\r\nconnection: close\r\n\r\n"),
        )
        .await
    };
    assert!(ask("loops", "/ok").await.starts_with("HTTP/1.1 200 "));
    let used = |by: &str| -> u64 {
        threads(&process).iter().filter(|(name, ..)| name == by).map(|(.., used)| used).sum()
    };
    let (there, workers) = ("compute", "tokio-rt-worker");
    let before = [used(there), used(workers)];
    for _ in 0..3 {
        assert!(ask("loops", "/loop").await.starts_with("HTTP/1.1 504 "));
    }
    let [of_there, of_workers] = [used(there) - before[0], used(workers) - before[1]];
    assert!(of_there >= 290_000_000, "three loops of 100 ms used {of_there} ns there");
    assert!(of_workers <= 60_000_000, "three loops of 100 ms used {of_workers} ns of workers");
    // What blocks for a guest is started by such a thread, and serves all tenants.
    together((0..16).map(async |_| {
        for _ in 0..20 {
            assert!(ask("keeps", "/get?key=none&compute-ms=1").await.starts_with("HTTP/1.1 404 "));
        }
    }))
    .await;

    let (ordinary, background) = (0, 5);
    let has_leave = !process.lines().iter().any(|line| line.contains("not kept behind"));
    let expected = |name: &str| if name == there && has_leave { background } else { ordinary };
    let began = Instant::now();
    // Those that starved beside other tests are ordinary ones for a second.
    loop {
        let others = threads(&process).into_iter().filter(|(name, class, _)| *class != expected(name));
        let others: Vec<_> = others.map(|(name, class, _)| (name, class)).collect();
        if others.is_empty() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{others:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(threads(&process).iter().filter(|(name, ..)| name == there).count(), available());
}

fn available() -> usize {
    std::thread::available_parallelism().unwrap().get()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_over_its_quota_of_cpu_is_told_when_to_come_back_and_its_neighbour_is_served() {
    let site = |quota: &str| tenant("over", quota, "cpu = '500ms'").with(tenant("quiet", "", ""));
    let host = Host::start(&site(r#"cpu = "20ms/s""#)).await;
    let ask =
        |tenant: &str, path: &str| host.request("GET", path).header("host", format!("{tenant}.example"));
    // A call may overdraw: this one is the first, and uses ten seconds' worth.
    ask("over", "/spin?ms=200").send().await.expect(200);
    let refused = ask("over", "/ok").send().await;
    refused.expect_problem(503, "quota-cpu");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=25).contains(&wait), "{wait} s");
    let lines = host.log_of(refused.request_id());
    let line = lines.iter().find(|line| line["message"] == "request failed").expect("the log says why");
    assert_eq!((&line["problem"], &line["blame"]), (&"quota-cpu".into(), &"quota".into()));
    assert!(host.metric(r#"jackfield_tenant_cpu_rejected_total{tenant="over"}"#) >= 1.0);
    ask("quiet", "/ok").send().await.expect(200);

    // It is the operator's to change, without a new revision.
    host.edit_site(&site(""));
    host.wait_for_log("the quota's change", |line| line["message"] == "quota changed").await;
    ask("over", "/ok").send().await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_cannot_go_round_its_tenants_quota_of_cpu() {
    let site = Site::default()
        .tenant("over", ["*"])
        .with("quota = { cpu = '50ms/s' }")
        .plugin("guest", "guest_http.wasm")
        .limits("cpu = '10s'")
        .route("/{*rest}");
    let host = Host::start(&site).await;
    let began = Instant::now();
    // A second of computing, unless it is held back.
    let path = "/compute-after-head?times=20&ms=50";
    let mut answer = Caller::connect(&host, Version::Http1).await.get(path).await;
    assert!(answer.text().await.ends_with("computed 20\n"));
    let (used, allowed) = (cpu(&host, "over"), 0.05 + 0.05 * began.elapsed().as_secs_f64());
    assert!(used < allowed + 0.2, "it used {used} s where {allowed} s were its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn when_slots_are_short_the_tenant_with_the_fewest_goes_next() {
    let site = tenant("crowd", "", "cpu = '10s'").with(tenant("quiet", "", ""));
    let host =
        Host::start_with(&site, Options { host: "concurrency = 2".into(), ..Default::default() }).await;
    let crowd = async {
        let ask = async |_| host.request("GET", "/sleep?ms=100").header("host", "crowd.example").send().await;
        let answers = together((0..16).map(ask)).await;
        answers.iter().filter(|answer| answer.status == 200).count()
    };
    let quiet = async {
        let crowded = || host.metric(r#"jackfield_calls_waiting{tenant="crowd",plugin="guest"}"#) >= 8.0;
        host.wait_until("the crowd waits for slots", async || crowded()).await;
        host.request("GET", "/ok").header("host", "quiet.example").send().await.expect(200);
        assert!(crowded(), "the quiet tenant's call did not go before the crowd's");
    };
    let (served, ()) = tokio::join!(crowd, quiet);
    // 16 calls of 100 ms on two slots: those that would have waited a second are turned away.
    assert!(served >= 8, "{served} of the crowd were served");
}

/// A tenant whose streams pass a filter that does this on their way back.
fn streams_behind_a_filter(site: Site, name: &str, mode: &str) -> Site {
    site.tenant(name, [format!("{name}.example")])
        .plugin("filter", "guest_filters.wasm")
        .config(format!("name = '{name}', mode = '{mode}'"))
        .plugin("guest", "guest_http.wasm")
        .route("/{*rest}")
        .with("filters = ['filter']")
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_that_sleep_behind_one_tenants_streams_leave_room_for_those_of_others() {
    let asleep = streams_behind_a_filter(Site::default(), "asleep", "sleep-response");
    let site = streams_behind_a_filter(asleep, "quiet", "tag");
    let host = Host::start(&site).await;
    let ask = async |tenant: &str| {
        let request = host.request("GET", "/download?bytes=1000000");
        request.header("host", format!("{tenant}.example")).send().await
    };
    let of_the_filter =
        |what: &str| host.metric(&format!(r#"jackfield_calls_{what}{{tenant="asleep",plugin="filter"}}"#));
    let sleepers = together((0..16).map(async |_| ask("asleep").await));
    let quiet = async {
        // Of four, for 64 calls at once, no tenant has more than it leaves free.
        let full = async || of_the_filter("in_flight") >= 2.0;
        host.wait_until("the sleepers have what they can get", full).await;
        for _ in 0..3 {
            assert_eq!(ask("quiet").await.expect(200).header("x-chain"), Some("quiet"));
        }
        assert!(of_the_filter("in_flight") >= 1.0, "the quiet tenant was not served beside the sleepers");
    };
    // One more of the sleepers is told whose part of them is taken: no other tenant's, and not the host's.
    let refused = async {
        quiet.await;
        let refused = ask("asleep").await;
        let detail = refused.expect_problem(503, "queue").json()["detail"].to_string();
        assert!(detail.contains("The site has"), "{detail}");
        let why = failure(&host, &refused);
        assert_eq!(why["blame"], "quota", "{why}");
        assert!(why["error"].as_str().unwrap().contains("part of the slots"), "{why}");
    };
    // The sleepers' callers hang up when the others have their answers.
    tokio::select! {
        _ = sleepers => panic!("a filter that sleeps for an hour let an answer pass"),
        () = refused => {}
    }
}
