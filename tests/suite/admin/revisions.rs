//! Revisions: documents that are taken, refused, held and approved, and their differences.

use jackfield_tests::{Host, guest, hello_version, text};
use serde_json::{Value, json};

use super::{document, each, served, shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_kept_once_and_its_difference_is_told() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    let revisions = shop(&admin, [1]).await;
    let component = admin.uploaded("shop", hello_version(1)).await;
    let again = admin.post("/v1/tenants/shop/revisions", &document(&component)).await;
    let again = again.expect(200).json();
    assert_eq!((&again["revision"], &again["state"]), (&json!(revisions[0]), &json!("ready")));
    assert_eq!(again["against"], Value::Null);
    admin.roll_out("shop", &revisions[0]).await.expect(200);

    let mut later = document(&component);
    later["plugins"]["hello"]["limits"] = json!({ "cpu": 30_000_000 });
    later["plugins"]["hello"]["grants"] = json!({ "keyvalue": true });
    later["routes"].as_array_mut().unwrap().pop();
    let added = admin.post("/v1/tenants/shop/revisions", &later).await.expect(201).json();
    assert_eq!(added["against"], json!(revisions[0]));
    assert_eq!(added["diff"]["limits"], json!({ "hello": { "cpu": { "added": 30_000_000 } } }));
    assert_eq!(added["diff"]["grants"], json!({ "hello": { "keyvalue": { "added": true } } }));
    assert_eq!(added["diff"]["routes"][0]["removed"]["path"], "/");
    assert_eq!(added["widens"], json!([{ "plugin": "hello", "kind": "grant", "name": "keyvalue" }]));
    let id = text(&added["revision"]);
    let diff = admin.get(&format!("/v1/tenants/shop/revisions/{id}/diff")).await.expect(200).json();
    assert_eq!((&diff["diff"], &diff["widens"]), (&added["diff"], &added["widens"]));
    let back = format!("/v1/tenants/shop/revisions/{}/diff?against={id}", revisions[0]);
    let back = admin.get(&back).await.expect(200).json();
    assert_eq!(back["diff"]["grants"], json!({ "hello": { "keyvalue": { "removed": true } } }));
    assert_eq!(back["widens"], json!([]));

    let one = admin.get(&format!("/v1/tenants/shop/revisions/{id}")).await.expect(200).json();
    assert_eq!(one["document"]["plugins"]["hello"]["limits"], json!({ "cpu": 30_000_000 }));
    assert_eq!((&one["state"], &one["by"]), (&json!("ready"), &json!("operator (socket)")));
    let listed = admin.get("/v1/tenants/shop/revisions").await.expect(200).json();
    assert_eq!(each(&listed, "revision"), [&json!(id), &json!(revisions[0])]);
    assert!(listed["items"][0].get("document").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_keeps_nothing() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    admin.make_tenant("shop", &["shop.example"]).await;
    let component = admin.uploaded("shop", hello_version(1)).await;
    let before = admin.get("/v1/tenants/shop/audit").await.json();
    let path = "/v1/tenants/shop/revisions?dry-run=true";
    let answer = admin.post(path, &document(&component)).await.expect(200).json();
    assert_eq!(answer["diff"]["plugins"]["hello"]["added"]["component"], json!(component));
    let refused = admin.post(path, &document(&format!("sha256:{}", "0".repeat(64)))).await;
    refused.expect_problem(422, "document");
    assert_eq!(admin.get("/v1/tenants/shop/revisions").await.json(), json!({ "items": [] }));
    assert_eq!(admin.get("/v1/tenants/shop/audit").await.json(), before);
    let id = text(&answer["revision"]);
    admin.roll_out("shop", &id).await.expect_problem(404, "not-found");
    let odd = admin.post("/v1/tenants/shop/revisions?dry-run=yes", &document(&component)).await;
    odd.expect_problem(400, "malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_that_is_wrong_with_a_document_is_said_at_its_place() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    let allowed = json!({ "grants": { "keyvalue": false }, "limits": { "cpu": 20_000_000 } });
    admin.put("/v1/tenants/shop", &json!({ "hosts": ["shop.example"], "quota": allowed })).await.expect(201);
    let component = admin.uploaded("shop", hello_version(1)).await;
    let wrong = json!({
        "plugins": {
            "hello": { "component": component, "grants": { "keyvalue": true, "http": ["https://a.example"] },
                       "limits": { "cpu": 30_000_000 }, "config": { "key": { "secret": "none" } } },
            "missing": { "component": format!("sha256:{}", "0".repeat(64)) },
            "file": { "component": "/etc/passwd", "mounts": { "/files": "/etc" } },
        },
        "routes": [
            { "path": "/a", "plugin": "nobody", "filters": ["hello", "nothing"] },
            { "path": "/a", "plugin": "hello", "hosts": ["bank.example"] },
            { "path": "/b", "plugin": "hello" },
            { "path": "/b", "plugin": "hello" },
        ],
    });
    let refused = admin.post("/v1/tenants/shop/revisions", &wrong).await;
    let refused = refused.expect_problem(422, "document").json();
    let mut told: Vec<_> = refused["diagnostics"]
        .as_array()
        .unwrap()
        .iter()
        .map(|told| format!("{} {}", told["id"].as_str().unwrap(), told["place"].as_str().unwrap()))
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            "above-ceiling /plugins/hello",
            "foreign-host /routes/1",
            "grant-not-allowed /plugins/hello",
            "mount-not-allowed /plugins/file/mounts/~1files",
            "origin-not-allowed /plugins/hello",
            "routes-clash /routes/1",
            "routes-clash /routes/3",
            "unknown-artifact /plugins/file/component",
            "unknown-artifact /plugins/missing/component",
            "unknown-plugin /routes/0/filters/1",
            "unknown-plugin /routes/0/plugin",
            "unknown-secret /secrets/none",
        ],
        "{refused}"
    );
    for (body, said) in [
        (json!({ "plugin": {} }), "plugin"),
        (json!({ "routes": [{ "path": "no slash", "plugin": "a" }] }), "routes[0]"),
        (json!({ "plugins": { "a": { "component": "sha256:1" } } }), "plugins.a"),
        (json!([]), "invalid type"),
    ] {
        let malformed = admin.post("/v1/tenants/shop/revisions", &body).await;
        let detail = malformed.expect_problem(400, "malformed").json()["detail"].to_string();
        assert!(detail.contains(said), "{body}: {detail}");
    }
    let no_json = admin.request("POST", "/v1/tenants/shop/revisions").body("{}").send().await;
    no_json.expect_problem(415, "media-type");
}

