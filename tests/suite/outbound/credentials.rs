//! Credentials: the host adds them to a plugin's requests, and nobody else ever sees them.

use jackfield_tests::{Host, Site, jackfield, replace, site_folder};
use tempfile::TempDir;

use super::upstream::{Upstream, ok};
use super::{fetch, guest_at, path, start_site};

const SECRET: &str = "Bearer hunter2";

/// A guest that may reach both servers; the credential is for the first. `secret` is the file that has it.
fn site(ours: &Upstream, other: &Upstream, secret: &str) -> Site {
    let outbound = format!(
        "outbound = [{{ origin = '{}', header = 'authorization', secret = 'token' }}]",
        ours.origin()
    );
    guest_at(&[&ours.origin(), &other.origin()], &outbound)
        .with(format!("[tenants.shop.secrets]\ntoken = {{ file = '{secret}' }}"))
}

struct Case {
    host: Host,
    ours: Upstream,
    other: Upstream,
    folder: TempDir,
}

/// A host with such a guest. The first server tells nobody what it was sent.
async fn start() -> Case {
    let ours = Upstream::start("127.0.0.1:0", |_| ok("ours\n")).await;
    let other = Upstream::start("127.0.0.1:0", |seen| ok(&seen.head)).await;
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{SECRET}\n")).unwrap();
    let site = site(&ours, &other, &file.display().to_string());
    let host = start_site("allow = [\"127.0.0.0/8\"]", &site).await;
    Case { host, ours, other, folder }
}

/// The credentials that came with the server's last request.
fn sent(upstream: &Upstream) -> Vec<String> {
    let seen = upstream.seen().pop().expect("it was asked");
    seen.values("authorization").into_iter().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_adds_the_credential_and_the_plugin_never_sees_it() {
    let Case { host, ours, other, folder: _folder } = start().await;
    assert_eq!(fetch(&host, &ours.origin()).await.expect(200).text(), "ours\n");
    assert_eq!(sent(&ours), [SECRET]);
    // Whatever the plugin sets itself, there is one, and it is the host's.
    let own = format!("{}&name=Authorization&value=mine", path(&ours.origin()));
    host.get(&own).await.expect(200);
    assert_eq!(sent(&ours), [SECRET]);
    let posted = host.request("POST", &own.replacen("/fetch", "/post-upstream", 1)).body("x").send().await;
    posted.expect(200);
    assert_eq!(sent(&ours), [SECRET]);

    // It is for one origin: another is sent what the plugin sends.
    let echoed = fetch(&host, &other.origin()).await;
    assert!(!echoed.expect(200).text().contains("authorization"), "{echoed}");
    host.get(&own.replace(&path(&ours.origin()), &path(&other.origin()))).await.expect(200);
    assert_eq!(sent(&other), ["mine"]);

    // What the plugin sees of its own request, and whatever the host writes down.
    let seen = host.request("GET", "/info").header("authorization", "the caller's").send().await;
    assert!(seen.expect(200).text().contains("the caller's"), "{seen}");
    let written = format!("{} {seen} {} {:?}", echoed.text(), host.metrics(), host.log());
    assert!(!written.contains("hunter"), "{written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_is_changed_while_the_host_serves_is_used_by_the_next_request() {
    let Case { host, ours, other: _other, folder } = start().await;
    let revisions = |host: &Host| host.log().iter().filter(|line| line["message"] == "revision live").count();
    fetch(&host, &ours.origin()).await.expect(200);
    let before = revisions(&host);
    replace(&folder.path().join("token"), b"Bearer hunter3\n");
    host.wait_for_log("the change", |line| line["message"] == "secret changed").await;
    fetch(&host, &ours.origin()).await.expect(200);
    assert_eq!(sent(&ours), ["Bearer hunter3"]);

    // What cannot be a header's value changes nothing.
    replace(&folder.path().join("token"), b"Bearer\x07hunter4\n");
    let refused = |line: &serde_json::Value| {
        line["message"].as_str().is_some_and(|text| text.starts_with("a change was refused"))
    };
    host.wait_for_log("the refusal", refused).await;
    fetch(&host, &ours.origin()).await.expect(200);
    assert_eq!(sent(&ours), ["Bearer hunter3"]);
    let log = format!("{:?}", host.log());
    assert!(!log.contains("hunter"), "{log}");
    assert_eq!(revisions(&host), before, "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_checks_a_site_does_not_show_its_credentials() {
    let ours = Upstream::start("127.0.0.1:0", |_| ok("")).await;
    for (secret, is_good) in [("Bearer hunter2\n", true), ("Bearer\x07hunter2\n", false)] {
        let folder = site_folder(&site(&ours, &Upstream::start("127.0.0.1:0", |_| ok("")).await, "token"));
        std::fs::write(folder.path().join("token"), secret).unwrap();
        for arguments in [vec!["check", "site.toml"], vec!["check", "site.toml", "--json"]] {
            let said = jackfield(folder.path(), &arguments);
            let text = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
            assert_eq!(said.status.success(), is_good, "{text}");
            assert!(!text.contains("hunter"), "{text}");
            assert_eq!(text.contains("control character"), !is_good, "{text}");
        }
    }
}
