//! Who may ask, and what each caller sees.

use jackfield_tests::Host;
use serde_json::json;

use super::{document, each};

#[tokio::test(flavor = "multi_thread")]
async fn the_socket_is_for_the_hosts_own_user_and_asks_for_no_token() {
    use std::os::unix::fs::PermissionsExt;
    let host = Host::start_with_admin("").await;
    let mode = std::fs::metadata(host.file("admin.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let answer = host.admin().get("/v1/host").await;
    let told = answer.expect(200).json();
    assert_eq!((&told["version"], &told["tenants"]), (&json!(env!("CARGO_PKG_VERSION")), &json!(0)));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    host.admin().put("/v1/tenants/shop", &json!({ "hosts": ["shop.example"] })).await.expect(201);
    let audit = host.admin().get("/v1/audit").await.expect(200).json();
    assert_eq!(each(&audit, "by"), ["operator (socket)"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tcp_a_valid_token_is_needed_for_everything() {
    let host = Host::start_with_admin("").await;
    let tcp = host.admin_over_tcp();
    let token = host.admin().make_token(None).await;
    let (id, _) = token.strip_prefix("jf_").unwrap().split_once('_').unwrap();
    for path in ["/v1/host", "/v1/tenants/shop", "/v1/openapi.json", "/", "/v2"] {
        let answer = tcp.get(path).await;
        answer.expect_problem(401, "unauthenticated");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    let no_secret = format!("jf_{id}_{}", "0".repeat(64));
    for wrong in ["", "jf_", &no_secret, &token[..token.len() - 1], &format!("{token}0")] {
        tcp.with_token(wrong).get("/v1/host").await.expect_problem(401, "unauthenticated");
    }
    tcp.with_token(&token).get("/v1/host").await.expect(200);
    tcp.with_token(&token).get("/v1/nothing").await.expect_problem(404, "not-found");
    let two = tcp.with_token(&token);
    let two = two.request("GET", "/v1/host").header("authorization", "Bearer x");
    two.send().await.expect_problem(401, "unauthenticated");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_token_sees_its_tenant_and_nothing_else() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    admin.make_tenant("shop", &["shop.example"]).await;
    admin.make_tenant("bank", &["bank.example"]).await;
    let bank = host.admin_over_tcp().with_token(&admin.make_token(Some("bank")).await);
    let shop = host.admin_over_tcp().with_token(&admin.make_token(Some("shop")).await);
    for path in
        ["", "/secrets", "/artifacts", "/revisions", "/rollout", "/rollouts", "/status", "/audit", "/events"]
    {
        let [foreign, missing] = ["shop", "none"].map(|tenant| format!("/v1/tenants/{tenant}{path}"));
        let (foreign, missing) = (bank.get(&foreign).await, bank.get(&missing).await);
        foreign.expect_problem(404, "not-found");
        let told = |answer: &jackfield_tests::Answer| {
            let mut told = answer.expect_problem(404, "not-found").json();
            told["request-id"] = json!(null);
            told.to_string().replace("none", "shop")
        };
        assert_eq!(told(&foreign), told(&missing), "{path}");
        if path != "/events" {
            bank.get(&format!("/v1/tenants/bank{path}")).await.expect(200);
        }
    }
    for (method, path) in [
        ("GET", "/v1/tenants"),
        ("PUT", "/v1/tenants/bank"),
        ("DELETE", "/v1/tenants/bank"),
        ("POST", &format!("/v1/tenants/bank/revisions/sha256:{}/approval", "0".repeat(64))),
        ("GET", "/v1/audit"),
        ("GET", "/v1/events"),
        ("GET", "/v1/tokens"),
        ("POST", "/v1/tokens"),
        ("DELETE", "/v1/tokens/0"),
        ("GET", "/v1/host"),
    ] {
        let answer = bank.request(method, path).json(&json!({})).send().await;
        answer.expect_problem(403, "forbidden");
    }
    bank.request("DELETE", "/v1/tenants/shop").send().await.expect_problem(404, "not-found");

    // Both have the same component, and neither learns of it.
    let component = jackfield_tests::hello_version(1);
    let digest = shop.uploaded("shop", component.clone()).await;
    let missing = bank.get(&format!("/v1/tenants/bank/artifacts/{digest}")).await;
    missing.expect_problem(404, "not-found");
    let refused = bank.post("/v1/tenants/bank/revisions", &document(&digest)).await;
    assert_eq!(refused.expect_problem(422, "document").json()["diagnostics"][0]["id"], "unknown-artifact");
    bank.upload("bank", component).await.expect(201);
    let own = bank.get("/v1/tenants/bank/audit").await.expect(200).json();
    assert_eq!(each(&own, "what"), ["artifact-added", "token-made", "tenant-made"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_presents_wrong_tokens_again_and_again_is_turned_away_for_a_while() {
    let host = Host::start_with_admin("").await;
    let token = host.admin().make_token(None).await;
    let tcp = host.admin_over_tcp();
    for _ in 0..9 {
        tcp.with_token("jf_a_b").get("/v1/host").await.expect_problem(401, "unauthenticated");
    }
    tcp.with_token(&token).get("/v1/host").await.expect(200);
    for _ in 0..10 {
        tcp.with_token("jf_a_b").get("/v1/host").await.expect_problem(401, "unauthenticated");
    }
    let answer = tcp.with_token(&token).get("/v1/host").await;
    let seconds: u64 =
        answer.expect_problem(429, "slow-down").header("retry-after").unwrap().parse().unwrap();
    assert!((1..=31).contains(&seconds), "{seconds}");
    host.admin().get("/v1/host").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_a_browser_cannot_ask() {
    let host = Host::start_with_admin("").await;
    let token = host.admin().make_token(None).await;
    let tcp = host.admin_over_tcp().with_token(&token);
    for (name, status) in [
        ("localhost", 200),
        ("LOCALHOST:9090", 200),
        ("127.0.0.1", 200),
        ("[::1]:80", 200),
        ("192.0.2.7", 200),
        ("rebound.example", 421),
        ("localhost.example", 421),
        ("", 421),
    ] {
        let answer = tcp.request("GET", "/v1/host").header("host", name).send().await;
        assert_eq!(answer.status, status, "{name}: {answer}");
    }
    let misdirected = tcp.request("GET", "/v1/host").header("host", "rebound.example").send().await;
    misdirected.expect_problem(421, "misdirected");
    let page = tcp.request("GET", "/v1/host").header("origin", "http://localhost").send().await;
    page.expect_problem(403, "forbidden");
}
