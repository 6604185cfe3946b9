//! Rollouts: what is live, under a condition.

use std::collections::BTreeSet;

use jackfield_tests::{Host, text, together};
use serde_json::{Value, json};

use super::{each, served, shop};

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_names_the_one_that_it_replaces() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    let [first, second] = &shop(&admin, [1, 2]).await[..] else { panic!("two revisions") };
    let none = admin.get("/v1/tenants/shop/rollout").await;
    assert_eq!(none.expect(200).json(), json!({ "number": 0, "live": null, "previous": null }));
    assert_eq!(none.header("etag"), Some("\"0\""));
    let unconditional = admin.put("/v1/tenants/shop/rollout", &json!({ "live": first })).await;
    unconditional.expect_problem(428, "condition-required");
    for lost in ["\"1\"", "W/\"0\"", "\"00\"", "\"x\""] {
        admin.roll_out_if("shop", first, lost).await.expect_problem(412, "rollout-changed");
    }
    admin.roll_out_if("shop", first, "0").await.expect_problem(400, "malformed");
    let made = admin.roll_out_if("shop", first, "\"7\", \"0\"").await;
    assert_eq!(made.expect(200).header("etag"), Some("\"1\""));
    assert_eq!((&made.json()["live"], &made.json()["previous"]), (&json!(first), &Value::Null));

    let why = json!({ "live": second, "why": "a better one" });
    let put = admin.request("PUT", "/v1/tenants/shop/rollout").header("if-match", "\"1\"").json(&why);
    put.send().await.expect(200);
    assert_eq!(served(&host, "shop.example").await.1, "hello from version-2\n");
    // And back.
    let back = admin.roll_out_if("shop", first, "*").await.expect(200).json();
    assert_eq!((&back["number"], &back["previous"]), (&json!(3), &json!(second)));
    assert_eq!(served(&host, "shop.example").await.1, "hello from version-1\n");
    let same = admin.roll_out_if("shop", first, "\"3\"").await.expect(200).json();
    assert_eq!(same["number"], 3, "what is live already is no change");

    let all = admin.get("/v1/tenants/shop/rollouts").await.expect(200).json();
    assert_eq!(each(&all, "live"), [first, second, first].map(|id| json!(id)).iter().collect::<Vec<_>>());
    assert_eq!(all["items"][1]["why"], "a better one");
    let page = admin.get("/v1/tenants/shop/rollouts?limit=2").await.expect(200).json();
    let rest = format!("/v1/tenants/shop/rollouts?after={}", text(&page["next"]));
    assert_eq!(each(&admin.get(&rest).await.json(), "number"), [1]);
    let odd = json!({ "live": first, "canary": 5 });
    let put = admin.request("PUT", "/v1/tenants/shop/rollout").header("if-match", "*").json(&odd);
    put.send().await.expect_problem(400, "malformed");
    let unknown = format!("sha256:{}", "0".repeat(64));
    admin.roll_out("shop", &unknown).await.expect_problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_rollouts_that_race_each_wins_or_learns_that_it_lost() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    let revisions = shop(&admin, [1, 2]).await;
    let racers = (0..100).map(async |number: usize| {
        let present = admin.get("/v1/tenants/shop/rollout").await.expect(200).json();
        // Each would change what it has seen.
        let other = revisions.iter().find(|id| present["live"] != json!(id)).unwrap();
        let etag = format!("\"{}\"", present["number"]);
        let answer = admin.roll_out_if("shop", other, &etag).await;
        match answer.status.as_u16() {
            200 => Some(answer.json()["number"].as_u64().unwrap()),
            412 => None,
            _ => panic!("racer {number}: {answer}"),
        }
    });
    let won: Vec<u64> = together(racers).await.into_iter().flatten().collect();
    let numbers: BTreeSet<u64> = won.iter().copied().collect();
    assert_eq!(numbers.len(), won.len(), "a number was given twice: {won:?}");
    assert!(!won.is_empty());
    assert_eq!(numbers, (1..=u64::try_from(won.len()).unwrap()).collect(), "wins and numbers are the same");
    let present = admin.get("/v1/tenants/shop/rollout").await.expect(200).json();
    assert_eq!(present["number"], won.len());
    let audit = admin.get("/v1/tenants/shop/audit?limit=1000").await.expect(200).json();
    let rollouts = each(&audit, "what").into_iter().filter(|what| **what == "rollout").count();
    assert_eq!(rollouts, won.len());
}
