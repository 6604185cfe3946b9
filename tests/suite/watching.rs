//! Files of a site change under the host's eyes, in every way that tools have of writing them; none is missed, and none is
//! taken for what it will only be when it is written to its end.

use std::fs::{File, FileTimes};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use jackfield_tests::{Host, Site, hello_version};
use serde_json::Value;

const TENANTS: [&str; 3] = ["shop", "mill", "farm"];

const LEFT_OUT: &str =
    "the site file leaves out what it had: if it stays so for 2 s, or on SIGHUP, that is taken";

fn tenants(names: &[&str]) -> Site {
    names.iter().fold(Site::default(), |site, name| {
        site.tenant(name, [format!("{name}.example")])
            .plugin("hello", "guest_hello.wasm")
            .route("/")
            .route("/{*rest}")
    })
}

async fn status(host: &Host, tenant: &str, path: &str) -> u16 {
    let request = host.request("GET", path).header("host", format!("{tenant}.example"));
    request.send().await.status.as_u16()
}

/// Replaces a file's bytes by as many others, in place and under the old time, as `rsync --inplace -t` does.
fn overwrite(file: &Path, bytes: &[u8]) {
    let before = std::fs::metadata(file).unwrap();
    let mut open = File::options().write(true).open(file).unwrap();
    open.write_all(bytes).unwrap();
    open.set_times(FileTimes::new().set_modified(before.modified().unwrap())).unwrap();
    let after = open.metadata().unwrap();
    assert_eq!(
        (after.len(), after.modified().unwrap()),
        (before.len(), before.modified().unwrap()),
        "the test is to change what no look at length and time sees"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_overwritten_in_place_under_its_old_length_and_time_is_read_again() {
    let site = Site::default()
        .tenant("shop", ["shop.example"])
        .with("secrets.word = { file = 'word' }")
        .plugin("hello", "guest_hello.wasm")
        .route("/")
        .route("/old");
    let host = Host::start(&tenants(&["shop"])).await;
    std::fs::write(host.file("word"), "first").unwrap();
    host.edit_site(&site);
    host.wait_until("the site is live", async || status(&host, "shop", "/any").await == 404).await;

    overwrite(&host.file("guest_hello.wasm"), &hello_version(2));
    host.wait_until("the component is live", async || {
        let answer = host.request("GET", "/").header("host", "shop.example").send().await;
        answer.text() == "hello from version-2\n"
    })
    .await;

    overwrite(&host.file("word"), b"other");
    host.wait_for_log("the secret", |line| line["message"] == "secret changed").await;

    overwrite(&host.file("site.toml"), host.site().replace("\"/old\"", "\"/new\"").as_bytes());
    host.wait_until("the site file is live", async || status(&host, "shop", "/new").await == 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_file_that_is_written_slowly_takes_nothing_from_anybody_meanwhile() {
    let host = Arc::new(Host::start(&tenants(&TENANTS)).await);
    let text = host.site();
    let is_over = Arc::new(AtomicBool::new(false));
    let callers = TENANTS.map(|name| {
        let (host, is_over) = (host.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut statuses = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                statuses.push(status(&host, name, "/").await);
                statuses.push(status(&host, name, "/below").await);
            }
            statuses
        })
    });

    // Each table when the host has looked at those before: no pause is too short for it, and none too long.
    let looks = |line: &Value| {
        line["message"] == LEFT_OUT || line["message"].as_str().is_some_and(|text| text.contains("refused"))
    };
    let ends: Vec<_> = text.match_indices("\n[").map(|(at, _)| at).collect();
    let mut file = File::create(host.file("site.toml")).unwrap();
    let mut written = 0;
    for (number, end) in ends.iter().enumerate() {
        host.wait_until("the host has looked", async || {
            host.log().iter().filter(|line| looks(line)).count() > number
        })
        .await;
        file.write_all(&text.as_bytes()[written..*end]).unwrap();
        written = *end;
    }
    let unchanged = r#"jackfield_reloads_total{result="unchanged"}"#;
    let before = host.metric(unchanged);
    file.write_all(&text.as_bytes()[written..]).unwrap();
    host.wait_until("all of it is taken", async || host.metric(unchanged) > before).await;

    is_over.store(true, Ordering::Relaxed);
    for (name, caller) in TENANTS.iter().zip(callers) {
        let statuses = caller.await.unwrap();
        let failed = statuses.iter().filter(|status| **status != 200).count();
        assert!(statuses.len() > ends.len(), "{name} was hardly asked");
        assert_eq!(failed, 0, "of {} requests to {name}", statuses.len());
    }
    assert_eq!(host.metric(r#"jackfield_reloads_total{result="published"}"#), 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_site_file_leaves_out_is_told_and_goes_when_the_file_stays_so() {
    let host = Host::start(&tenants(&TENANTS)).await;
    host.edit_site(&tenants(&TENANTS[..2]));
    let removed = host.wait_for_log("the end", |line| line["message"] == "tenant removed").await;
    assert_eq!(removed["tenant"], "farm");
    assert_eq!(status(&host, "farm", "/").await, 404);
    assert_eq!((status(&host, "shop", "/").await, status(&host, "mill", "/").await), (200, 200));
    let log = host.log();
    let at = |message: &str| log.iter().position(|line| line["message"] == message).unwrap();
    assert!(at(LEFT_OUT) < at("tenant removed"));
    assert_eq!(log[at(LEFT_OUT)]["left-out"], "tenants.farm");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_a_reload_does_not_wait_for_the_file_to_stay_as_it_is() {
    let host = Host::start(&tenants(&TENANTS)).await;
    let mut edits = 0;
    let mut edit = || {
        edits += 1;
        host.edit_site(&format!("{}\n# {edits}", tenants(&TENANTS[..2])));
    };
    edit();
    host.wait_for_log("the news", |line| line["message"] == LEFT_OUT).await;
    // Written again and again, so that it never stays.
    host.wait_until("the reload takes it", async || {
        edit();
        host.running().reload();
        status(&host, "farm", "/").await == 404
    })
    .await;
}
