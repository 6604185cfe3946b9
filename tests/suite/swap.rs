//! A change goes live while requests are served, and nobody who sends one notices.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use jackfield::deploy::Origin;
use jackfield::observe::Log;
use jackfield_tests::{Host, PATIENCE, Process, Site, guest, hello_version, replace, setup, site_folder};
use serde_json::Value;
use tokio::net::TcpStream;

fn site() -> Site {
    hello(Site::shop())
}

/// The tenant's page is the hello guest's.
fn hello(tenant: Site) -> Site {
    tenant.plugin("hello", "guest_hello.wasm").route("/")
}

/// A plugin that sleeps when it is told to. Each edit makes another revision.
fn sleepy(edit: u32, limits: &str) -> Site {
    let page = Site::shop().plugin("page", "guest_misbehave.wasm").limits(limits);
    page.config(format!("edit = '{edit}'")).route("/{*rest}")
}

/// Lets it sleep for so long that no test waits for it.
const LONG: &str = "wall = '5min'";

/// The same, for one call at a time.
const LONG_ALONE: &str = "wall = '5min', concurrency = 1, queue = 0";

const LONG_SLEEP: &str = "/sleep?ms=200000";

fn says_version(number: u8) -> String {
    format!("hello from version-{number}\n")
}

async fn wait_for_version(host: &Host, number: u8) {
    host.wait_until(&format!("version {number} is live"), async || {
        host.get("/").await.expect(200).text() == says_version(number)
    })
    .await;
}

async fn wait_for_log_message(host: &Host, message: &str) -> Value {
    host.wait_for_log(message, |line| line["message"] == message).await
}

/// Reloads, and waits until the reload has ended as `result`; whatever ended so before counts as well.
async fn reload_until(host: &Host, result: &str, times: u32) {
    host.running().reload();
    let series = format!("jackfield_reloads_total{{result=\"{result}\"}}");
    let what = format!("{times} reloads end as {result}");
    host.wait_until(&what, async || host.metric(&series) >= f64::from(times)).await;
}

fn live_revision(host: &Host, tenant: &str) -> String {
    let series = format!("jackfield_live_revision_info{{tenant=\"{tenant}\"");
    let metrics = host.metrics();
    metrics.lines().find(|line| line.starts_with(&series)).expect("the tenant is live").to_owned()
}

/// A request that is left to itself.
fn send(host: &Host, path: &str) -> tokio::task::JoinHandle<anyhow::Result<(StatusCode, String)>> {
    let (address, path) = (host.address(), path.to_owned());
    tokio::spawn(async move { Client::connect(address).await?.get(&path).await })
}

async fn wait_for_calls_in_flight(host: &Host, calls: u32) {
    let series = "jackfield_calls_in_flight{tenant=\"shop\",plugin=\"page\"}";
    let what = format!("{calls} calls are in flight");
    host.wait_until(&what, async || host.metric(series) == f64::from(calls)).await;
}

/// A client that keeps its connection.
struct Client {
    address: SocketAddr,
    sender: SendRequest<Empty<Bytes>>,
}

