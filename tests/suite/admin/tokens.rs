//! Tokens: made, listed, removed, ended.

use jackfield_tests::{Host, text};
use serde_json::json;

use super::each;

#[tokio::test(flavor = "multi_thread")]
async fn a_tokens_text_is_told_once_and_kept_nowhere() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    admin.make_tenant("shop", &["shop.example"]).await;
    let made = admin.post("/v1/tokens", &json!({ "name": "ci", "tenant": "shop" })).await;
    let made = made.expect(201).json();
    let (id, token) = (text(&made["id"]), text(&made["token"]));
    let secret = token.strip_prefix(&format!("jf_{id}_")).unwrap();
    assert_eq!(
        (&made["name"], &made["tenant"], &made["expires"]),
        (&json!("ci"), &json!("shop"), &json!(null))
    );
    let listed = admin.get("/v1/tokens").await.expect(200).json();
    assert_eq!(each(&listed, "id"), [&json!(id)]);
    assert!(listed["items"][0].get("token").is_none());
    let state = std::fs::read(host.file(".jackfield/control.redb")).unwrap();
    assert!(!state.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "the secret is on disk");

    let shop = host.admin_over_tcp().with_token(&token);
    shop.get("/v1/tenants/shop").await.expect(200);
    admin.delete(&format!("/v1/tokens/{id}")).await.expect(204);
    shop.get("/v1/tenants/shop").await.expect_problem(401, "unauthenticated");
    admin.delete(&format!("/v1/tokens/{id}")).await.expect_problem(404, "not-found");
    let audit = admin.get("/v1/tenants/shop/audit").await.expect(200).json();
    assert_eq!(each(&audit, "what"), ["token-removed", "token-made", "tenant-made"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_when_it_should_and_with_its_tenant() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    for wrong in [
        json!({}),
        json!({ "name": "" }),
        json!({ "name": "a\nb" }),
        json!({ "name": "ci", "expires": "tomorrow" }),
        json!({ "name": "ci", "expires": "2020-01-01T00:00:00Z" }),
        json!({ "name": "ci", "scope": "all" }),
    ] {
        admin.post("/v1/tokens", &wrong).await.expect_problem(400, "malformed");
    }
    let nobody = admin.post("/v1/tokens", &json!({ "name": "ci", "tenant": "shop" })).await;
    nobody.expect_problem(404, "not-found");

    let soon = time_from_now(2);
    let ending = admin.post("/v1/tokens", &json!({ "name": "ci", "expires": soon })).await;
    let ending = host.admin_over_tcp().with_token(&text(&ending.expect(201).json()["token"]));
    ending.get("/v1/host").await.expect(200);
    host.wait_until("the token ends", async || ending.get("/v1/host").await.status == 401).await;

    admin.make_tenant("shop", &["shop.example"]).await;
    let token = admin.make_token(Some("shop")).await;
    assert_eq!(each(&admin.get("/v1/tokens").await.json(), "tenant"), ["shop"], "the ended one is gone");
    admin.delete("/v1/tenants/shop").await.expect(204);
    admin.make_tenant("shop", &["shop.example"]).await;
    let other = host.admin_over_tcp().with_token(&admin.make_token(None).await);
    other.get("/v1/tenants/shop").await.expect(200);
    let gone = host.admin_over_tcp().with_token(&token).get("/v1/tenants/shop").await;
    gone.expect_problem(401, "unauthenticated");
}

/// A time to come (RFC 3339).
fn time_from_now(seconds: u64) -> String {
    let then = std::time::SystemTime::now() + std::time::Duration::from_secs(seconds);
    let since = then.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let (days, rest) = (i64::try_from(since / 86_400).unwrap(), since % 86_400);
    // Days since 1970 as a date (Howard Hinnant's civil_from_days).
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}
