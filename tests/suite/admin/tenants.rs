//! Tenants that are made, changed and removed while the host serves.

use jackfield_tests::{Host, Options, Site, WITH_ADMIN, guest};
use serde_json::{Value, json};

use super::{document, each, served, shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_made_and_publishes_while_the_host_serves() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    let made = admin.put("/v1/tenants/shop", &json!({ "hosts": ["shop.example"] })).await;
    let made = made.expect(201).json();
    assert_eq!((&made["managed-by"], &made["live"]), (&json!("api"), &Value::Null));
    assert_eq!(made["quota"]["concurrency"], 256);
    assert_eq!(served(&host, "shop.example").await.0, 404, "nothing is live");
    let same = admin.put("/v1/tenants/shop", &json!({ "hosts": ["shop.example"] })).await;
    same.expect(200);

    let shop = host.admin_over_tcp().with_token(&admin.make_token(Some("shop")).await);
    let component = shop.uploaded("shop", jackfield_tests::hello_version(1)).await;
    let revision = shop.revision("shop", &document(&component)).await;
    assert_eq!(served(&host, "shop.example").await.0, 404, "a revision is not live by itself");
    shop.roll_out_if("shop", &revision, "\"0\"").await.expect(200);
    assert_eq!(served(&host, "shop.example").await, (200, "hello from version-1\n".into()));

    let status = shop.get("/v1/tenants/shop/status").await.expect(200).json();
    assert_eq!((&status["live"], &status["rollout"]), (&json!(revision), &json!(1)));
    assert_eq!(status["plugins"], json!([{ "name": "hello", "component": component }]));
    let bytes = std::fs::metadata(guest("guest_hello.wasm")).unwrap().len();
    assert_eq!(status["artifact-bytes"], bytes);
    assert_eq!(status["storage"], json!({ "bytes": 0, "keys": 0 }));
    let audit = admin.get("/v1/tenants/shop/audit").await.expect(200).json();
    let what = ["rollout", "revision-added", "artifact-added", "token-made", "tenant-changed", "tenant-made"];
    let told: Vec<_> = each(&audit, "what").into_iter().filter(|what| **what != "tenant-changed").collect();
    assert_eq!(told, what.iter().filter(|what| **what != "tenant-changed").collect::<Vec<_>>());
    assert!(audit["items"][0]["by"].as_str().unwrap().starts_with("token ci ("), "{audit}");

    admin.put("/v1/tenants/shop", &json!({ "hosts": ["other.example"] })).await.expect(200);
    assert_eq!(served(&host, "other.example").await.0, 200);
    assert_eq!(served(&host, "shop.example").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_tenant_leaves_nothing_behind() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    let component = std::fs::read(guest("guest_keyvalue.wasm")).unwrap();
    for round in 0..2 {
        admin.make_tenant("shop", &["shop.example"]).await;
        let digest = admin.uploaded("shop", component.clone()).await;
        let mut document = document(&digest);
        document["plugins"]["hello"]["grants"] = json!({ "keyvalue": true });
        let revision = admin.revision("shop", &document).await;
        admin.put("/v1/tenants/shop/secrets/key", &json!({ "value": "s3cret" })).await.expect(204);
        let rollout = admin.roll_out_if("shop", &revision, "\"0\"").await.expect(200).json();
        assert_eq!(rollout["number"], 1, "round {round}");
        let ask =
            async |path| host.request("POST", path).header("host", "shop.example").body("1").send().await;
        ask("/get?key=a").await.expect(404);
        ask("/set?key=a").await.expect(200);
        ask("/get?key=a").await.expect(200);
        assert_eq!(admin.get("/v1/tenants/shop/status").await.json()["storage"]["keys"], 1);

        admin.delete("/v1/tenants/shop").await.expect(204);
        assert_eq!(served(&host, "shop.example").await.0, 404);
        admin.get("/v1/tenants/shop").await.expect_problem(404, "not-found");
        admin.delete("/v1/tenants/shop").await.expect_problem(404, "not-found");
        let files = std::fs::read_dir(host.file(".jackfield/artifacts")).unwrap().count();
        assert_eq!(files, 0, "round {round}");
    }
    let audit = admin.get("/v1/audit").await.expect(200).json();
    assert_eq!(each(&audit, "what").first(), Some(&&json!("tenant-removed")), "the operator still knows");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_of_the_site_file_is_looked_at_and_not_changed() {
    let site =
        Site::default().tenant("file", ["file.example"]).plugin("hello", "guest_hello.wasm").route("/");
    let host = Host::start_with_admin(&site).await;
    let admin = host.admin();
    let tenant = admin.get("/v1/tenants/file").await.expect(200).json();
    assert_eq!((&tenant["managed-by"], &tenant["hosts"]), (&json!("file"), &json!(["file.example"])));
    assert!(tenant["live"].as_str().unwrap().starts_with("sha256:"), "{tenant}");
    let id = format!("sha256:{}", "0".repeat(64));
    for (method, path, body) in [
        ("PUT", "", json!({ "hosts": ["file.example"] })),
        ("DELETE", "", json!({})),
        ("PUT", "/secrets/key", json!({ "value": "1" })),
        ("DELETE", "/secrets/key", json!({})),
        ("POST", "/revisions", json!({})),
        ("POST", &format!("/revisions/{id}/approval"), json!({})),
        ("PUT", "/rollout", json!({ "live": id })),
    ] {
        let request = admin.request(method, &format!("/v1/tenants/file{path}")).json(&body);
        request.header("if-match", "*").send().await.expect_problem(409, "file-managed");
    }
    admin.upload("file", "").await.expect_problem(409, "file-managed");
    let claimed = admin.put("/v1/tenants/shop", &json!({ "hosts": ["file.example"] })).await;
    let claimed = claimed.expect_problem(422, "tenant").json();
    assert_eq!(claimed["diagnostics"][0]["id"], "claimed");
    admin.make_tenant("shop", &["shop.example"]).await;
    let all = admin.get("/v1/tenants").await.expect(200).json();
    assert_eq!(each(&all, "name"), ["file", "shop"]);
    assert_eq!(admin.get("/v1/host").await.json()["tenants"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_tenant_is_said_with_its_place() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    for (body, said) in [
        (json!({}), "hosts"),
        (json!({ "hosts": [] }), "hosts"),
        (json!({ "hosts": ["a b"] }), "hosts"),
        (json!({ "hosts": ["a.example"], "quota": { "wieght": 2 } }), "quota"),
        (json!({ "hosts": ["a.example"], "quota": { "weight": 0 } }), "weight"),
        (json!({ "hosts": ["a.example"], "name": "shop" }), "name"),
    ] {
        let answer = admin.put("/v1/tenants/shop", &body).await;
        let detail = answer.expect_problem(400, "malformed").json()["detail"].to_string();
        assert!(detail.contains(said), "{body}: {detail}");
    }
    admin
        .put("/v1/tenants/Shop_1", &json!({ "hosts": ["a.example"] }))
        .await
        .expect_problem(400, "malformed");
    admin.get("/v1/tenants/shop").await.expect_problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_are_listed_page_by_page() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    for name in ["a", "b", "c", "d", "e"] {
        admin.make_tenant(name, &[&format!("{name}.example")]).await;
    }
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let page = admin.get(&format!("/v1/tenants?limit=2{after}")).await.expect(200).json();
        names.extend(each(&page, "name").into_iter().cloned());
        let Some(next) = page.get("next") else { break };
        after = format!("&after={}", next.as_str().unwrap());
    }
    assert_eq!(names, ["a", "b", "c", "d", "e"]);
    for wrong in ["limit=0", "limit=1001", "limit=many", "limit=1&limit=2", "after=", "after=%00", "page=2"] {
        admin.get(&format!("/v1/tenants?{wrong}")).await.expect_problem(400, "malformed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_starts_again_with_its_tenants_and_refuses_a_site_file_that_claims_one() {
    let mut host = Host::start_with_admin("").await;
    let [revision] = &shop(&host.admin(), [1]).await[..] else { panic!("one revision") };
    host.admin().roll_out("shop", revision).await.expect(200);
    host.restart().await;
    assert_eq!(served(&host, "shop.example").await.0, 200);
    let rollout = host.admin().get("/v1/tenants/shop/rollout").await;
    assert_eq!(rollout.expect(200).json()["live"], json!(revision));

    host.stop().await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::rename(host.file(".jackfield"), folder.path().join(".jackfield")).unwrap();
    let claiming = Site::default().tenant("shop", ["other.example"]);
    let options = Options { host: WITH_ADMIN.into(), folder: Some(folder), ..Options::default() };
    let refused = Host::try_start(&claiming, options).await.err().unwrap();
    assert!(refused.contains("`shop`"), "{refused}");
}
