//! Languages: every example goes the same tour, by itself and behind a filter, under the default limits; and so do
//! components as the users of others' frameworks write them (tests/strangers).
//!
//! Small components are kept in tests/components. The others are there once `cargo xtask examples` has built them; the
//! tour of one that is not there is skipped, which is said.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use jackfield_tests::{Answer, Host, Options, Site};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Mutex, Notify};
use tokio::task::JoinHandle;

use crate::streaming::client::{Arriving, BOTH, Caller, Version};

/// Compiling an interpreter takes all cores for seconds: the languages take turns, and leave some to other tests.
static TURN: Mutex<()> = Mutex::const_new(());

/// What not every language can.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ability {
    /// Bodies as streams, in both directions.
    Stream,
    /// Fields after the body.
    Trailers,
    /// Requests to other servers.
    Ask,
    /// To tell why another server could not be asked.
    TellWhy,
    /// To say which methods a path has, to whom asks by another.
    Allow,
    /// HEAD, where a path has GET.
    Head,
}

use Ability::{Allow, Ask, Head, Stream, TellWhy, Trailers};

/// The example of one language.
struct Example {
    name: &'static str,
    hello: &'static str,
    can: &'static [Ability],
}

impl Example {
    /// The component, or none, which is said.
    fn component(&self) -> Option<PathBuf> {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
        let file = format!("{}.wasm", self.name);
        let places = [tests.join("components").join(&file), tests.join("../target/examples").join(&file)];
        let found = places.into_iter().find(|place| place.exists());
        if found.is_none() {
            let name = self.name;
            let line =
                format!("SKIPPED languages: the tour in {name}: `cargo xtask examples {name}` builds it\n");
            // Not by a macro, whose text is kept for tests that fail.
            let _ = std::io::stderr().write_all(line.as_bytes());
        }
        found
    }

