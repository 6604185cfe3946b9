//! What the commands print that ask a host: the host is a list of prepared answers on a Unix socket.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::commands::expect;

const TENANT: &str = r#"
[plugins.books]
component = "books.wasm"
grants = { keyvalue = true }

[[routes]]
path = "/api/{*rest}"
plugin = "books"
"#;

/// Answers with a status and a body, each to one request, in their order. Gives the lines of the requests.
fn host(folder: &Path, answers: Vec<(u16, Value)>) -> JoinHandle<Vec<String>> {
    let socket = folder.join("admin.sock");
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let asked = answers.into_iter().map(|(status, body)| {
            let (stream, _) = listener.accept().unwrap();
            answer(stream, status, &body)
        });
        asked.collect()
    })
}

fn answer(mut stream: UnixStream, status: u16, body: &Value) -> String {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        assert!(reader.read_until(b'\n', &mut head).unwrap() > 0, "the request breaks off");
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let mut sent = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    reader.read_exact(&mut sent).unwrap();
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let fields = format!("etag: \"3\"\r\ncontent-length: {}\r\nconnection: close", body.len());
    write!(stream, "HTTP/1.1 {status} -\r\n{fields}\r\n\r\n{body}").unwrap();
    let line = head.lines().next().unwrap_or_default();
    line.trim_end_matches(" http/1.1").to_owned()
}

fn digest(digit: &str) -> String {
    format!("sha256:{}", digit.repeat(64))
}

/// A folder with a tenant file and what it takes for a component.
fn tenant_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("tenant.toml"), TENANT).unwrap();
    std::fs::write(folder.path().join("books.wasm"), "books").unwrap();
    folder
}

fn rollout() -> (u16, Value) {
    let body = json!({
        "number": 3, "live": digest("a"), "previous": digest("b"), "by": "token ci (4f0c)", "at": "2026-11-30T12:00:00Z",
        "why": "faster",
    });
    (200, body)
}

fn published(status: u16, state: &str) -> (u16, Value) {
    let grants = json!({ "keyvalue": { "added": true } });
    let route = json!({ "path": "/api/{*rest}", "plugin": "books" });
    let body = json!({
        "revision": digest("c"), "state": state, "against": digest("a"),
        "diff": {
            "plugins": { "books": { "added": { "component": digest("d"), "grants": { "keyvalue": true } } } },
            "limits": {}, "grants": { "books": grants }, "routes": [{ "added": route }],
        },
        "widens": [{ "plugin": "books", "kind": "grant", "name": "keyvalue" }],
    });
    (status, body)
}

fn problem(status: u16, name: &str, title: &str) -> (u16, Value) {
    (status, json!({ "type": format!("urn:jackfield:problem:{name}"), "title": title, "status": status }))
}

/// The digest of what stands for the component: `printf books | sha256sum`.
const BOOKS: &str = "sha256:6e317bcd6839e8877395411b47b2b89d2bae7ccb05f78cee32bcdf76b5294265";

const OF: [&str; 4] = ["--host", "unix:admin.sock", "--tenant", "shop"];

fn asked(name: &str, folder: &Path, arguments: &[&str], answers: Vec<(u16, Value)>) -> Vec<String> {
    let host = host(folder, answers);
    let arguments: Vec<&str> = arguments.iter().copied().chain(OF).collect();
    expect(name, folder, &arguments);
    host.join().unwrap()
}

