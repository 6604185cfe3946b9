//! The client against a small server of its own, on a Unix socket or on 127.0.0.1.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::{TcpListener, UnixListener};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::sandbox::Digest;
use crate::tenant::TenantName;

/// A request as the server saw it: its line, some fields, and its body.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    line: String,
    fields: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Seen {
    fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// A server that gives prepared answers, one after the other, and notes what it is asked.
struct Server {
    address: HostAddress,
    seen: Arc<Mutex<Vec<Seen>>>,
    _task: AbortOnDropHandle<()>,
    _folder: tempfile::TempDir,
}

impl Server {
    async fn on_a_socket(answers: Vec<Response<String>>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let (seen, answers) = prepared(answers);
        let task = tokio::spawn({
            let seen = seen.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(TokioIo::new(stream), seen.clone(), answers.clone()));
                }
            }
        });
        let address = HostAddress::Unix(path);
        Self { address, seen, _task: AbortOnDropHandle::new(task), _folder: folder }
    }

    async fn on_tcp(answers: Vec<Response<String>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (seen, answers) = prepared(answers);
        let task = tokio::spawn({
            let seen = seen.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(TokioIo::new(stream), seen.clone(), answers.clone()));
                }
            }
        });
        let folder = tempfile::tempdir().unwrap();
        Self { address, seen, _task: AbortOnDropHandle::new(task), _folder: folder }
    }

    fn client(&self) -> Client {
        self.client_with(None)
    }

    fn client_with(&self, token: Option<&str>) -> Client {
        let token = token.map(|token| token.parse().unwrap());
        Client::new(self.address.clone(), token, authorities(None).unwrap()).unwrap()
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    fn lines(&self) -> Vec<String> {
        self.seen().into_iter().map(|seen| seen.line).collect()
    }
}

type Prepared = Arc<Mutex<VecDeque<Response<String>>>>;

fn prepared(answers: Vec<Response<String>>) -> (Arc<Mutex<Vec<Seen>>>, Prepared) {
    (Arc::default(), Arc::new(Mutex::new(answers.into())))
}

async fn serve<S>(stream: TokioIo<S>, seen: Arc<Mutex<Vec<Seen>>>, answers: Prepared)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let service = service_fn(|request: Request<Incoming>| {
        let (seen, answers) = (seen.clone(), answers.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
            let text = |value: &http::HeaderValue| value.to_str().unwrap().to_owned();
            let fields = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
            seen.lock().unwrap().push(Seen { line: format!("{} {}", head.method, head.uri), fields, body });
            let answer = answers.lock().unwrap().pop_front();
            let Some(answer) = answer else { std::future::pending().await };
            Ok::<_, Infallible>(answer.map(|body| Full::new(Bytes::from(body))))
        }
    });
    // A client may leave.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(stream, service).await;
}

fn answer(status: u16, json: &Value) -> Response<String> {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(json.to_string())
        .unwrap()
}

fn events(text: &str) -> Response<String> {
    Response::builder().header("content-type", "text/event-stream").body(text.to_owned()).unwrap()
}

fn shop() -> TenantName {
    TenantName::parse("shop").unwrap()
}

fn digest(letter: &str) -> Digest {
    format!("sha256:{}", letter.repeat(64)).parse().unwrap()
}

#[tokio::test]
async fn a_rollout_is_read_with_its_version_and_changed_on_that_condition() {
    let rollout =
        json!({ "number": 3, "live": digest("a").to_string(), "previous": null, "by": "ci", "why": null });
    let mut with_etag = answer(200, &rollout);
    with_etag.headers_mut().insert("etag", "\"3\"".parse().unwrap());
    let changed =
        json!({ "type": "urn:jackfield:problem:rollout-changed", "title": "Changed", "status": 412 });
    let server = Server::on_a_socket(vec![with_etag, answer(412, &changed)]).await;
    let (client, shop) = (server.client(), shop());
    let (rollout, version) = client.of(&shop).rollout().await.unwrap();
    assert_eq!((rollout.number, rollout.live, rollout.previous), (3, Some(digest("a")), None));
    let refused = client.of(&shop).set_rollout(digest("b"), Some("faster"), &version).await.unwrap_err();
    assert_eq!(refused.problem("rollout-changed").map(|problem| problem.status), Some(412));

    let seen = server.seen();
    assert_eq!(server.lines(), ["GET /v1/tenants/shop/rollout", "PUT /v1/tenants/shop/rollout"]);
    assert_eq!((seen[1].field("if-match"), seen[1].field("host")), (Some("\"3\""), Some("localhost")));
    let body: Value = serde_json::from_slice(&seen[1].body).unwrap();
    assert_eq!(body, json!({ "live": digest("b").to_string(), "why": "faster" }));
}

