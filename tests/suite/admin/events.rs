//! Events: the audit log as it grows.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use jackfield_tests::{Admin, Host, PATIENCE};
use serde_json::{Value, json};

use super::each;

/// A stream of events.
struct Stream {
    body: Incoming,
    text: String,
}

impl Stream {
    async fn open(admin: &Admin, path: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(path).header("host", "localhost");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let mut sender = admin.connect::<Empty<Bytes>>().await;
        let answer = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body(), text: String::new() }
    }

    /// The next event: its id and its data; none at the end of the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                if let (Some(id), Some(data)) = (field("id: "), field("data: ")) {
                    return Some((id.to_owned(), serde_json::from_str(data).unwrap()));
                }
                continue;
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("an event in time")?;
            self.text += std::str::from_utf8(&frame.ok()?.into_data().ok()?).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_come_as_things_happen_and_resume_behind_the_one_seen_last() {
    let mut host = Host::start_with_admin("").await;
    let admin = host.admin();
    admin.make_tenant("shop", &["shop.example"]).await;
    let mut all = Stream::open(&admin, "/v1/events", None).await;
    let mut shops = Stream::open(&admin, "/v1/tenants/shop/events", None).await;
    admin.make_tenant("bank", &["bank.example"]).await;
    admin.put("/v1/tenants/shop/secrets/key", &json!({ "value": "1" })).await.expect(204);
    let (first, made) = all.next().await.unwrap();
    assert_eq!((&made["what"], &made["tenant"]), (&json!("tenant-made"), &json!("bank")));
    let (second, set) = all.next().await.unwrap();
    assert_eq!((&set["what"], &set["secret"]), (&json!("secret-set"), &json!("key")));
    assert_eq!(shops.next().await.unwrap(), (second.clone(), set.clone()), "another tenant's are not there");

    let mut resumed = Stream::open(&admin, "/v1/events", Some(&first)).await;
    assert_eq!(resumed.next().await.unwrap(), (second, set));
    let mut from_the_start = Stream::open(&admin, "/v1/tenants/bank/events", Some("0")).await;
    assert_eq!(from_the_start.next().await.unwrap().0, first);
    let audit = admin.get("/v1/audit").await.expect(200).json();
    assert_eq!(each(&audit, "what"), ["secret-set", "tenant-made", "tenant-made"]);
    let odd = admin.request("GET", "/v1/events").header("last-event-id", "x").send().await;
    odd.expect_problem(400, "malformed");

    host.stop().await;
    for mut stream in [all, shops, resumed, from_the_start] {
        assert_eq!(stream.next().await, None, "streams end when the host does");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_with_the_token_that_it_was_opened_with() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    admin.make_tenant("shop", &["shop.example"]).await;
    let token = admin.make_token(Some("shop")).await;
    let (id, _) = token.strip_prefix("jf_").unwrap().split_once('_').unwrap();
    let tcp = host.admin_over_tcp();
    let mut sender = tcp.connect::<Empty<Bytes>>().await;
    let request = Request::get("/v1/tenants/shop/events").header("host", "localhost");
    let request = request.header("authorization", format!("Bearer {token}"));
    let answer = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut stream = Stream { body: answer.into_body(), text: String::new() };
    admin.delete(&format!("/v1/tokens/{id}")).await.expect(204);
    assert_eq!(stream.next().await, None);
}
