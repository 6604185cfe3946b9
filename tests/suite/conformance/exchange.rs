//! A connection over which bytes go as they are, and what came of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jackfield_tests::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::case::{Case, Demand, Expected};

/// Behind a request that hides none: by whose answer it is seen that the connection was kept, and is read rightly.
const BEHIND: &str = "GET /echo/behind HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n\r\n";

/// The request that is hidden.
pub(super) const HIDDEN: &str = "GET /echo/behind HTTP/1.1\r\nhost: shop.example\r\n\r\n";

/// Its answer has this line, and no other has.
const MARK: &str = "path=/echo/behind\n";

/// A server that says nothing for so long waits for more.
pub(super) const QUIET: Duration = Duration::from_secs(3);

/// Connections at once.
const AT_ONCE: usize = 16;

/// What came of one connection.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    /// All answers but that of the request behind.
    pub(super) answers: Vec<Answer>,
    pub(super) goes_on: bool,
    /// Whether the server waited for more, and did not close.
    pub(super) waits: bool,
}

/// One answer, interim ones too.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// As it came, its body included.
    pub(super) text: String,
}

/// Sends all cases; what came of each, in their order.
pub(super) async fn run(address: SocketAddr, cases: &[Case]) -> Vec<Outcome> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (number, case) in cases.iter().cloned().enumerate() {
        let places = places.clone();
        running.spawn(async move {
            let _place = places.acquire().await.expect("it is never closed");
            (number, send(address, &case).await)
        });
    }
    let mut outcomes = running.join_all().await;
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

async fn send(address: SocketAddr, case: &Case) -> Outcome {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let mut bytes = case.sent.clone();
    let behind = if case.demand == Demand::NotFooled { HIDDEN } else { BEHIND };
    let hides = String::from_utf8_lossy(&bytes).contains("/behind");
    if !hides && !case.ends && case.later.is_empty() {
        bytes.extend(behind.as_bytes());
    }
    // A server may close before it was given everything.
    let _ = stream.write_all(&bytes).await;
    if case.ends {
        let _ = stream.shutdown().await;
    }
    let mut later = case.later.clone();
    let mut came = Vec::new();
    let waits = loop {
        let mut piece = vec![0; 64 << 10];
        match tokio::time::timeout(QUIET, stream.read(&mut piece)).await {
            Ok(Ok(read @ 1..)) => came.extend_from_slice(&piece[..read]),
            Ok(_) => break false,
            Err(_quiet) => break true,
        }
        if !later.is_empty() {
            later.extend(behind.as_bytes());
            let _ = stream.write_all(&std::mem::take(&mut later)).await;
        }
        assert!(came.len() < 1 << 20, "{}: there is no end of answers", case.what);
    };
    Outcome::of(&String::from_utf8_lossy(&came), waits)
}

impl Outcome {
    fn of(text: &str, waits: bool) -> Self {
        let mut answers = Answer::all(text);
        let before = answers.len();
        answers.retain(|answer| !answer.text.contains(MARK));
        Self { goes_on: answers.len() < before, answers, waits }
    }

    /// How this differs from what is expected of Jackfield.
    pub(super) fn difference(&self, expected: &Expected) -> Option<String> {
        let statuses: Vec<u16> = self.answers.iter().map(|answer| answer.status).collect();
        let says = expected.says.is_none_or(|says| self.says(says));
        let is_as_expected = statuses == expected.statuses
            && self.goes_on == expected.goes_on
            && !self.waits
            && expected.problem.is_none_or(|problem| self.problem() == Some(problem))
            && says;
        (!is_as_expected)
            .then(|| format!("expected {expected:?}\nbut it was: {}\n{:?}", self.told(), self.answers))
    }

    /// Whether it is what the clause demands.
    pub(super) fn meets(&self, case: &Case) -> bool {
        let first = self.answers.iter().find(|answer| answer.status >= 200).map(|answer| answer.status);
        let is_taken =
            first.is_some_and(|status| status < 400) && case.expected.says.is_none_or(|says| self.says(says));
        match case.demand {
            Demand::Take => is_taken && self.goes_on,
            Demand::TakeLast => is_taken && !self.goes_on && !self.waits,
            Demand::Refuse => first.is_none_or(|status| status >= 400) && !self.waits,
            Demand::Free => true,
            Demand::NotFooled => !self.goes_on,
        }
    }

    /// In a few words that are the same in each run.
    pub(super) fn told(&self) -> String {
        let mut told: Vec<String> = self.answers.iter().map(Answer::told).collect();
        if self.goes_on {
            told.push("goes on".into());
        } else if self.waits {
            told.push("waits".into());
        } else {
            told.push("closes".into());
        }
        told.join(", ")
    }

    fn problem(&self) -> Option<&str> {
        self.answers.last()?.problem()
    }

    fn says(&self, words: &str) -> bool {
        self.answers.iter().any(|answer| answer.text.contains(words))
    }
}

impl Answer {
    /// All the answers of a connection, each with its `content-length`.
    fn all(text: &str) -> Vec<Self> {
        let mut rest = text;
        let mut answers = Vec::new();
        // What is no HTTP/1 is frames of HTTP/2.
        while rest.starts_with("HTTP/1.") {
            let (head, after) = rest.split_once("\r\n\r\n").unwrap_or((rest, ""));
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            let status = status.unwrap_or_else(|| panic!("this is no answer: {rest:?}"));
            let length = head.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            // The answer to HEAD states a length, and has no body.
            let is_head = after.starts_with("HTTP/1.") || after.is_empty();
            let length = length.filter(|_| !is_head).unwrap_or(0_usize).min(after.len());
            let end = text.len() - after.len() + length;
            let begin = text.len() - rest.len();
            answers.push(Self { status, text: text[begin..end].to_owned() });
            rest = &text[end..];
        }
        answers
    }

    fn problem(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once("urn:jackfield:problem:")?;
        rest.split('"').next()
    }

    fn told(&self) -> String {
        match self.problem() {
            Some(problem) => format!("{} `{problem}`", self.status),
            None => self.status.to_string(),
        }
    }
}

/// The deadline of what must happen.
pub(super) async fn in_time<T>(what: &str, happens: impl Future<Output = T>) -> T {
    let happened = tokio::time::timeout(PATIENCE, happens).await;
    happened.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}