#[tokio::test(flavor = "multi_thread")]
async fn routes_that_are_too_long_or_too_many_are_refused_soon() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    admin.make_tenant("shop", &["shop.example"]).await;
    let component = admin.uploaded("shop", hello_version(1)).await;
    let mut many = document(&component);
    many["routes"][0]["filters"] = json!(vec!["hello"; 33]);
    let refused = admin.post("/v1/tenants/shop/revisions", &many).await;
    assert_eq!(refused.expect_problem(422, "document").json()["diagnostics"][0]["id"], "too-many");
    let route = |number| json!({ "path": format!("/{number}"), "plugin": "hello" });
    many["routes"] = (0..10_001).map(route).collect();
    let refused = admin.post("/v1/tenants/shop/revisions", &many).await;
    assert_eq!(refused.expect_problem(422, "document").json()["diagnostics"][0]["id"], "too-many");
    many["routes"] = (0..500).map(|_| route(0)).collect();
    let refused = admin.post("/v1/tenants/shop/revisions", &many).await;
    let refused = refused.expect_problem(422, "document").json();
    assert_eq!(refused["diagnostics"].as_array().unwrap().len(), 100);
    assert!(refused["detail"].as_str().unwrap().contains("the reasons are 100"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_with_more_grants_waits_for_the_operator() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    admin
        .put("/v1/tenants/shop", &json!({ "hosts": ["shop.example"], "approve": ["grants"] }))
        .await
        .expect(201);
    let shop = host.admin_over_tcp().with_token(&admin.make_token(Some("shop")).await);
    let component = shop.uploaded("shop", std::fs::read(guest("guest_keyvalue.wasm")).unwrap()).await;
    let mut more = document(&component);
    more["plugins"]["hello"]["grants"] = json!({ "keyvalue": true });
    let held = shop.post("/v1/tenants/shop/revisions", &more).await.expect(201).json();
    assert_eq!(held["state"], "held");
    let id = text(&held["revision"]);
    shop.roll_out("shop", &id).await.expect_problem(409, "held");
    let approval = format!("/v1/tenants/shop/revisions/{id}/approval");
    shop.request("POST", &approval).send().await.expect_problem(403, "forbidden");
    admin.request("POST", &approval).send().await.expect(204);
    assert_eq!(shop.get(&format!("/v1/tenants/shop/revisions/{id}")).await.json()["state"], "ready");
    shop.roll_out("shop", &id).await.expect(200);
    assert_ne!(served(&host, "shop.example").await.1, "");
    let hello = shop.uploaded("shop", hello_version(1)).await;
    let fewer = shop.post("/v1/tenants/shop/revisions", &document(&hello)).await.expect(201).json();
    assert_eq!((&fewer["state"], &fewer["widens"]), (&json!("ready"), &json!([])));
}