#[test]
fn deploy_sends_what_is_missing_says_what_changes_and_makes_it_live() {
    let folder = tenant_folder();
    let not_there = problem(404, "not-found", "There is no such artifact");
    let sent = (201, json!({ "digest": BOOKS, "bytes": 5 }));
    let live = (200, json!({ "number": 4, "live": digest("c"), "previous": digest("a") }));
    let answers =
        vec![rollout(), not_there, sent, published(200, "ready"), published(201, "ready"), live.clone()];
    let lines = asked("deploy-yes", folder.path(), &["deploy", "--yes", "--why", "first"], answers);
    let lines: Vec<_> = lines.iter().map(|line| line.replace(BOOKS, "[BOOKS]")).collect();
    assert_eq!(
        lines,
        [
            "get /v1/tenants/shop/rollout",
            "get /v1/tenants/shop/artifacts/[BOOKS]",
            "post /v1/tenants/shop/artifacts",
            "post /v1/tenants/shop/revisions?dry-run=true",
            "post /v1/tenants/shop/revisions",
            "put /v1/tenants/shop/rollout",
        ]
    );
    let there = (200, json!({ "digest": BOOKS }));
    let answers = vec![rollout(), there.clone(), published(200, "ready"), published(201, "ready"), live];
    asked("deploy-json", folder.path(), &["deploy", "--yes", "--json"], answers);
    let answers = vec![rollout(), there.clone(), published(200, "ready")];
    asked("deploy-dry-run", folder.path(), &["deploy", "tenant.toml", "--dry-run"], answers);
    // Nobody can be asked, and plugins may do more.
    let answers = vec![rollout(), there.clone(), published(200, "ready")];
    asked("deploy-unasked", folder.path(), &["deploy"], answers);
    let answers = vec![rollout(), there.clone(), published(200, "held"), published(201, "held")];
    asked("deploy-held", folder.path(), &["deploy", "--yes"], answers);
    let changed = problem(412, "rollout-changed", "The rollout is another one by now");
    let answers = vec![rollout(), there.clone(), published(200, "ready"), published(201, "ready"), changed];
    asked("deploy-changed", folder.path(), &["deploy", "--yes"], answers);
    let mut refused = problem(422, "document", "The document is refused");
    refused.1["diagnostics"] = json!([
        { "id": "limit", "place": "plugins.books.limits.cpu", "message": "`cpu` of 1min is above the ceiling, 1s",
          "label": "above the ceiling", "help": "write at most 1s" },
        { "message": "unknown secret `token`" },
    ]);
    asked("deploy-refused", folder.path(), &["deploy"], vec![rollout(), there.clone(), refused.clone()]);
    asked("deploy-refused-json", folder.path(), &["deploy", "--json"], vec![rollout(), there, refused]);
}

#[test]
fn deploy_says_all_that_is_wrong_with_the_tenant_file_and_asks_nobody() {
    let folder = tenant_folder();
    std::fs::write(folder.path().join("tenant.toml"), TENANT.replace("component", "componet")).unwrap();
    asked("deploy-bad-file", folder.path(), &["deploy"], vec![]);
    asked("deploy-bad-file-json", folder.path(), &["deploy", "--json"], vec![]);
    std::fs::write(folder.path().join("tenant.toml"), TENANT.replace("books.wasm", "none.wasm")).unwrap();
    asked("deploy-no-component", folder.path(), &["deploy"], vec![]);
    asked("deploy-no-file", folder.path(), &["deploy", "elsewhere.toml"], vec![]);
}

#[test]
fn what_is_live_is_told_and_can_be_what_was_live_before() {
    let folder = TempDir::new().unwrap();
    let status = json!({
        "tenant": "shop", "live": digest("a"), "rollout": 3, "draining": 0, "storage": { "bytes": 4096, "keys": 7 },
        "artifact-bytes": 2_000_000, "plugins": [{ "name": "books", "component": digest("d") }],
    });
    asked("status", folder.path(), &["status"], vec![(200, status.clone()), rollout()]);
    asked("status-json", folder.path(), &["status", "--json"], vec![(200, status)]);

    let kept = |digit: &str, state: &str| json!({ "revision": digest(digit), "state": state, "created": "2026-11-30T12:00:00Z", "by": "token ci (4f0c)" });
    let page = (200, json!({ "items": [kept("c", "held"), kept("a", "ready"), kept("b", "ready")] }));
    asked("revisions", folder.path(), &["revisions"], vec![page.clone(), rollout()]);
    asked("approve", folder.path(), &["approve", "cccccc"], vec![page.clone(), (204, Value::Null)]);
    asked("approve-unknown", folder.path(), &["approve", "dddddd"], vec![page]);

    let back = json!({ "plugins": {}, "limits": {}, "grants": {}, "routes": [
        { "removed": { "path": "/new", "methods": ["GET"], "plugin": "books" } },
    ] });
    let diff =
        (200, json!({ "revision": digest("b"), "against": digest("a"), "diff": back.clone(), "widens": [] }));
    let live = (200, json!({ "number": 4, "live": digest("b"), "previous": digest("a") }));
    let lines = asked("rollback", folder.path(), &["rollback"], vec![rollout(), diff, live]);
    let asked_for =
        format!("get /v1/tenants/shop/revisions/{}/diff?against=sha256%3a{}", digest("b"), "a".repeat(64));
    assert_eq!(lines[1], asked_for);
    let never = (200, json!({ "number": 1, "live": digest("a"), "previous": null }));
    asked("rollback-nowhere", folder.path(), &["rollback"], vec![never]);
    // A host may give the difference alone.
    asked("diff", folder.path(), &["diff", &digest("b")], vec![(200, back)]);
}