#[tokio::test]
async fn a_token_goes_over_tcp_and_not_to_a_socket() {
    let tcp = Server::on_tcp(vec![answer(200, &json!({}))]).await;
    tcp.client_with(Some("jf_a_b")).check_token().await.unwrap();
    assert_eq!(tcp.seen()[0].field("authorization"), Some("Bearer jf_a_b"));
    assert_eq!(
        tcp.seen()[0].field("host").map(|host| format!("http://{host}")),
        Some(tcp.address.to_string())
    );

    let socket = Server::on_a_socket(vec![answer(200, &json!({}))]).await;
    socket.client_with(Some("jf_a_b")).check_token().await.unwrap();
    assert_eq!(socket.seen()[0].field("authorization"), None);

    let far = Client::new(
        "http://host.example".parse().unwrap(),
        Some("jf_a_b".parse().unwrap()),
        authorities(None).unwrap(),
    );
    assert!(matches!(far.err(), Some(ClientError::Address(AddressError::PlainToken(_)))));
}

#[tokio::test]
async fn a_tenants_token_is_taken_though_it_may_not_see_the_host() {
    let problem = |name: &str| json!({ "type": format!("urn:jackfield:problem:{name}"), "title": name });
    let server =
        Server::on_tcp(vec![answer(403, &problem("forbidden")), answer(401, &problem("unauthenticated"))])
            .await;
    let client = server.client_with(Some("jf_a_b"));
    client.check_token().await.unwrap();
    assert!(client.check_token().await.unwrap_err().problem("unauthenticated").is_some());
}

#[tokio::test]
async fn a_component_is_sent_whole_and_has_to_be_the_one_that_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("books.wasm");
    let bytes: Vec<u8> = (0..300_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    std::fs::write(&path, &bytes).unwrap();
    let upload = survey(&path).unwrap();
    let server = Server::on_a_socket(vec![
        answer(201, &json!({ "digest": upload.digest.to_string() })),
        answer(201, &json!({ "digest": digest("a").to_string() })),
    ])
    .await;
    let (client, shop) = (server.client(), shop());
    let sent = Arc::new(Mutex::new(0));
    let told = sent.clone();
    client.of(&shop).upload(&upload, move |bytes| *told.lock().unwrap() += bytes).await.unwrap();
    let seen = &server.seen()[0];
    assert_eq!(seen.line, "POST /v1/tenants/shop/artifacts");
    assert_eq!(
        (seen.field("content-type"), seen.field("content-length")),
        (Some("application/wasm"), Some("300000"))
    );
    assert!(seen.body == bytes && *sent.lock().unwrap() == 300_000);

    let other = client.of(&shop).upload(&upload, |_| ()).await.unwrap_err();
    assert!(other.to_string().contains("was changed while it was sent"), "{other}");
    std::fs::write(&path, "short").unwrap();
    let shorter = client.of(&shop).upload(&upload, |_| ()).await.unwrap_err();
    assert!(matches!(shorter, ClientError::Broken { .. }), "{shorter}");
}

#[tokio::test]
async fn lists_are_read_page_by_page_up_to_a_number() {
    let page = |items: &[u32], next: Option<&str>| answer(200, &json!({ "items": items, "next": next }));
    let server =
        Server::on_a_socket(vec![page(&[1, 2], Some("a/b")), page(&[3], None), page(&[1, 2, 3], Some("c"))])
            .await;
    let client = server.client();
    assert_eq!(client.tenants(300).await.unwrap(), [1, 2, 3]);
    assert_eq!(client.tenants(2).await.unwrap(), [1, 2]);
    let asked =
        ["GET /v1/tenants?limit=200", "GET /v1/tenants?limit=200&after=a%2Fb", "GET /v1/tenants?limit=2"];
    assert_eq!(server.lines(), asked);
}