    fn can(&self, ability: Ability) -> bool {
        self.can.contains(&ability)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_rust_goes_the_whole_tour() {
    let can = &[Allow, Stream, Trailers, Ask, TellWhy];
    tour(Example { name: "rust-wstd", hello: "Hello from Rust!\n", can }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_c_goes_the_whole_tour() {
    let can = &[Allow, Stream, Trailers, Ask, TellWhy];
    tour(Example { name: "c", hello: "Hello from C!\n", can }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_go_goes_the_whole_tour() {
    let can = &[Allow, Stream, Trailers, Ask, TellWhy];
    tour(Example { name: "go", hello: "Hello from Go!\n", can }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_python_goes_the_whole_tour() {
    let can = &[Allow, Stream, Trailers, Ask, TellWhy];
    tour(Example { name: "python", hello: "Hello from Python!\n", can }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_in_javascript_goes_the_tour_without_trailers_and_errors_names() {
    let can = &[Allow, Stream, Ask];
    tour(Example { name: "js", hello: "Hello from JavaScript!\n", can }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lean_plugin_in_javascript_goes_the_tour_of_what_is_whole() {
    tour(Example { name: "js-lean", hello: "Hello from JavaScript!\n", can: &[Allow] }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_of_axum_by_wstd_goes_the_tour() {
    let can = &[Allow, Head, Stream];
    tour(Example { name: "wstd-axum", hello: "Hello from axum!\n", can }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_hono_goes_the_tour() {
    tour(Example { name: "hono", hello: "Hello from Hono!\n", can: &[Head, Stream] }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_spins_sdk_goes_the_tour_of_what_is_whole() {
    tour(Example { name: "spin", hello: "Hello from Spin!\n", can: &[Head] }).await;
}

/// Which plugin a request is for: one that may ask others, alone or behind a filter, or one that was granted nothing.
const WAY: &str = "x-way";
const PLAIN: &[(&str, &str)] = &[(WAY, "plain"), ("te", "trailers"), ("content-type", "text/x-mine")];
const FILTERED: &[(&str, &str)] = &[(WAY, "filtered"), ("te", "trailers"), ("content-type", "text/x-mine")];
const UNGRANTED: &[(&str, &str)] = &[(WAY, "ungranted")];

type Headers = &'static [(&'static str, &'static str)];

fn site(component: &Path, origins: &[String]) -> Site {
    let component = component.display();
    let grants = format!("http = {origins:?}");
    let plugins = Site::shop()
        .with(format!("quota.grants = {{ {grants} }}"))
        .plugin("tag", "guest_filters.wasm")
        .config("name = 'tag', mode = 'tag'")
        .plugin("ungranted", &component)
        .plugin("tour", &component)
        .grants(grants);
    let routes = [
        ("tour", ""),
        ("tour", "headers = { x-way = 'filtered' }\nfilters = ['tag']"),
        ("ungranted", "headers = { x-way = 'ungranted' }"),
    ];
    routes.into_iter().fold(plugins, |site, (plugin, more)| {
        site.route_to(plugin, "/").with(more).route_to(plugin, "/{*rest}").with(more)
    })
}

async fn tour(example: Example) {
    let Some(component) = example.component() else { return };
    let _turn = TURN.lock().await;
    let upstream = Upstream::start().await;
    // Bound, so that nobody else gets the port, and deaf.
    let deaf = TcpSocket::new_v4().unwrap();
    deaf.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}", deaf.local_addr().unwrap());
    let options = Options { host: "[host.outbound]\nallow = [\"127.0.0.0/8\"]".into(), ..Options::default() };
    let host = Host::start_with(&site(&component, &[upstream.origin(), nobody.clone()]), options).await;

    for way in [PLAIN, FILTERED] {
        whole_answers(&host, way, example.hello).await;
        what_is_not_there(&host, way, &example).await;
        for version in BOTH {
            if example.can(Stream) {
                events(&host, way, version).await;
                echo(&host, way, version).await;
            }
            if example.can(Trailers) {
                trailers(&host, way, version).await;
            }
        }
        if example.can(Head) {
            head(&host, way, example.hello).await;
        }
    }
    if example.can(Ask) {
        let refused = if example.can(TellWhy) { "refused" } else { "" };
        let denied = if example.can(TellWhy) { "denied" } else { "" };
        fetch(&host, &upstream).await;
        fetch_fails(&host, PLAIN, &nobody, refused).await;
        fetch_fails(&host, UNGRANTED, &upstream.origin(), denied).await;
        assert_eq!(upstream.asked(), 1, "without a grant nobody is asked");
    }
    only_good_ends(&host).await;
}

async fn ask(host: &Host, method: &str, path: &str, way: Headers, body: &'static str) -> Answer {
    let mut request = host.request(method, path).body(body);
    for (name, value) in way {
        request = request.header(name, value);
    }
    let answer = request.send().await;
    let filtered = (way == FILTERED).then_some("tag");
    assert_eq!((answer.header("x-chain"), answer.header("x-next")), (filtered, filtered), "{answer}");
    answer
}

async fn get(host: &Host, path: &str, way: Headers, version: Version) -> Arriving {
    Caller::connect(host, version).await.send("GET", path, way, Full::<Bytes>::default()).await
}

fn is_filtered(answer: &Arriving, way: Headers) -> bool {
    (answer.header("x-chain") == Some("tag")) == (way == FILTERED)
}

async fn whole_answers(host: &Host, way: Headers, hello: &str) {
    let answer = ask(host, "GET", "/", way, "").await;
    assert_eq!(answer.expect(200).text(), hello, "{answer}");
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{answer}");
    // Its route takes every method, so HEAD is its own to answer; whatever it says of that, its call is to end well.
    let head = ask(host, "HEAD", "/", way, "").await;
    assert!(head.status.as_u16() < 500 && head.text().is_empty(), "{head}");

    let is_json = |answer: &Answer| {
        answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json"))
    };
    for (body, greeting) in [
        (r#"{"name": "Ada"}"#, "Hello, Ada!"),
        (r#"{"first": 1, "name": "Zoë", "more": [null, {"name": 2}]}"#, "Hello, Zoë!"),
        (r#"{"name": "a \"quoted\" \\ name"}"#, "Hello, a \"quoted\" \\ name!"),
    ] {
        let answer = ask(host, "POST", "/json", way, body).await;
        assert_eq!(answer.expect(200).json(), json!({ "greeting": greeting }), "{answer}");
        assert!(is_json(&answer), "{answer}");
    }
    for body in ["", "{", "no JSON", r#"{"name": "Ada""#, r#"{"name": 5}"#, r#"{"nom": "Ada"}"#, "null"] {
        let answer = ask(host, "POST", "/json", way, body).await;
        assert!(answer.expect(400).json()["error"].as_str().is_some_and(|why| !why.is_empty()), "{answer}");
        assert!(is_json(&answer), "{answer}");
    }
}

async fn what_is_not_there(host: &Host, way: Headers, example: &Example) {
    for (method, path) in [("GET", "/nowhere"), ("POST", "/nowhere"), ("GET", "/json/"), ("DELETE", "/a/b")] {
        let answer = ask(host, method, path, way, "").await;
        assert_eq!(answer.expect(404).text(), "not found\n", "{answer}");
    }
    let gets = if example.can(Head) { "GET,HEAD" } else { "GET" };
    for (method, path, allowed) in [("POST", "/", gets), ("PUT", "/json", "POST"), ("GET", "/json", "POST")] {
        let answer = ask(host, method, path, way, "").await;
        if example.can(Allow) {
            assert_eq!(answer.expect(405).header("allow"), Some(allowed), "{answer}");
        } else {
            assert_eq!(answer.expect(404).text(), "not found\n", "{answer}");
        }
    }
}

/// What GET answers, without its body; often, for a guest that states a length and writes nothing may race the host.
async fn head(host: &Host, way: Headers, hello: &str) {
    let length = hello.len().to_string();
    for _ in 0..20 {
        let answer = ask(host, "HEAD", "/", way, "").await;
        assert_eq!(answer.expect(200).text(), "", "{answer}");
        assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{answer}");
        assert!(answer.header("content-length").is_none_or(|stated| stated == length), "{answer}");
    }
}

/// Five events, each as soon as it is made. On a busy machine two of them may be taken at once, now and then.
async fn events(host: &Host, way: Headers, version: Version) {
    let mut takes = Vec::new();
    for _ in 0..10 {
        let mut answer = get(host, "/stream", way, version).await;
        assert_eq!((answer.status(), is_filtered(&answer, way)), (200, true));
        assert_eq!(answer.header("content-type"), Some("text/event-stream"));
        let mut pieces = Vec::new();
        while let Some(piece) = answer.piece().await {
            pieces.push(String::from_utf8(piece.expect("the stream is whole").to_vec()).unwrap());
        }
        // HTTP/2 may end a stream with a piece of nothing.
        pieces.retain(|piece| !piece.is_empty());
        let events: Vec<_> = (1..=5).map(|event| format!("data: {event}\n\n")).collect();
        assert_eq!(pieces.concat(), events.concat());
        if pieces == events {
            return;
        }
        takes.push(pieces);
    }
    panic!("the events do not come one by one: {takes:?}");
}

/// As much as `request-body` permits comes back, and what has been sent is back before the rest is.
async fn echo(host: &Host, way: Headers, version: Version) {
    const BYTES: usize = 1 << 20;
    let (pieces, answer) = Caller::connect(host, version).await.post_with("/echo", way);
    assert!(pieces.send("a first piece\n").await);
    let mut answer = answer.await;
    assert_eq!((answer.status(), is_filtered(&answer, way)), (200, true));
    assert_eq!(answer.header("content-type"), Some("text/x-mine"));
    let mut sent = answer.until("a first piece\n").await.into_bytes();
    let rest: Vec<u8> = (sent.len()..BYTES).map(|n| (n % 251) as u8).collect();
    sent.extend(&rest);
    let send = async {
        for piece in rest.chunks(50_000) {
            assert!(pieces.send(Bytes::copy_from_slice(piece)).await, "the body is taken to its end");
        }
        drop(pieces);
    };
    let ((), back) = tokio::join!(send, answer.whole());
    let back = back.expect("the echo is whole");
    assert!(back == sent, "{} bytes of {BYTES} came back, or others", back.len());
}

async fn trailers(host: &Host, way: Headers, version: Version) {
    let mut answer = get(host, "/trailers", way, version).await;
    assert_eq!((answer.status(), is_filtered(&answer, way)), (200, true));
    assert!(answer.header("trailer").is_some_and(|names| names.eq_ignore_ascii_case("x-sum")));
    assert_eq!(answer.text().await, "trailing\n");
    let trailers = answer.trailers.expect("there are trailers");
    assert_eq!(trailers.get("x-sum").and_then(|sum| sum.to_str().ok()), Some("42"), "{version:?}");
}

/// What a server answers is passed on while it answers.
async fn fetch(host: &Host, upstream: &Upstream) {
    let mut answer =
        get(host, &format!("/fetch?url={}/a?b=c", upstream.origin()), PLAIN, Version::Http1).await;
    assert_eq!((answer.status(), answer.header("content-type")), (203, Some("text/x-upstream")));
    assert_eq!(answer.until("GET /a?b=c HTTP/1.1\n").await, "GET /a?b=c HTTP/1.1\n");
    upstream.go_on.notify_one();
    assert_eq!(answer.text().await, "GET /a?b=c HTTP/1.1\nand the end\n");
}

async fn fetch_fails(host: &Host, way: Headers, origin: &str, why: &str) {
    let answer = ask(host, "GET", &format!("/fetch?url={origin}/"), way, "").await;
    let told = answer.expect(502).text().to_lowercase();
    assert!(told.contains(why) && !told.trim().is_empty(), "no `{why}` in {answer}");
    assert!(answer.header("content-type").is_some_and(|kind| kind.starts_with("text/plain")), "{answer}");
}

/// Whatever was asked of it: no call was ended by the host, and no answer was the host's own.
async fn only_good_ends(host: &Host) {
    host.wait_until("nothing is in flight", async || host.metric("jackfield_requests_in_flight") == 0.0)
        .await;
    let metrics = host.metrics();
    let of_calls = metrics.lines().filter(|line| line.starts_with("jackfield_calls_total{"));
    let (good, bad): (Vec<_>, Vec<_>) = of_calls.partition(|line| line.contains("outcome=\"ok\""));
    assert!(good.iter().any(|line| line.contains("plugin=\"tour\"") && !line.ends_with(" 0")), "{good:#?}");
    let bad: Vec<_> = bad.into_iter().filter(|line| !line.ends_with(" 0")).collect();
    let failed: Vec<Value> =
        host.log().into_iter().filter(|line| line["message"] == "request failed").collect();
    assert!(bad.is_empty() && failed.is_empty(), "{bad:#?}\n{failed:#?}");
}

/// A server that answers with the request's first line, and waits to be told before it ends the answer.
struct Upstream {
    address: SocketAddr,
    go_on: Arc<Notify>,
    connections: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Upstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the loopback has a free port");
        let address = listener.local_addr().unwrap();
        let (go_on, connections) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (told, counted) = (go_on.clone(), connections.clone());
        let running = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                // A plugin that hangs up early is seen by what its caller gets.
                let _ = answer(stream, &told).await;
            }
        });
        Self { address, go_on, connections, running }
    }

    fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// How many connections were made.
    fn asked(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn answer(mut stream: TcpStream, go_on: &Notify) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
    let end = "and the end\n";
    let length = line.len() + 1 + end.len();
    let head = "HTTP/1.1 203 So I Heard\r\ncontent-type: text/x-upstream\r\nconnection: close";
    stream.write_all(format!("{head}\r\ncontent-length: {length}\r\n\r\n{line}\n").as_bytes()).await?;
    go_on.notified().await;
    stream.write_all(end.as_bytes()).await?;
    stream.shutdown().await
}