impl Client {
    async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { address, sender })
    }

    async fn get(&mut self, path: &str) -> anyhow::Result<(StatusCode, String)> {
        self.sender.ready().await?;
        let request = Request::get(path).header("host", self.address.to_string()).body(Empty::new())?;
        let (head, body) = self.sender.send_request(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok((head.status, String::from_utf8(body.into())?))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_of_the_site_file_is_live_without_a_restart_however_it_is_written() {
    let host = Host::start(&site()).await;
    host.get("/new").await.expect_problem(404, "no-route");

    host.edit_site(&Site::shop().plugin("hello", "guest_hello.wasm").route("/new"));
    host.wait_until("the replaced file is live", async || host.get("/new").await.status == 200).await;
    host.get("/").await.expect_problem(404, "no-route");

    let in_place = host.site().replace("path = \"/new\"", "path = \"/newer\"");
    std::fs::write(host.file("site.toml"), in_place).unwrap();
    host.wait_until("the rewritten file is live", async || host.get("/newer").await.status == 200).await;
    host.get("/new").await.expect_problem(404, "no-route");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_swapped_whether_it_is_replaced_or_written_in_place() {
    let host = Host::start(&site()).await;
    wait_for_version(&host, 1).await;
    let file = host.file("guest_hello.wasm");

    replace(&file, &hello_version(2));
    wait_for_version(&host, 2).await;
    std::fs::write(&file, hello_version(3)).unwrap();
    wait_for_version(&host, 3).await;
    // And back again: a revision that was drained is made anew.
    replace(&file, &hello_version(1));
    wait_for_version(&host, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_behind_a_link_is_followed_to_wherever_the_link_points() {
    let host = Host::start(&site()).await;
    for number in [2, 3] {
        std::fs::create_dir(host.file(&format!("build-{number}"))).unwrap();
        std::fs::write(host.file(&format!("build-{number}/hello.wasm")), hello_version(number)).unwrap();
    }
    let point_to = |target: &str| {
        let beside = host.file("current.new");
        std::os::unix::fs::symlink(target, &beside).unwrap();
        std::fs::rename(beside, host.file("current.wasm")).unwrap();
    };
    point_to("build-2/hello.wasm");
    host.edit_site(&Site::shop().plugin("hello", "current.wasm").route("/"));
    wait_for_version(&host, 2).await;

    point_to("build-3/hello.wasm");
    wait_for_version(&host, 3).await;
    replace(&host.file("build-3/hello.wasm"), &hello_version(4));
    wait_for_version(&host, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_build_folder_that_is_deleted_and_made_anew_is_still_watched() {
    let host = Host::start(&site()).await;
    let build = host.file("target");
    std::fs::create_dir(&build).unwrap();
    std::fs::write(build.join("hello.wasm"), hello_version(2)).unwrap();
    host.edit_site(&Site::shop().plugin("hello", "target/hello.wasm").route("/"));
    wait_for_version(&host, 2).await;

    std::fs::remove_dir_all(&build).unwrap();
    let refused = wait_for_log_message(&host, "a change was refused; what was live stays live").await;
    let diagnostics = refused["diagnostics"].as_str().unwrap();
    assert!(diagnostics.contains("has the plugin been built?"), "{diagnostics}");
    assert_eq!(host.get("/").await.expect(200).text(), says_version(2));

    std::fs::create_dir(&build).unwrap();
    std::fs::write(build.join("hello.wasm"), hello_version(3)).unwrap();
    wait_for_version(&host, 3).await;
    replace(&build.join("hello.wasm"), &hello_version(4));
    wait_for_version(&host, 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_that_is_edited_again_while_its_first_edit_is_compiled_ends_as_last_written() {
    let host = Host::start(&site()).await;
    // The component is one that takes a while, and is named by the first edit only.
    std::fs::copy(guest("bookstore.wasm"), host.file("slow.wasm")).unwrap();
    host.edit_site(&Site::shop().plugin("hello", "slow.wasm").route("/first"));
    host.running().reload();
    host.edit_site(&Site::shop().plugin("hello", "guest_hello.wasm").route("/second"));
    host.wait_until("the second edit is live", async || host.get("/second").await.status == 200).await;
    host.get("/first").await.expect_problem(404, "no-route");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_comes_while_the_host_starts_is_not_lost() {
    let folder = site_folder(&site());
    let origin = Origin::SiteFile(folder.path().join("site.toml"));
    let site = origin.read().unwrap();
    let edited = site.source.text().replace("path = \"/\"", "path = \"/new\"");
    std::fs::write(folder.path().join("site.toml"), edited).unwrap();
    let (log, captured) = Log::capture();
    let host = tokio::spawn(jackfield::host::Host::start(setup(origin, site, log))).await.unwrap().unwrap();
    let lives = |line: &Value| line["message"] == "revision live";
    let first = captured.wait_for(PATIENCE, lives).unwrap();
    let second = captured.wait_for(PATIENCE, |line| lives(line) && line["revision"] != first["revision"]);
    assert!(second.is_some(), "{:#?}", captured.lines());
    host.stop().await;
}

/// Runs the real program: its memory is its own, and nothing else is in it.
#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_swaps_under_load_fail_no_request_and_leave_no_memory_behind() {
    const WARM_UP: u32 = 100;
    const SWAPS: u32 = 500;
    const CLIENTS: usize = 4;

    let folder = site_folder(&format!("probes = \"127.0.0.1:0\"\n{}", site()));
    let component = folder.path().join("guest_hello.wasm");
    let mut process = Process::start(folder.path(), ["serve"]);
    let address = process.address();
    let probes = process.wait_for_line("probes address=").split("address=").nth(1).unwrap().parse().unwrap();

    let is_over = Arc::new(AtomicBool::new(false));
    let answers = Arc::new(AtomicU64::new(0));
    let callers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (is_over, answers) = (is_over.clone(), answers.clone());
            tokio::spawn(async move {
                let versions = [says_version(1), says_version(2)];
                let mut client = Client::connect(address).await?;
                let mut seen = BTreeSet::new();
                while !is_over.load(Ordering::Relaxed) {
                    let (status, text) = client.get("/").await?;
                    anyhow::ensure!(status == 200 && versions.contains(&text), "{status}: {text}");
                    answers.fetch_add(1, Ordering::Relaxed);
                    seen.insert(text);
                }
                anyhow::ensure!(seen.len() == versions.len(), "only {seen:?} were seen");
                Ok(())
            })
        })
        .collect();

    let versions = [hello_version(1), hello_version(2)];
    let mut watcher = Client::connect(address).await.unwrap();
    let mut swap_to = async |number: u8| {
        replace(&component, &versions[usize::from(number) - 1]);
        process.signal(rustix::process::Signal::HUP);
        let began = Instant::now();
        while watcher.get("/").await.unwrap().1 != says_version(number) {
            assert!(
                began.elapsed() < PATIENCE,
                "version {number} is not live:\n{}",
                process.lines().join("\n")
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        // Live for one is live for all.
        let newcomer = Client::connect(address).await.unwrap().get("/").await.unwrap();
        assert_eq!(newcomer, (StatusCode::OK, says_version(number)));
    };
    let alternating = || [2, 1].into_iter().cycle();
    for number in alternating().take(WARM_UP as usize) {
        swap_to(number).await;
    }
    let warm_bytes = metric(probes, "process_resident_memory_bytes").await;
    for number in alternating().take(SWAPS as usize) {
        swap_to(number).await;
    }
    let end_bytes = metric(probes, "process_resident_memory_bytes").await;

    is_over.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    println!(
        "{} answers; resident memory {warm_bytes} bytes after {WARM_UP} swaps, {end_bytes} after {SWAPS} more",
        answers.load(Ordering::Relaxed)
    );
    let published = metric(probes, "jackfield_reloads_total{result=\"published\"}").await;
    assert_eq!(published, u64::from(WARM_UP + SWAPS));
    assert_eq!(metric(probes, "jackfield_revisions_draining{tenant=\"shop\"}").await, 0);
    process.signal(rustix::process::Signal::TERM);
    assert!(process.wait().success());
    process.wait_for_line("stopped");
    let drained = process.lines().iter().filter(|line| line.contains("revision drained")).count();
    // The last one is drained when the host ends.
    assert!(drained >= (WARM_UP + SWAPS) as usize, "{drained} were drained");
    // Code that is kept takes more than this a swap; an allocator's whims take less.
    #[cfg(target_os = "linux")]
    assert!(end_bytes < warm_bytes + (16 << 20), "from {warm_bytes} to {end_bytes} bytes");
}

/// One series of the probes' `/metrics`; 0 if it is not there.
async fn metric(probes: SocketAddr, series: &str) -> u64 {
    let (_, metrics) = Client::connect(probes).await.unwrap().get("/metrics").await.unwrap();
    let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_ends_on_the_version_it_began_with_while_the_next_one_serves() {
    let host = Host::start(&sleepy(0, LONG)).await;
    let old = live_revision(&host, "shop");
    let slow = send(&host, "/sleep?ms=3000");
    wait_for_calls_in_flight(&host, 1).await;

    replace(&host.file("guest_misbehave.wasm"), &hello_version(2));
    host.wait_until("the new version is live", async || host.get("/ok").await.text() == says_version(2))
        .await;
    assert!(!slow.is_finished());
    assert_eq!(host.metric("jackfield_revisions_draining{tenant=\"shop\"}"), 1.0);
    assert!(host.log().iter().all(|line| line["message"] != "revision drained"));

    assert_eq!(slow.await.unwrap().unwrap(), (StatusCode::OK, "slept\n".into()));
    let drained = wait_for_log_message(&host, "revision drained").await;
    assert_eq!(drained["tenant"], "shop");
    assert!(old.contains(drained["revision"].as_str().unwrap()), "{drained} is not {old}");
    host.wait_until("nothing drains", async || {
        host.metric("jackfield_revisions_draining{tenant=\"shop\"}") == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_changes_nothing_and_the_log_says_why_and_what_stays() {
    let host = Host::start(&site()).await;
    let live = live_revision(&host, "shop");
    let good_site = host.site();
    let (site_file, component) = (host.file("site.toml"), host.file("guest_hello.wasm"));
    let write_site = |site: String| replace(&site_file, site.as_bytes());
    let half = {
        let mut half = hello_version(2);
        half.truncate(half.len() / 2);
        half
    };
    type Break<'a> = Box<dyn Fn() + 'a>;
    let breaks: [(&str, Break<'_>); 8] = [
        ("this is not TOML", Box::new(|| write_site(good_site.replace("listen = [", "listen = ]")))),
        (
            "unknown plugin `helo`",
            Box::new(|| write_site(good_site.replace("plugin = \"hello\"", "plugin = \"helo\""))),
        ),
        ("unknown key `colour`", Box::new(|| write_site(format!("{good_site}\ncolour = 1\n")))),
        ("the site file is empty", Box::new(|| std::fs::write(&site_file, "").unwrap())),
        ("it does not begin as WebAssembly does", Box::new(|| replace(&component, b"garbage"))),
        ("is not a component that can run here", Box::new(|| replace(&component, &half))),
        (
            "grants = { limiter = true }",
            Box::new(|| replace(&component, &std::fs::read(guest("guest_limiter.wasm")).unwrap())),
        ),
        (
            "cannot be the plugin of a route",
            Box::new(|| replace(&component, &std::fs::read(guest("rate_limit.wasm")).unwrap())),
        ),
    ];
    for (reason, break_it) in &breaks {
        break_it();
        let refused = host
            .wait_for_log(reason, |line| {
                line["diagnostics"].as_str().is_some_and(|text| text.contains(reason))
            })
            .await;
        assert_eq!(refused["level"], "error");
        assert!(refused["message"].as_str().unwrap().ends_with("what was live stays live"), "{refused}");
        if let Some(stays) = refused["live"].as_str() {
            assert!(live.contains(stays), "{refused}");
        }
        assert_eq!(host.get("/").await.expect(200).text(), says_version(1));
        assert_eq!(live_revision(&host, "shop"), live, "after: {reason}");

        let unchanged = "jackfield_reloads_total{result=\"unchanged\"}";
        let before = host.metric(unchanged);
        write_site(good_site.clone());
        replace(&component, &hello_version(1));
        host.wait_until("what is mended is taken", async || host.metric(unchanged) > before).await;
    }
    assert_eq!(host.metric("jackfield_reloads_total{result=\"published\"}"), 0.0);
    replace(&component, &hello_version(2));
    wait_for_version(&host, 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_tenants_broken_component_does_not_hold_up_another_tenants_change() {
    let site = |component: &str, page: &str| {
        let a = Site::default().tenant("a", ["a.example"]).plugin("hello", component).route("/");
        a.tenant("b", ["b.example"]).plugin("hello", "guest_hello.wasm").route(page)
    };
    let host = Host::start(&site("guest_hello.wasm", "/")).await;
    std::fs::write(host.file("a.wasm"), "garbage").unwrap();
    host.edit_site(&site("a.wasm", "/new"));

    host.wait_until("b's change is live", async || {
        host.request("GET", "/new").header("host", "b.example").send().await.status == 200
    })
    .await;
    let a = host.request("GET", "/").header("host", "a.example").send().await;
    assert_eq!(a.expect(200).text(), says_version(1));
    let refused = wait_for_log_message(&host, "a change was refused; what was live stays live").await;
    assert_eq!(refused["tenant"], "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_change_in_place_and_make_no_revision() {
    let site = |name: &str| hello(Site::default().tenant("shop", [name]));
    let host = Host::start(&site("old.example")).await;
    let live = live_revision(&host, "shop");
    let status = async |name: &str| host.request("GET", "/").header("host", name).send().await.status;
    assert_eq!(status("old.example").await, 200);

    host.edit_site(&site("new.example"));
    wait_for_log_message(&host, "hosts changed").await;
    assert_eq!(
        (status("new.example").await, status("old.example").await),
        (StatusCode::OK, StatusCode::NOT_FOUND)
    );
    assert_eq!(live_revision(&host, "shop"), live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_changes_in_place_and_holds_for_who_comes_next() {
    let quota = |concurrency: u32| {
        sleepy(0, LONG).with(format!("[tenants.shop.quota]\nconcurrency = {concurrency}\nqueue = 0"))
    };
    let host = Host::start(&quota(1)).await;
    let live = live_revision(&host, "shop");
    let slow = send(&host, LONG_SLEEP);
    wait_for_calls_in_flight(&host, 1).await;
    host.get("/ok").await.expect_problem(503, "queue");

    host.edit_site(&quota(2));
    wait_for_log_message(&host, "quota changed").await;
    host.get("/ok").await.expect(200);
    assert_eq!(live_revision(&host, "shop"), live);
    assert!(!slow.is_finished());
    slow.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_host_itself_is_told_to_need_a_restart_and_the_rest_is_taken_over() {
    let host = Host::start(&site()).await;
    let edited = host.site().replace("concurrency = 64", "concurrency = 65").replace("\"/\"", "\"/new\"");
    replace(&host.file("site.toml"), edited.as_bytes());
    let told = host
        .wait_for_log("[host]", |line| line["message"].as_str().is_some_and(|text| text.contains("[host]")))
        .await;
    assert_eq!(told["level"], "warn");
    assert!(told["message"].as_str().unwrap().contains("needs a restart"), "{told}");
    host.wait_until("the rest is live", async || host.get("/new").await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_come_and_go() {
    let shop = hello(Site::default().tenant("shop", ["shop.example"]));
    let host = Host::start(&shop).await;
    let status = async |name: &str| host.request("GET", "/").header("host", name).send().await.status;
    assert_eq!(status("mill.example").await, 404);

    host.edit_site(&hello(shop.tenant("mill", ["mill.example"])));
    host.wait_until("the mill is there", async || status("mill.example").await == 200).await;
    let live = live_revision(&host, "shop");

    host.edit_site(&hello(Site::default().tenant("mill", ["mill.example"])));
    let removed = wait_for_log_message(&host, "tenant removed").await;
    assert_eq!(removed["tenant"], "shop");
    assert_eq!(
        (status("shop.example").await, status("mill.example").await),
        (StatusCode::NOT_FOUND, StatusCode::OK)
    );
    let drained = wait_for_log_message(&host, "revision drained").await;
    assert!(live.contains(drained["revision"].as_str().unwrap()), "{drained}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_neither_forgets_what_a_limiter_counted_nor_what_metrics_did() {
    let site = |edit: u32| {
        Site::shop()
            .plugin("page", "guest_limiter.wasm")
            .config(format!("edit = '{edit}'"))
            .grants("limiter = true")
            .route("/take")
    };
    let host = Host::start(&site(0)).await;
    let take = async || host.get("/take?key=a&limit=2&window=3600000").await.expect(200).text();
    assert!(take().await.starts_with("allowed=true remaining=1 "));

    let live = live_revision(&host, "shop");
    host.edit_site(&site(1));
    reload_until(&host, "published", 1).await;
    assert_ne!(live_revision(&host, "shop"), live);

    assert!(take().await.starts_with("allowed=true remaining=0 "));
    assert!(take().await.starts_with("allowed=false remaining=0 "));
    let answered = "jackfield_requests_total{tenant=\"shop\",plugin=\"page\",status=\"200\",blame=\"none\"}";
    host.wait_until("all three are counted", async || host.metric(answered) == 3.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_never_doubles_what_a_plugins_limit_allows() {
    let host = Host::start(&sleepy(0, LONG_ALONE)).await;
    let slow = send(&host, LONG_SLEEP);
    wait_for_calls_in_flight(&host, 1).await;

    host.edit_site(&sleepy(1, LONG_ALONE));
    reload_until(&host, "published", 1).await;
    host.get("/ok").await.expect_problem(503, "queue");
    slow.abort();
    host.wait_until("the place is free", async || host.get("/ok").await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_that_leaves_and_comes_back_has_no_more_places_than_before() {
    let site = sleepy(0, LONG_ALONE);
    let host = Host::start(&site).await;
    let slow = send(&host, LONG_SLEEP);
    wait_for_calls_in_flight(&host, 1).await;

    host.edit_site("# no tenant for now");
    wait_for_log_message(&host, "tenant removed").await;
    host.get("/ok").await.expect_problem(404, "no-tenant");
    host.edit_site(&site);
    host.wait_until("it is back", async || host.get("/ok").await.status != 404).await;
    host.get("/ok").await.expect_problem(503, "queue");
    slow.abort();
    host.wait_until("the place is free", async || host.get("/ok").await.status == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_revisions_may_drain_and_one_more_ends_the_oldest() {
    let draining = "jackfield_revisions_draining{tenant=\"shop\"}";
    let host = Host::start(&sleepy(0, LONG)).await;
    let mut slow = Vec::new();
    let swap = async |edit: u32| {
        host.edit_site(&sleepy(edit, LONG));
        reload_until(&host, "published", edit).await;
    };
    for edit in 1..=16 {
        slow.push(send(&host, LONG_SLEEP));
        wait_for_calls_in_flight(&host, edit).await;
        swap(edit).await;
    }
    // This one replaces a revision without requests, which does not drain.
    swap(17).await;
    host.wait_until("sixteen drain", async || host.metric(draining) == 16.0).await;
    assert!(slow.iter().all(|request| !request.is_finished()));

    slow.push(send(&host, LONG_SLEEP));
    wait_for_calls_in_flight(&host, 17).await;
    swap(18).await;
    let (status, problem) = slow.remove(0).await.unwrap().unwrap();
    assert_eq!(status, 503);
    assert!(problem.contains("urn:jackfield:problem:draining"), "{problem}");
    wait_for_calls_in_flight(&host, 16).await;
    assert!(slow.iter().all(|request| !request.is_finished()));
    host.get("/ok").await.expect(200);
    slow.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_without_a_change_publishes_nothing() {
    let host = Host::start(&site()).await;
    let live = live_revision(&host, "shop");
    reload_until(&host, "unchanged", 1).await;

    // Another file with the same meaning is no change either.
    let retold = site().replace("path = \"/\"", "# the front page\npath = \"/\"");
    host.edit_site(&retold);
    replace(&host.file("guest_hello.wasm"), &hello_version(1));
    reload_until(&host, "unchanged", 2).await;

    assert_eq!(host.metric("jackfield_reloads_total{result=\"published\"}"), 0.0);
    assert_eq!(live_revision(&host, "shop"), live);
    let lives = host.log().iter().filter(|line| line["message"] == "revision live").count();
    assert_eq!(lives, 1);
}
