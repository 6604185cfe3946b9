//! One row of the table over HTTP/2, and the conversation that comes of it.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::exchange::QUIET;
use super::frames::*;

/// The stream that a case is about, and that of the request behind it.
pub(super) const STREAM: u32 = 1;
pub(super) const BEHIND: u32 = 9001;

/// The fields of a GET.
pub(super) const GET: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "http"), (":authority", "shop.example"), (":path", "/echo")];

/// Connections at once.
const AT_ONCE: usize = 16;

/// A client's frames.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) clause: &'static str,
    pub(super) what: &'static str,
    sent: Vec<u8>,
    /// Sent when the stream has ended.
    later: Vec<u8>,
    /// Whether `sent` is all that there is, without a beginning.
    is_bare: bool,
    demand: Demand,
    pub(super) expected: Came,
    /// In the clause's words.
    demanded: Came,
    /// What the answer has.
    says: Option<&'static str>,
}

/// What the clause demands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Demand {
    /// An error of the connection.
    Connection,
    /// An error of the stream or of the connection, or a status that says so.
    Stream,
    /// An answer.
    Answer,
    /// That nothing comes of it.
    Nothing,
    /// None.
    Free,
}

/// What came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Came {
    /// The connection ended, with this code.
    Away(u32),
    /// It ended without a word.
    Closed,
    /// The stream ended so, and the connection lives.
    Ended(End),
    /// The connection lives, and nothing else came.
    Nothing,
    /// Nothing came, not even the answer to the request behind.
    Silence,
}

/// What came of one connection.
#[derive(Debug, Clone)]
pub(super) struct Outcome {
    came: Came,
    text: String,
}

impl Case {
    pub(super) fn new(
        clause: &'static str,
        what: &'static str,
        sent: impl AsRef<[u8]>,
        demand: Demand,
        expected: Came,
    ) -> Self {
        let (sent, later) = (sent.as_ref().to_vec(), Vec::new());
        Self { clause, what, sent, later, is_bare: false, demand, demanded: expected, expected, says: None }
    }

    /// An error of the connection, with this code.
    pub(super) fn connection(
        clause: &'static str,
        what: &'static str,
        sent: impl AsRef<[u8]>,
        code: u32,
    ) -> Self {
        Self::new(clause, what, sent, Demand::Connection, Came::Away(code))
    }

    /// An error of the stream, with this code.
    pub(super) fn reset(clause: &'static str, what: &'static str, sent: impl AsRef<[u8]>, code: u32) -> Self {
        Self::new(clause, what, sent, Demand::Stream, Came::Ended(End::Reset(code)))
    }

    /// Refused with this status.
    pub(super) fn refused(
        clause: &'static str,
        what: &'static str,
        sent: impl AsRef<[u8]>,
        status: u16,
    ) -> Self {
        Self::new(clause, what, sent, Demand::Stream, Came::Ended(End::Status(status)))
    }

    /// Answered, and what the plugin saw.
    pub(super) fn answered(
        clause: &'static str,
        what: &'static str,
        sent: impl AsRef<[u8]>,
        says: &'static str,
    ) -> Self {
        let case = Self::new(clause, what, sent, Demand::Answer, Came::Ended(End::Status(200)));
        Self { says: Some(says), ..case }
    }

    /// Nothing comes of it.
    pub(super) fn nothing(clause: &'static str, what: &'static str, sent: impl AsRef<[u8]>) -> Self {
        Self::new(clause, what, sent, Demand::Nothing, Came::Nothing)
    }

    pub(super) fn free(self) -> Self {
        Self { demand: Demand::Free, ..self }
    }

    /// It is the connection's error, and has the code for all that has no other. RFC 9113 §5.4.1 leaves the first open,
    /// and codes are for logs.
    pub(super) fn by_protocol_error(self) -> Self {
        self.comes(Came::Away(PROTOCOL_ERROR))
    }

    /// Another thing comes than the clause demands.
    pub(super) fn comes(self, expected: Came) -> Self {
        Self { expected, ..self }
    }

    pub(super) fn bare(self) -> Self {
        Self { is_bare: true, ..self }
    }

    pub(super) fn says(self, says: &'static str) -> Self {
        Self { says: Some(says), ..self }
    }

    /// What the clause demands.
    pub(super) fn must(&self) -> String {
        match self.demand {
            Demand::Stream if matches!(self.demanded, Came::Ended(End::Status(_))) => "refused".into(),
            Demand::Answer => "answered".into(),
            Demand::Free => "".into(),
            Demand::Connection | Demand::Stream | Demand::Nothing => self.demanded.told(),
        }
    }

