//! Artifacts: uploaded, described, refused.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Request;
use hyper::body::{Body, Frame};
use jackfield_tests::{Host, guest, hello_version};
use serde_json::json;

use super::{document, each};

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_says_what_it_is() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    admin.make_tenant("shop", &["shop.example"]).await;
    let component = std::fs::read(guest("guest_keyvalue.wasm")).unwrap();
    let added = admin.upload("shop", component.clone()).await.expect(201).json();
    assert_eq!((&added["bytes"], &added["plugs"]), (&json!(component.len()), &json!(["handler"])));
    let grants = added["grants"].as_array().unwrap();
    assert!(grants.contains(&json!("keyvalue")), "{added}");
    assert!(added["imports"].to_string().contains("wasi:keyvalue/store@"), "{added}");
    let again = admin.upload("shop", component).await.expect(200).json();
    assert_eq!(again, added);
    let path = format!("/v1/tenants/shop/artifacts/{}", added["digest"].as_str().unwrap());
    assert_eq!(admin.get(&path).await.expect(200).json(), added);
    let listed = admin.get("/v1/tenants/shop/artifacts").await.expect(200).json();
    assert_eq!(listed, json!({ "items": [added] }));
    admin.get("/v1/tenants/shop/artifacts/sha256:12").await.expect_problem(400, "malformed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_component_is_refused_and_leaves_nothing() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    admin.make_tenant("shop", &["shop.example"]).await;
    for bytes in [&b""[..], b"no component", b"\0asm\x01\0\0\0"] {
        let refused = admin.upload("shop", bytes).await;
        let diagnostics = refused.expect_problem(422, "artifact").json()["diagnostics"].clone();
        assert!(!diagnostics[0]["message"].as_str().unwrap().is_empty(), "{diagnostics}");
    }
    let typed = admin.request("POST", "/v1/tenants/shop/artifacts").header("content-type", "text/plain");
    typed.body("x").send().await.expect_problem(415, "media-type");
    let files = std::fs::read_dir(host.file(".jackfield/artifacts")).unwrap().count();
    assert_eq!(files, 0);
    admin.upload("nobody", "x").await.expect_problem(404, "not-found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_is_at_most_as_large_as_the_host_takes() {
    let site = "[host.intake]\nartifact = '64KiB'\n";
    let host = Host::start_with_admin(site).await;
    let admin = host.admin();
    admin.make_tenant("shop", &["shop.example"]).await;
    admin.upload("shop", vec![0; (64 << 10) + 1]).await.expect_problem(413, "too-large");
    // Without a length, the host learns of it only as the bytes come.
    let mut sender = admin.connect::<Chunked>().await;
    let request = Request::post("/v1/tenants/shop/artifacts").header("content-type", "application/wasm");
    let request = request.header("host", "localhost").body(Chunked(64)).unwrap();
    assert_eq!(sender.send_request(request).await.unwrap().status(), 413);
    let json = admin.request("PUT", "/v1/tenants/shop").header("content-type", "application/json");
    json.body(vec![b' '; (4 << 20) + 1]).send().await.expect_problem(413, "too-large");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_keeps_as_many_bytes_as_its_quota_allows_and_forgets_what_nothing_uses() {
    let host = Host::start_with_admin("").await;
    let admin = host.admin();
    let bytes = u64::try_from(hello_version(1).len()).unwrap();
    let spec = json!({ "hosts": ["shop.example"], "quota": { "artifacts": bytes * 2 } });
    admin.put("/v1/tenants/shop", &spec).await.expect(201);
    let first = admin.uploaded("shop", hello_version(1)).await;
    let second = admin.uploaded("shop", hello_version(2)).await;
    let third = admin.uploaded("shop", hello_version(3)).await;
    let kept = admin.get("/v1/tenants/shop/artifacts").await.json();
    let mut kept: Vec<_> = each(&kept, "digest").into_iter().cloned().collect();
    kept.sort_by_key(ToString::to_string);
    let mut expected = vec![json!(second), json!(third)];
    expected.sort_by_key(ToString::to_string);
    assert_eq!(kept, expected, "{first} was the oldest that nothing used");
    admin.revision("shop", &document(&second)).await;
    admin.revision("shop", &document(&third)).await;
    let refused = admin.upload("shop", hello_version(4)).await;
    refused.expect_problem(507, "storage");
    let files = std::fs::read_dir(host.file(".jackfield/artifacts")).unwrap().count();
    assert_eq!(files, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stalls_is_given_up() {
    let site = "[host.timeouts]\nbody = '200ms'\n";
    let host = Host::start_with_admin(site).await;
    let admin = host.admin();
    admin.make_tenant("shop", &["shop.example"]).await;
    let answer = stalled(&host).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("urn:jackfield:problem:timeout"), "{answer}");
}

/// The answer to a request whose body does not come.
async fn stalled(host: &Host) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::UnixStream::connect(host.file("admin.sock")).await.unwrap();
    let head = "POST /v1/tenants/shop/revisions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
                connection: close\r\ncontent-length: 100\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    tokio::time::timeout(jackfield_tests::PATIENCE, read).await.unwrap().unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// A body of so many pieces of 16 KiB, whose length is not told.
struct Chunked(usize);

impl Body for Chunked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(left) = self.0.checked_sub(1) else { return Poll::Ready(None) };
        self.0 = left;
        Poll::Ready(Some(Ok(Frame::data(vec![0; 16 << 10].into()))))
    }
}
