//! One tenant's plugins go wrong in every way at once, without pause; the bookshop beside them goes on serving.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jackfield_tests::{Host, Site};

/// At most so many requests of each caller, and no more after this time.
const MOST_REQUESTS: usize = 150;
const MOST_TIME: Duration = Duration::from_secs(6);

/// Two misbehaving tenants' worth of paths; the guests' limits are small, so that each fails often.
fn site() -> Site {
    let shop = Site::default()
        .tenant("shop", ["shop.example"])
        .plugin("books", "bookstore.wasm")
        .grants("keyvalue = true")
        .limits("cpu = '500ms'")
        .config("'token.alice' = 'editor:cd379a6967dd5b2a8fbbc9f828158af1e80e2877a2e1a454e5e7b31aa8c0d322'")
        .route("/api/books")
        .route("/api/books/{id}");
    let misbehaving = |tenant: Site| {
        MISBEHAVIOURS.iter().fold(tenant, |site, (plugin, path, _, _)| {
            site.plugin(plugin, "guest_misbehave.wasm")
                .limits("cpu = '20ms', wall = '10s', memory = '16MiB', concurrency = 8")
                .route(path)
        })
    };
    misbehaving(misbehaving(shop).tenant("mean", ["mean.example"]))
}

/// Plugin, path, and the status and problem that its callers are promised.
const MISBEHAVIOURS: [(&str, &str, u16, &str); 4] = [
    ("looping", "/loop", 504, "cpu"),
    ("trapping", "/trap", 500, "plugin-failed"),
    ("hungry", "/memory", 500, "plugin-failed"),
    ("lying", "/status", 502, "plugin-answer"),
];

/// What came of one caller's requests.
#[derive(Default)]
struct Seen {
    statuses: BTreeMap<String, usize>,
    latencies: Vec<Duration>,
}

impl Seen {
    fn note(&mut self, status: u16, problem: Option<&str>, began: Instant) {
        let status = problem.map_or(status.to_string(), |problem| format!("{status} {problem}"));
        *self.statuses.entry(status).or_default() += 1;
        self.latencies.push(began.elapsed());
    }

    fn row(&mut self, who: &str) -> String {
        self.latencies.sort();
        let at = |percent: usize| self.latencies.get(self.latencies.len() * percent / 100);
        let at = |percent| at(percent).copied().unwrap_or_default();
        format!("{who:<24} {:>9.1?} {:>9.1?}  {:?}", at(50), at(99), self.statuses)
    }
}

/// Asks one misbehaving plugin without pause.
async fn misuse(host: &Host, tenant: &str, (_, path, status, problem): (&str, &str, u16, &str)) -> Seen {
    let began = Instant::now();
    let mut seen = Seen::default();
    let path = if path == "/status" { "/status?code=99" } else { path };
    while seen.latencies.len() < MOST_REQUESTS && began.elapsed() < MOST_TIME {
        let asked = Instant::now();
        let answer = host.request("GET", path).header("host", format!("{tenant}.example")).send().await;
        answer.expect_problem(status, problem);
        seen.note(status, Some(problem), asked);
    }
    seen
}

/// Asks all of one tenant's misbehaving plugins at once.
async fn misuse_all(host: &Host, tenant: &str) -> [(String, Seen); 4] {
    let [looping, trapping, hungry, lying] = MISBEHAVIOURS
        .map(async |behaviour| (format!("{tenant}/{}", behaviour.0), misuse(host, tenant, behaviour).await));
    tokio::join!(looping, trapping, hungry, lying).into()
}

/// Buys books: lists them, writes one, reads it again.
async fn shop(host: &Host, caller: usize) -> Seen {
    let began = Instant::now();
    let mut seen = Seen::default();
    let ask = |method, path: &str| host.request(method, path).header("host", "shop.example");
    while seen.latencies.len() < MOST_REQUESTS && began.elapsed() < MOST_TIME {
        let number = 1000 + caller * 1000 + seen.latencies.len();
        let asked = Instant::now();
        let made = ask("POST", "/api/books").header("authorization", "Bearer editor-demo-token");
        let made = made.json(&book(number)).send().await;
        made.expect(201);
        seen.note(201, None, asked);
        let location = made.header("location").unwrap().to_owned();
        for path in [location.as_str(), "/api/books?limit=5"] {
            let asked = Instant::now();
            ask("GET", path).send().await.expect(200);
            seen.note(200, None, asked);
        }
    }
    seen
}

/// A book with an ISBN of its own: a 13-digit one from the number, with the check digit that it needs.
fn book(number: usize) -> serde_json::Value {
    let digits = format!("978{number:09}");
    let sum: u32 = digits.bytes().zip([1, 3].into_iter().cycle()).map(|(d, w)| u32::from(d - b'0') * w).sum();
    let isbn = format!("{digits}{}", (10 - sum % 10) % 10);
    serde_json::json!({ "isbn": isbn, "title": "A book", "author": "Somebody", "price_cents": 1999 })
}

#[tokio::test(flavor = "multi_thread")]
async fn looping_trapping_hungry_and_lying_plugins_are_stopped_and_the_bookshop_answers_every_caller() {
    let host = Host::start(&site()).await;
    let mut rows = vec![format!("{:<24} {:>9} {:>9}  answers", "caller", "median", "99 %")];

    let mut alone = Seen::default();
    for _ in 0..20 {
        let asked = Instant::now();
        host.request("GET", "/api/books").header("host", "shop.example").send().await.expect(200);
        alone.note(200, None, asked);
    }
    let (beside, mean, same) =
        tokio::join!(shop(&host, 0), misuse_all(&host, "mean"), misuse_all(&host, "shop"));
    rows.push(alone.row("bookshop, alone"));
    for (who, mut seen) in [("bookshop, beside them".to_owned(), beside)].into_iter().chain(mean).chain(same)
    {
        assert!(!seen.latencies.is_empty(), "{who}");
        rows.push(seen.row(&who));
    }
    println!("{}", rows.join("\n"));

    let idle = async || host.metric("jackfield_requests_in_flight") == 0.0;
    host.wait_until("nothing is left of them", idle).await;
    let left: Vec<_> =
        host.metrics().lines().filter(|line| line.contains("calls_in_flight{")).map(str::to_owned).collect();
    assert!(left.len() >= 9 && left.iter().all(|line| line.ends_with(" 0")), "{left:#?}");
}
