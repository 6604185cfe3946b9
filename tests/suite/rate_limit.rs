//! The rate limit: who is let through, who must wait, and what both are told.

use jackfield_tests::{Answer, Host, Site, guest, replace, together};
use serde_json::Value;

/// A site with tenants of these names, each with a filter of this configuration in front of a plugin that
/// answers and one that traps.
fn site(tenants: &[(&str, &str)]) -> Site {
    tenants.iter().fold(Site::default(), |site, (name, config)| {
        let limit = |site: Site, name: &str| {
            site.plugin(name, "rate_limit.wasm").grants("limiter = true").config(config)
        };
        let site = limit(site.tenant(name, [format!("{name}.example")]), "limit");
        limit(site, "other-limit")
            .plugin("hello", "guest_hello.wasm")
            .route("/")
            .with("filters = ['limit']")
            .route("/both")
            .with("filters = ['other-limit', 'limit']")
            .route("/other")
            .with("filters = ['other-limit']")
            .plugin("misbehave", "guest_misbehave.wasm")
            .route("/trap")
            .with("filters = ['limit']")
    })
}

async fn get(host: &Host, tenant: &str, path: &str) -> Answer {
    host.request("GET", path).header("host", format!("{tenant}.example")).send().await
}

/// The numbers of `RateLimit: "limit";r=…;t=…`: what is left, and for how many seconds.
#[track_caller]
fn rate_limit(answer: &Answer) -> (u32, u32) {
    let [value] = answer.header_all("ratelimit")[..] else { panic!("not one RateLimit field\n{answer}") };
    let numbers = value.strip_prefix("\"limit\";r=").and_then(|rest| rest.split_once(";t="));
    let numbers = numbers.and_then(|(left, time)| Some((left.parse().ok()?, time.parse().ok()?)));
    numbers.unwrap_or_else(|| panic!("the RateLimit field is `{value}`\n{answer}"))
}

/// Expects the answer to a request over a limit of `policy`.
#[track_caller]
fn expect_too_many(answer: &Answer, policy: &str) {
    answer.expect(429);
    assert_eq!(answer.header_all("ratelimit-policy"), [policy], "{answer}");
    let (left, time) = rate_limit(answer);
    let wait: u32 = answer.header("retry-after").and_then(|wait| wait.parse().ok()).expect("Retry-After");
    // Two windows at most: this one, and until the next has room again.
    assert!(left == 0 && (1..=120).contains(&wait) && time <= wait, "{answer}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer}");
    let document = answer.json();
    assert_eq!(document["type"], "https://iana.org/assignments/http-problem-types#quota-exceeded");
    assert_eq!(
        (&document["status"], document["request-id"].as_str()),
        (&429.into(), Some(answer.request_id()))
    );
}