#[tokio::test]
async fn what_no_host_answers_is_told_from_a_refusal() {
    let text = |status: u16, text: &str| Response::builder().status(status).body(text.to_owned()).unwrap();
    let server = Server::on_a_socket(vec![
        text(404, "<h1>Not Found</h1>"),
        text(302, ""),
        answer(200, &json!({ "number": "three" })),
        answer(500, &json!({ "error": "no" })),
        text(200, &format!("\"{}\"", "a".repeat(17 * 1024 * 1024))),
    ])
    .await;
    let (client, shop) = (server.client(), shop());
    for expected in ["is not JSON", "it is 302", "has another form", "it is 500", "more than 16MiB"] {
        let said = client.of(&shop).rollout().await.unwrap_err().to_string();
        assert!(said.contains(expected), "{said}");
    }
    let nowhere = HostAddress::Unix(PathBuf::from("/nowhere/admin.sock"));
    let client = Client::new(nowhere, None, authorities(None).unwrap()).unwrap();
    let said = client.of(&shop).rollout().await.unwrap_err().to_string();
    assert!(said.contains("unix:/nowhere/admin.sock") && said.contains("does a host serve there"), "{said}");
}

#[tokio::test]
async fn events_go_on_behind_the_last_one_that_was_whole() {
    let problem = json!({ "type": "urn:jackfield:problem:not-found", "title": "Not found" });
    let server = Server::on_a_socket(vec![
        events("retry: 1\nid: 5\ndata: five\n\nid: 6\ndata: six\n\nid: 7\ndata: sev"),
        answer(503, &json!({ "type": "urn:jackfield:problem:store", "title": "Store" })),
        events("id: 7\ndata: seven\n\n"),
        answer(404, &problem),
    ])
    .await;
    let (client, shop) = (server.client(), shop());
    let mut follow = client.follow(Some(&shop), Some("4".into()));
    for expected in ["five", "six", "seven"] {
        let event = tokio::time::timeout(Duration::from_secs(30), follow.next()).await.unwrap().unwrap();
        assert_eq!(event.data, expected);
    }
    // The tenant is gone.
    let gone = tokio::time::timeout(Duration::from_secs(30), follow.next()).await.unwrap().unwrap_err();
    assert!(gone.is_not_found(), "{gone}");
    let seen = server.seen();
    let resumed: Vec<_> = seen.iter().map(|seen| seen.field("last-event-id").unwrap_or("none")).collect();
    assert_eq!(resumed, ["4", "6", "6", "7"]);
    assert!(server.lines().iter().all(|line| line == "GET /v1/tenants/shop/events"));
}

#[tokio::test]
async fn events_that_cannot_be_had_at_once_are_refused() {
    let problem = json!({ "type": "urn:jackfield:problem:forbidden", "title": "Forbidden" });
    let server = Server::on_a_socket(vec![answer(403, &problem), answer(200, &json!({}))]).await;
    let client = server.client();
    assert!(client.follow(None, None).next().await.unwrap_err().problem("forbidden").is_some());
    let none = client.follow(None, None).next().await.unwrap_err().to_string();
    assert!(none.contains("it gives no events"), "{none}");
    assert_eq!(server.seen()[0].field("last-event-id"), None);
}

#[test]
fn authorities_that_cannot_be_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ca.pem");
    assert!(authorities(Some(&path)).is_err());
    std::fs::write(&path, "no certificate").unwrap();
    assert!(authorities(Some(&path)).unwrap_err().to_string().contains("has no"));
    let key = rcgen::generate_simple_self_signed(["host.example".to_owned()]).unwrap();
    std::fs::write(&path, key.cert.pem()).unwrap();
    let of_the_web = authorities(None).unwrap().len();
    assert_eq!(authorities(Some(&path)).unwrap().len(), of_the_web + 1);
}
