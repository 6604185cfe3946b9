//! The API as a whole: its description, its paths, its explanation of routes, TLS.

use std::collections::BTreeSet;
use std::path::Path;

use jackfield_tests::{Host, Site};
use serde_json::{Value, json};

use super::shop;

const OPENAPI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/admin-api.md");

#[test]
fn the_committed_description_is_current() {
    let expected = snapbox::Data::read_from(Path::new(OPENAPI), Some(snapbox::data::DataFormat::Text)).raw();
    let current = jackfield::admin::openapi();
    snapbox::Assert::new().action_env(snapbox::assert::DEFAULT_ACTION_ENV).eq(current, expected);
}

/// Each call of the description, as its method and path.
fn calls() -> Vec<(String, String, Value)> {
    let description: Value = serde_json::from_str(&jackfield::admin::openapi()).unwrap();
    let paths = description["paths"].as_object().unwrap();
    let calls = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        let methods =
            methods.filter(|(method, _)| ["get", "put", "post", "delete"].contains(&method.as_str()));
        methods.map(|(method, call)| (method.to_uppercase(), path.clone(), call.clone()))
    });
    calls.collect()
}

#[test]
fn the_description_has_every_call_of_the_page_and_every_problem() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let calls = calls();
    assert!(calls.len() >= 28, "{}", calls.len());
    let ids: BTreeSet<String> = calls.iter().map(|(_, _, call)| call["operationId"].to_string()).collect();
    assert_eq!(ids.len(), calls.len(), "an id is there twice");
    for (method, path, call) in &calls {
        let short = path.replace("/v1/tenants/{tenant}", "…");
        let last = short.rsplit('…').next().unwrap();
        assert!(page.contains(last), "the page lacks {method} {path}");
        for always in ["400", "401", "403", "404", "421", "429", "500", "503"] {
            assert!(call["responses"].get(always).is_some(), "{method} {path} lacks {always}");
        }
        assert!(call["responses"].as_object().unwrap().keys().any(|status| status.starts_with('2')));
    }
    let description = jackfield::admin::openapi();
    for problem in page
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter(|line| line.contains("| 4") || line.contains("| 5"))
    {
        for name in problem.split('|').next().unwrap().split(',') {
            let name = name.trim().trim_matches('`');
            if name != "method" {
                assert!(description.contains(&format!("`{name}`")), "no call has the problem `{name}`");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reference_of_the_description_leads_somewhere() {
    let host = Host::start_with_admin("").await;
    let served = host.admin().get("/v1/openapi.json").await.expect(200).json();
    assert_eq!(served["openapi"], "3.1.0");
    assert_eq!(served, serde_json::from_str::<Value>(&jackfield::admin::openapi()).unwrap());
    let text = served.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(served.pointer(reference).is_some(), "{reference} leads nowhere");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_call_is_a_problem_too() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    for path in ["/", "/v1", "/v1/", "/v1/tenants/", "/v1/tenants/shop/nothing", "/v2/tenants"] {
        admin.get(path).await.expect_problem(404, "not-found");
    }
    let patch = admin.request("PATCH", "/v1/tenants/shop").send().await;
    patch.expect_problem(405, "method");
    let mut allowed: Vec<_> = patch.header("allow").unwrap().split(',').map(str::trim).collect();
    allowed.sort_unstable();
    assert_eq!(allowed, ["DELETE", "GET", "HEAD", "PUT"]);
    admin.get("/v1/host?verbose=1").await.expect_problem(400, "malformed");
    let named = admin.request("GET", "/v1/host").header("x-request-id", "mine-1").send().await;
    assert_eq!(named.request_id(), "mine-1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_explained_over_what_is_live() {
    let site =
        Site::default().tenant("file", ["file.example"]).plugin("hello", "guest_hello.wasm").route("/a/{id}");
    let host = Host::start_with_admin(&site).await;
    let admin = host.admin();
    let revisions = shop(&admin, [1]).await;
    let ask = "/v1/explain?method=GET&url=http%3A%2F%2Fshop.example%2Fx&header=accept%3Atext";
    let before = admin.get(ask).await.expect(200).json();
    assert_eq!((&before["tenant"], before["explanation"].is_null()), (&json!(null), true), "nothing is live");
    admin.roll_out("shop", &revisions[0]).await.expect(200);
    let told = admin.get(ask).await.expect(200).json();
    assert_eq!((&told["tenant"], &told["host-pattern"]), (&json!("shop"), &json!("shop.example")));
    assert_eq!(told["explanation"]["outcome"]["target"], "hello");
    let found = admin.get("/v1/explain?method=GET&url=http://file.example/a/7").await.expect(200).json();
    let captures = json!([{ "name": "id", "value": "7" }]);
    assert_eq!(found["explanation"]["outcome"]["captures"], captures);
    let nobody = admin.get("/v1/explain?method=GET&url=http://none.example/").await.expect(200).json();
    assert_eq!(
        nobody,
        json!({ "host": "none.example", "tenant": null, "status": 404, "problem": "no-tenant" })
    );
    for wrong in [
        "",
        "?method=GET",
        "?method=G%20T&url=http://a.example/",
        "?method=GET&url=/x",
        "?method=GET&url=http://a.example/&header=x",
    ] {
        admin.get(&format!("/v1/explain{wrong}")).await.expect_problem(400, "malformed");
    }
    let shop = host.admin_over_tcp().with_token(&admin.make_token(Some("shop")).await);
    shop.get(ask).await.expect(200);
    for foreign in ["file.example", "none.example"] {
        let ask = format!("/v1/explain?method=GET&url=http://{foreign}/");
        shop.get(&ask).await.expect_problem(404, "not-found");
    }
}