const HUNDRED_A_MINUTE: &str = r#"requests = "100", window = "60s""#;

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_requests_in_a_minute_the_first_hundred_pass() {
    let host = Host::start(&site(&[("shop", HUNDRED_A_MINUTE)])).await;
    for number in 0..200 {
        let answer = get(&host, "shop", "/").await;
        if number < 100 {
            assert_eq!(answer.expect(200).text(), "hello from version-1\n");
            assert_eq!(answer.header_all("ratelimit-policy"), ["\"limit\";q=100;w=60"], "{answer}");
            let (left, time) = rate_limit(&answer);
            assert!(left == 99 - number && (1..=61).contains(&time), "request {number}\n{answer}");
            assert_eq!(answer.header("retry-after"), None, "{answer}");
        } else {
            expect_too_many(&answer, "\"limit\";q=100;w=60");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_requests_by_twenty_clients_at_once_a_hundred_pass() {
    let host = Host::start(&site(&[("shop", HUNDRED_A_MINUTE)])).await;
    let clients = (0..20).map(async |_| {
        let mut left = Vec::new();
        for _ in 0..10 {
            let answer = get(&host, "shop", "/").await;
            if answer.status == 200 {
                left.push(rate_limit(&answer).0);
            } else {
                expect_too_many(&answer, "\"limit\";q=100;w=60");
            }
        }
        left
    });
    let mut left = together(clients).await.concat();
    left.sort_unstable();
    // Each that passed was told another number: no two instances took the same place.
    assert_eq!(left, (0..100).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_limits_of_one_route_are_told_side_by_side_under_their_own_names() {
    let config = r#"requests = "2", window = "1h""#;
    let site =
        site(&[("shop", config)]).replacen(config, r#"name = "burst", requests = "2", window = "1min""#, 1);
    let host = Host::start(&site.replacen(config, r#"requests = "5", window = "24h""#, 1)).await;
    let policies = ["\"burst\";q=2;w=60", "\"other-limit\";q=5;w=86400"];
    for (left, daily, status) in [(1, 4, 200), (0, 3, 200), (0, 2, 429)] {
        let answer = get(&host, "shop", "/both").await;
        answer.expect(status);
        assert_eq!(answer.header_all("ratelimit-policy"), policies, "{answer}");
        let [burst, day] = answer.header_all("ratelimit")[..] else { panic!("not two of them\n{answer}") };
        assert!(burst.starts_with(&format!("\"burst\";r={left};t=")), "{answer}");
        assert!(day.starts_with(&format!("\"other-limit\";r={daily};t=")), "{answer}");
        if status == 429 {
            assert_eq!(
                Some(burst),
                answer.header("retry-after").map(|t| format!("\"burst\";r=0;t={t}")).as_deref()
            );
            assert_eq!(answer.json()["violated-policies"], serde_json::json!(["burst"]));
        }
    }
}

/// The limit slides: what a window used counts on in the next.
#[tokio::test(flavor = "multi_thread")]
async fn who_waits_as_long_as_told_is_let_through() {
    let host = Host::start(&site(&[("shop", r#"requests = "4", window = "1s""#)])).await;
    for _ in 0..3 {
        let mut answer = get(&host, "shop", "/").await;
        while rate_limit(answer.expect(200)).0 > 0 {
            answer = get(&host, "shop", "/").await;
        }
        let (_, seconds) = rate_limit(&answer);
        // The one wait that the test is about.
        tokio::time::sleep(std::time::Duration::from_secs(seconds.into())).await;
    }
    get(&host, "shop", "/").await.expect(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_that_comes_back_through_the_filter_says_what_is_left() {
    let host = Host::start(&site(&[("shop", r#"requests = "7", window = "1h", cost = "3""#)])).await;
    let trapped = get(&host, "shop", "/trap").await;
    trapped.expect_problem(500, "plugin-failed");
    // In requests, not in what they cost: of 7, two of 3 each fit.
    assert_eq!(trapped.header_all("ratelimit-policy"), ["\"limit\";q=2;w=3600"], "{trapped}");
    assert_eq!(rate_limit(&trapped).0, 1);
    assert_eq!(rate_limit(get(&host, "shop", "/").await.expect(200)).0, 0);
    let refused = get(&host, "shop", "/trap").await;
    assert_eq!(rate_limit(refused.expect(429)).0, 0);
    assert!(host.log_of(refused.request_id()).iter().all(|line| line["message"] != "request failed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_tells_callers_apart_and_who_has_none_counts_by_address() {
    let config = r#"requests = "2", window = "1h", key = "header:X-Api-Key""#;
    let host = Host::start(&site(&[("shop", config)])).await;
    let ask = async |keys: &[&[u8]]| {
        let request = host.request("GET", "/").header("host", "shop.example");
        let request = keys.iter().fold(request, |request, key| request.header("x-api-key", key));
        request.send().await.status.as_u16()
    };
    let long = "k".repeat(4000);
    for key in [&b"ada"[..], b"ben", b"\xff\xfe", long.as_bytes()] {
        assert_eq!([ask(&[key]).await, ask(&[key]).await, ask(&[key]).await], [200, 200, 429], "{key:?}");
    }
    // None, an empty one, and two of them are all the same caller: the one at this address.
    assert_eq!([ask(&[]).await, ask(&[b""]).await, ask(&[b"x", b"y"]).await], [200, 200, 429]);
}

/// Elsewhere the loopback has one address only.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn clients_are_told_apart_by_address_unless_the_whole_tenant_counts_as_one() {
    let by = |key: &str| format!(r#"requests = "2", window = "1h", key = "{key}""#);
    let (client, all) = (by("client"), by("tenant"));
    let host =
        Host::start(&site(&[("shop", &client), ("other", &client), ("whole", &all), ("another", &all)]))
            .await;
    for (tenant, expected) in [("shop", [200, 200, 429, 200]), ("whole", [200, 200, 429, 429])] {
        let mut statuses = Vec::new();
        for client in [2, 2, 2, 3] {
            statuses.push(status_from(&host, [127, 0, 0, client], tenant).await);
        }
        assert_eq!(statuses, expected, "{tenant}");
    }
    // Another tenant's plugin of the same name counts for itself.
    for tenant in ["other", "another"] {
        assert_eq!(status_from(&host, [127, 0, 0, 2], tenant).await, 200, "{tenant}");
    }
}

#[cfg(target_os = "linux")]
async fn status_from(host: &Host, client: [u8; 4], tenant: &str) -> u16 {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket.bind((client, 0).into()).expect("all of 127.0.0.0/8 is the loopback's");
    let mut stream = socket.connect(host.address()).await.expect("the host listens");
    let request = format!("GET / HTTP/1.1\r\nhost: {tenant}.example\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the connection holds");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("the connection holds");
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status")
}

#[tokio::test(flavor = "multi_thread")]
async fn two_plugins_of_one_component_do_not_share_what_they_count() {
    let host = Host::start(&site(&[("shop", r#"requests = "1", window = "1h""#)])).await;
    get(&host, "shop", "/").await.expect(200);
    get(&host, "shop", "/").await.expect(429);
    // Another route with the same entry shares its limit; another entry does not.
    get(&host, "shop", "/trap").await.expect(429);
    get(&host, "shop", "/other").await.expect(200);
    get(&host, "shop", "/other").await.expect(429);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_stays_taken_when_the_filter_is_replaced() {
    let host = Host::start(&site(&[("shop", r#"requests = "3", window = "1h""#)])).await;
    assert_eq!(rate_limit(get(&host, "shop", "/").await.expect(200)).0, 2);
    assert_eq!(rate_limit(get(&host, "shop", "/").await.expect(200)).0, 1);

    // Another component with the same code: a custom section named `v` is all that it has more.
    let mut component = std::fs::read(guest("rate_limit.wasm")).expect("the plugin can be read");
    component.extend([0, 2, 1, b'v']);
    replace(&host.file("rate_limit.wasm"), &component);
    revisions_live(&host, 2).await;
    assert_eq!(rate_limit(get(&host, "shop", "/").await.expect(200)).0, 0);
    get(&host, "shop", "/").await.expect(429);

    // A higher limit goes on with what was taken under the lower one.
    host.edit_site(&site(&[("shop", r#"requests = "4", window = "1h""#)]));
    revisions_live(&host, 3).await;
    assert_eq!(rate_limit(get(&host, "shop", "/").await.expect(200)).0, 0);
    get(&host, "shop", "/").await.expect(429);
}

async fn revisions_live(host: &Host, count: usize) {
    let is_live = |line: &&Value| line["message"] == "revision live";
    host.wait_until("the change is live", async || host.log().iter().filter(is_live).count() == count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_that_is_set_up_wrongly_lets_nobody_through_and_only_the_log_says_why() {
    let wrong = [
        ("a", r#"requests = "many""#, "config `requests` is `many`: give a whole number"),
        ("b", r#"window = "25h""#, "config `window` is `25h`"),
        ("c", r#"key = "ip""#, "config `key` is `ip`: give `client`, `tenant` or `header:`"),
        ("d", r#"requests = "5", cost = "6""#, "config `cost` is `6`: it cannot be more than `requests`"),
        ("e", r#"limit = "5""#, "config `limit` is unknown: use `name`, `requests`"),
    ];
    let host = Host::start(&site(&wrong.map(|(tenant, config, _)| (tenant, config)))).await;
    for (tenant, _, named) in wrong {
        let answer = get(&host, tenant, "/").await;
        assert_eq!(answer.expect(500).header("content-type"), Some("application/problem+json"), "{answer}");
        assert_eq!(answer.json()["request-id"], answer.request_id());
        assert!(!answer.text().contains("config"), "{answer}");
        let log = host.log_of(answer.request_id());
        let line = log.iter().find(|line| line["message"] == "plugin says").expect("the plugin's line");
        assert!(line["text"].as_str().is_some_and(|text| text.contains(named)), "{line}");
        assert_eq!((&line["plugin"], &line["level"]), (&"limit".into(), &"error".into()), "{line}");
    }
}
