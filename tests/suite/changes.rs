//! Limits and quotas that change while the host serves: who comes next has the changed ones, calls under way keep theirs, and
//! what is the tenant's alone makes no revision.

use jackfield_tests::{Host, Site};
use serde_json::Value;

use crate::limits::guest_with;

fn live_revision(host: &Host) -> String {
    let metrics = host.metrics();
    let live = metrics.lines().find(|line| line.starts_with(r#"jackfield_live_revision_info{tenant="shop""#));
    live.expect("the tenant is live").to_owned()
}

async fn publish(host: &Host, site: &str) {
    let before = live_revision(host);
    host.edit_site(site);
    host.wait_until("the change is live", async || live_revision(host) != before).await;
}

async fn wait_for_log_message(host: &Host, message: &str) -> Value {
    host.wait_for_log(message, |line| line["message"] == message).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_limit_holds_for_who_comes_next_and_a_call_under_way_keeps_its_own() {
    let host = Host::start(&guest_with(r#"wall = "1min", handles = 100"#)).await;
    host.get("/handles?n=60").await.expect_problem(500, "plugin-failed");
    let under_way = async { host.get("/sleep?ms=2000").await };
    let changed = async {
        let in_flight = r#"jackfield_calls_in_flight{tenant="shop",plugin="guest"}"#;
        host.wait_until("the call is under way", async || host.metric(in_flight) == 1.0).await;
        publish(&host, &guest_with(r#"wall = "100ms", handles = 200"#)).await;
        host.get("/sleep?ms=60000").await
    };
    let (under_way, changed) = tokio::join!(under_way, changed);
    assert_eq!(under_way.expect(200).text(), "slept\n");
    changed.expect_problem(504, "wall");
    assert_eq!(host.get("/handles?n=60").await.expect(200).text(), "handles=60\n");
    // The counters are the plugin's, whichever revision calls it.
    let ended = r#"jackfield_calls_total{tenant="shop",plugin="guest",plug="handler",outcome="handles"}"#;
    assert_eq!(host.metric(ended), 1.0);
    let looked_up = ["compiled", "cached"]
        .map(|result| host.metric(&format!(r#"jackfield_compiles_total{{result="{result}"}}"#)));
    assert_eq!(looked_up.iter().sum::<f64>(), 1.0, "its component was compiled, or looked for, anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_quota_changes_in_place() {
    let site = |bytes: &str| {
        Site::shop()
            .with(format!("quota.storage = {{ bytes = '{bytes}' }}"))
            .plugin("guest", "guest_keyvalue.wasm")
            .grants("keyvalue = true")
            .route("/{*rest}")
    };
    let host = Host::start(&site("1KiB")).await;
    let live = live_revision(&host);
    let set = || host.request("PUT", "/set?key=a").body(vec![b'x'; 2000]).send();
    assert!(set().await.expect(503).text().contains("storage quota used up"));
    host.edit_site(&site("1MiB"));
    wait_for_log_message(&host, "quota changed").await;
    set().await.expect(200);
    assert_eq!(live_revision(&host), live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ceiling_changes_in_place_and_what_is_above_it_is_refused_until_then() {
    let site = |ceiling: u32, handles: u32| {
        guest_with(&format!("handles = {handles}"))
            .with(format!("[tenants.shop.quota]\nlimits = {{ handles = {ceiling} }}"))
    };
    let host = Host::start(&site(100, 100)).await;
    let live = live_revision(&host);
    host.edit_site(&site(100, 200));
    let refused = |line: &Value| line.to_string().contains("above the ceiling of the tenant");
    host.wait_for_log("the refusal", refused).await;
    assert_eq!(live_revision(&host), live);
    host.get("/handles?n=60").await.expect_problem(500, "plugin-failed");

    host.edit_site(&site(200, 100));
    let unchanged = r#"jackfield_reloads_total{result="unchanged"}"#;
    host.wait_until("the ceiling is taken over", async || host.metric(unchanged) == 1.0).await;
    assert_eq!(live_revision(&host), live);
    publish(&host, &site(200, 200)).await;
    host.get("/handles?n=60").await.expect(200);
}
