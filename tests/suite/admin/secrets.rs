//! Secrets: set through the API, read by plugins, and given back to nobody.

use jackfield_tests::{Host, guest};
use serde_json::json;

use super::{document, each};

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_reaches_a_plugin_that_runs_and_nobody_else() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    admin.make_tenant("shop", &["shop.example"]).await;
    let component = admin.uploaded("shop", std::fs::read(guest("guest_config.wasm")).unwrap()).await;
    let mut document = document(&component);
    document["plugins"]["hello"]["config"] = json!({ "key": { "secret": "api-key" } });
    let unknown = admin.post("/v1/tenants/shop/revisions", &document).await;
    assert_eq!(unknown.expect_problem(422, "document").json()["diagnostics"][0]["id"], "unknown-secret");

    let path = "/v1/tenants/shop/secrets/api-key";
    admin.put(path, &json!({ "value": "first-value" })).await.expect(204);
    let revision = admin.revision("shop", &document).await;
    admin.roll_out("shop", &revision).await.expect(200);
    let said = async || host.request("GET", "/?key=key").header("host", "shop.example").send().await.text();
    assert!(said().await.contains("first-value"));
    admin.put(path, &json!({ "value": "second-value" })).await.expect(204);
    assert!(said().await.contains("second-value"), "a change holds for the next call");

    let listed = admin.get("/v1/tenants/shop/secrets").await;
    listed.expect(200);
    assert_eq!(each(&listed.json(), "name"), ["api-key"]);
    assert!(!listed.text().contains("second-value"));
    admin.get(path).await.expect_problem(405, "method");
    assert_eq!(admin.get(path).await.header("allow"), Some("PUT,DELETE"));
    admin.delete(path).await.expect_problem(409, "in-use");
    admin.delete("/v1/tenants/shop/secrets/other").await.expect_problem(404, "not-found");
    for wrong in [json!({}), json!({ "value": 1 }), json!({ "value": "a", "file": "b" })] {
        admin.put(path, &wrong).await.expect_problem(400, "malformed");
    }
    admin.put(path, &json!({ "value": "" })).await.expect_problem(422, "secret");
    admin
        .put("/v1/tenants/shop/secrets/A_b", &json!({ "value": "a" }))
        .await
        .expect_problem(400, "malformed");
    let audit = admin.get("/v1/audit").await;
    assert!(!audit.text().contains("-value"), "values are not in the audit log");
    assert!(!host.log().iter().any(|line| line.to_string().contains("-value")), "nor in the log");
}