    pub(super) fn then(self, later: impl AsRef<[u8]>) -> Self {
        Self { later: later.as_ref().to_vec(), ..self }
    }
}

impl Outcome {
    pub(super) fn difference(&self, case: &Case) -> Option<String> {
        let says = case.says.is_none_or(|says| self.text.contains(says));
        let is_as_expected = self.came == case.expected && says;
        (!is_as_expected).then(|| {
            format!(
                "expected {:?} and {:?}, but it was {:?} and\n{}",
                case.expected, case.says, self.came, self.text
            )
        })
    }

    pub(super) fn meets(&self, case: &Case) -> bool {
        let is_over = matches!(self.came, Came::Away(1..) | Came::Closed);
        match case.demand {
            Demand::Connection => is_over,
            Demand::Stream => is_over || matches!(self.came, Came::Ended(End::Reset(_) | End::Status(400..))),
            Demand::Answer => {
                matches!(self.came, Came::Ended(End::Status(..400)))
                    && case.says.is_none_or(|says| self.text.contains(says))
            }
            Demand::Nothing => {
                matches!(self.came, Came::Nothing) && case.says.is_none_or(|says| self.text.contains(says))
            }
            Demand::Free => true,
        }
    }

    pub(super) fn told(&self) -> String {
        self.came.told()
    }
}

impl Came {
    fn told(self) -> String {
        match self {
            Self::Away(code) => format!("connection: {}", name(code)),
            Self::Closed => "closes".into(),
            Self::Ended(End::Status(status)) => status.to_string(),
            Self::Ended(End::Reset(code)) => format!("stream: {}", name(code)),
            Self::Nothing => "goes on".into(),
            Self::Silence => "waits".into(),
        }
    }
}

/// Sends a case. One in which the clause leaves open what comes is sent anew if something else came than is usual: whether
/// a server answers before it sees what stands behind is for the machine to say.
async fn send_until_expected(address: SocketAddr, case: &Case) -> Outcome {
    const MOST: usize = 5;
    let mut outcome = send(address, case).await;
    for _ in 1..MOST {
        if case.demand != Demand::Free || outcome.difference(case).is_none() {
            break;
        }
        outcome = send(address, case).await;
    }
    outcome
}

/// Sends all cases; what came of each, in their order.
pub(super) async fn run(address: SocketAddr, cases: &[Case]) -> Vec<Outcome> {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for (number, case) in cases.iter().cloned().enumerate() {
        let places = places.clone();
        running.spawn(async move {
            let _place = places.acquire().await.expect("it is never closed");
            (number, send_until_expected(address, &case).await)
        });
    }
    let mut outcomes = running.join_all().await;
    outcomes.sort_by_key(|(number, _)| *number);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

async fn send(address: SocketAddr, case: &Case) -> Outcome {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let behind = frame(HEADERS, END_STREAM | END_HEADERS, BEHIND, block(&GET));
    let mut bytes = if case.is_bare { Vec::new() } else { hello() };
    bytes.extend(&case.sent);
    let mut later = case.later.clone();
    if later.is_empty() {
        bytes.extend(&behind);
    }
    // A server may close before it was given everything.
    let _ = stream.write_all(&bytes).await;
    let awaits_the_stream = !matches!(case.demand, Demand::Connection | Demand::Nothing);
    let mut said = Said::default();
    let is_over = loop {
        let mut piece = vec![0; 64 << 10];
        match tokio::time::timeout(QUIET, stream.read(&mut piece)).await {
            Ok(Ok(read @ 1..)) => said.read(&piece[..read]),
            Ok(_) => break true,
            Err(_quiet) => break false,
        }
        let has_ended = said.ends.contains_key(&STREAM);
        if has_ended && !later.is_empty() {
            let _ = stream.write_all(&[std::mem::take(&mut later), behind.clone()].concat()).await;
        }
        if said.ends.contains_key(&BEHIND) && (has_ended || !awaits_the_stream) && said.away.is_none() {
            break false;
        }
    };
    let came = match (said.away, said.ends.get(&STREAM), said.ends.contains_key(&BEHIND)) {
        (Some(code @ 1..), _, _) => Came::Away(code),
        (_, _, false) if is_over => Came::Closed,
        (_, Some(end), _) if awaits_the_stream => Came::Ended(*end),
        (_, _, true) => Came::Nothing,
        (_, _, false) => Came::Silence,
    };
    Outcome { came, text: said.text }
}