#[test]
fn tenants_secrets_and_events_are_told_in_lines() {
    let folder = TempDir::new().unwrap();
    let of_host = |name: &str, arguments: &[&str], answers: Vec<(u16, Value)>| {
        let host = host(folder.path(), answers);
        let arguments: Vec<&str> = arguments.iter().copied().chain(["--host", "unix:admin.sock"]).collect();
        expect(name, folder.path(), &arguments);
        host.join().unwrap()
    };
    let shop = json!({
        "name": "shop", "managed-by": "api", "live": digest("a"), "hosts": ["shop.example", "*.shop.example"],
        "approve": ["grants"], "quota": { "weight": 2 },
    });
    let mill = json!({ "name": "mill", "managed-by": "file", "live": null, "hosts": ["mill.example"] });
    of_host("tenant-list", &["tenant", "list"], vec![(200, json!({ "items": [shop, mill] }))]);
    of_host("tenant-show", &["tenant", "show", "shop"], vec![(200, shop.clone())]);
    let not_there = problem(404, "not-found", "There is no such tenant");
    let set = ["tenant", "set", "shop", "--hosts", "shop.example"];
    of_host("tenant-set", &set, vec![not_there.clone(), (201, shop)]);
    of_host("tenant-set-without-hosts", &["tenant", "set", "shop"], vec![not_there]);
    of_host("tenant-remove-unasked", &["tenant", "remove", "shop"], vec![]);
    of_host("tenant-remove", &["tenant", "remove", "shop", "--yes"], vec![(204, Value::Null)]);

    let token = json!({ "id": "4f0c", "name": "ci", "tenant": "shop", "created": "2026-11-30T12:00:00Z", "expires": null });
    of_host("token-list", &["token", "list"], vec![(200, json!({ "items": [token] }))]);
    let made = json!({ "id": "4f0c", "name": "ci", "tenant": "shop", "token": "jf_4f0c_of-a-test" });
    of_host("token-new", &["token", "new", "ci", "--tenant", "shop"], vec![(201, made)]);
    of_host("token-remove", &["token", "remove", "4f0c"], vec![(204, Value::Null)]);

    std::fs::write(folder.path().join("value"), "hunter2\n").unwrap();
    let set = ["secret", "set", "api-token", "--file", "value"];
    asked("secret-set", folder.path(), &set, vec![(204, Value::Null)]);
    asked(
        "secret-list",
        folder.path(),
        &["secret", "list"],
        vec![(200, json!({ "items": [{ "name": "api-token" }] }))],
    );
    let used = problem(409, "in-use", "The live revision uses the secret");
    asked("secret-remove-used", folder.path(), &["secret", "remove", "api-token"], vec![used]);

    let entry = |number: u32, what: &str| json!({ "number": number, "at": "2026-11-30T12:00:00Z", "by": "unix", "tenant": "shop", "what": what });
    let page = || (200, json!({ "items": [entry(2, "rollout"), entry(1, "tenant-made")] }));
    asked("events", folder.path(), &["events"], vec![page()]);
    of_host("events-all-json", &["events", "--all", "--json"], vec![page()]);
}

#[test]
fn who_cannot_ask_is_told_what_would_help() {
    let folder = TempDir::new().unwrap();
    expect("remote-nowhere", folder.path(), &["tenant", "list", "--host", "unix:none.sock"]);
    expect("remote-no-tenant", folder.path(), &["status", "--host", "unix:none.sock"]);
    expect("remote-no-address", folder.path(), &["status", "--host", "shop.example"]);
    expect(
        "remote-no-authorities",
        folder.path(),
        &["tenant", "list", "--host", "unix:a", "--ca", "none.pem"],
    );
    expect("login-plain", folder.path(), &["login", "--host", "http://shop.example"]);
    let refused = problem(401, "unauthenticated", "A token is needed");
    asked("remote-unauthenticated", folder.path(), &["status"], vec![refused]);
}
