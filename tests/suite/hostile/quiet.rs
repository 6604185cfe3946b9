//! The tenant beside it: one small plugin, called at a steady rate for as long as the others are attacked.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jackfield_tests::{Host, Site, raw};
use tokio::task::JoinHandle;

/// The quiet tenant, in a site file.
pub(super) fn site() -> Site {
    Site::default().tenant("quiet", ["quiet.example"]).plugin("hello", "guest_hello.wasm").route("/")
}

/// Between two of its calls.
const PERIOD: Duration = Duration::from_millis(20);

/// However soon it is enough.
const LEAST_CALLS: usize = 10;

/// Its caller, who calls until told that it is enough.
pub(super) struct Quiet {
    enough: Arc<AtomicBool>,
    calling: JoinHandle<Seen>,
}

/// What the caller met.
#[derive(Debug, Default)]
pub(super) struct Seen {
    latencies: Vec<Duration>,
    failures: Vec<String>,
}

impl Quiet {
    /// Begins to call.
    pub(super) fn begin(host: &Host) -> Self {
        let (address, enough) = (host.address(), Arc::new(AtomicBool::new(false)));
        let calling = tokio::spawn(call(address, enough.clone()));
        Self { enough, calling }
    }

    /// Ends it: what was met.
    pub(super) async fn end(self) -> Seen {
        self.enough.store(true, Ordering::Relaxed);
        self.calling.await.expect("every call of the quiet tenant is answered")
    }
}

/// Every answer has to be the plugin's own.
async fn call(address: SocketAddr, enough: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let mut next = tokio::time::interval(PERIOD);
    while !enough.load(Ordering::Relaxed) || seen.latencies.len() < LEAST_CALLS {
        next.tick().await;
        let began = Instant::now();
        let answer = raw(address, "GET / HTTP/1.1\r\nhost: quiet.example\r\nconnection: close\r\n\r\n").await;
        seen.latencies.push(began.elapsed());
        if !answer.starts_with("HTTP/1.1 200 ") || !answer.ends_with("\r\n\r\nhello from version-1\n") {
            seen.failures.push(answer);
        }
    }
    seen
}

impl Seen {
    /// Whether it was called, and every call answered as it should.
    pub(super) fn is_unharmed(&self) -> bool {
        self.latencies.len() >= LEAST_CALLS && self.failures.is_empty()
    }

    pub(super) fn told(&self) -> String {
        let mut sorted = self.latencies.clone();
        sorted.sort();
        let at = |percent: usize| sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default();
        format!(
            "the quiet tenant: {} calls, {} failures, median {:.1?}, 99 % {:.1?}\n{}",
            sorted.len(),
            self.failures.len(),
            at(50),
            at(99),
            self.failures.join("\n")
        )
    }
}
