//! Works: what every server is asked, and what a right answer is.

use anyhow::{Result, ensure};
use clap::ValueEnum;
use guest_support::Catalogue;

use super::super::bare_hyper::{BOOK, BOOK_PATH, DOWNLOAD_BYTES, Protocol};
use super::super::transfer::{self, PATTERN_PERIOD};

/// The answer of `guest-hello`, which all others give too.
pub(super) const HELLO: &str = "hello from version-1\n";

/// Downloads under way at once: more would only wait for each other.
const DOWNLOADS: u16 = 4;

/// Requests under way at once on a connection of HTTP/2.
const STREAMS: u16 = 8;

/// One kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Work {
    /// GET /, 21 bytes; plugins without a standard library
    Hello,
    /// The same; plugins with a standard library
    HelloStd,
    /// The same as hello, with 3 request header fields
    #[value(name = "headers-3")]
    Headers3,
    /// The same as hello, with 12 request header fields
    #[value(name = "headers-12")]
    Headers12,
    /// GET /json, 1 KiB made anew for each request
    Json,
    /// POST /echo, 1 KiB there and back
    #[value(name = "echo-1k")]
    Echo1K,
    /// POST /echo, 64 KiB there and back
    #[value(name = "echo-64k")]
    Echo64K,
    /// A book of the bookstore, behind the rate limit
    Bookstore,
    /// GET /download, 64 MiB
    Download,
    /// The same as hello, over HTTP/2
    #[value(name = "http2")]
    Http2,
    /// The same as hello, over TLS 1.3
    Tls,
}

/// How many requests are under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Concurrency {
    pub(super) connections: u16,
    /// On each connection.
    pub(super) streams: u16,
}

/// A request, as it is sent again and again, and its right answer.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    /// Without `host` or `:authority`, which the load adds.
    pub(super) fields: Vec<(&'static str, &'static str)>,
    pub(super) body: Vec<u8>,
    pub(super) expected: Expected,
}

/// The body of a right answer; its status is 200.
#[derive(Debug)]
pub(super) enum Expected {
    Bytes(Vec<u8>),
    /// So many bytes of the pattern, of which `period` holds enough for any piece.
    Pattern {
        length: u64,
        period: Vec<u8>,
    },
}

/// A piece of an answer's body is at most so long.
pub(super) const MAX_PIECE_BYTES: usize = 256 << 10;

/// The fields of curl, which with `host` are 3.
const FIELDS_OF_CURL: [(&str, &str); 2] = [("user-agent", "curl/8.14.1"), ("accept", "*/*")];

/// The fields of a browser, which with `host` are 12.
const FIELDS_OF_A_BROWSER: [(&str, &str); 11] = [
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    ("accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("accept-language", "en-GB,en;q=0.5"),
    ("accept-encoding", "gzip, deflate, br, zstd"),
    ("dnt", "1"),
    ("cookie", "session=0123456789abcdef0123456789abcdef; theme=dark"),
    ("upgrade-insecure-requests", "1"),
    ("sec-fetch-dest", "document"),
    ("sec-fetch-mode", "navigate"),
    ("sec-fetch-site", "none"),
    ("priority", "u=0, i"),
];

impl Work {
    /// The name on the command line.
    pub(super) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The heading over its figures.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Hello => "hello: `GET /`, 21 bytes; plugins without a standard library",
            Self::HelloStd => "hello-std: the same; plugins with a standard library",
            Self::Headers3 => "headers-3: hello with 3 request header fields",
            Self::Headers12 => "headers-12: hello with 12 request header fields",
            Self::Json => "json: `GET /json`, 1 KiB made anew for each request",
            Self::Echo1K => "echo-1k: `POST /echo`, 1 KiB there and back",
            Self::Echo64K => "echo-64k: `POST /echo`, 64 KiB there and back",
            Self::Bookstore => "bookstore: `GET` of one book, behind the rate limit",
            Self::Download => "download: `GET /download`, 64 MiB",
            Self::Http2 => "http2: hello over HTTP/2 without TLS",
            Self::Tls => "tls: hello over TLS 1.3, connections kept",
        }
    }

    pub(super) fn protocol(self) -> Protocol {
        match self {
            Self::Http2 => Protocol::Http2,
            Self::Tls => Protocol::Tls,
            _ => Protocol::Http1,
        }
    }

    /// Of `connections` on the command line, which is the number of requests under way.
    pub(super) fn concurrency(self, connections: u16) -> Concurrency {
        match self {
            Self::Http2 => Concurrency { connections: connections.div_ceil(STREAMS), streams: STREAMS },
            Self::Download => Concurrency { connections: connections.min(DOWNLOADS), streams: 1 },
            _ => Concurrency { connections, streams: 1 },
        }
    }

    pub(super) fn ask(self) -> Ask {
        let (method, path, fields, body, expected) = match self {
            Self::Hello | Self::HelloStd | Self::Http2 | Self::Tls => ("GET", "/", vec![], vec![], hello()),
            Self::Headers3 => ("GET", "/", FIELDS_OF_CURL.to_vec(), vec![], hello()),
            Self::Headers12 => ("GET", "/", FIELDS_OF_A_BROWSER.to_vec(), vec![], hello()),
            Self::Json => ("GET", "/json", vec![], vec![], Expected::Bytes(json())),
            Self::Echo1K => echo(1 << 10),
            Self::Echo64K => echo(64 << 10),
            Self::Bookstore => ("GET", BOOK_PATH, vec![], vec![], Expected::Bytes(BOOK.into())),
            Self::Download => ("GET", "/download", vec![], vec![], Expected::pattern(DOWNLOAD_BYTES)),
        };
        Ask { method, path, fields, body, expected }
    }
}

fn hello() -> Expected {
    Expected::Bytes(HELLO.into())
}

/// The document that `/json` gives.
pub(super) fn json() -> Vec<u8> {
    serde_json::to_vec(&Catalogue::new()).expect("the catalogue is JSON")
}

type Parts = (&'static str, &'static str, Vec<(&'static str, &'static str)>, Vec<u8>, Expected);

fn echo(bytes: usize) -> Parts {
    let body = transfer::pattern(bytes);
    ("POST", "/echo", vec![("content-type", "application/octet-stream")], body.clone(), Expected::Bytes(body))
}

impl Expected {
    pub(super) fn pattern(length: u64) -> Self {
        Self::Pattern { length, period: transfer::pattern(MAX_PIECE_BYTES + PATTERN_PERIOD) }
    }

    /// Whether `piece`, of at most [`MAX_PIECE_BYTES`], is right where the body had so many `bytes` already.
    pub(super) fn check(&self, bytes: u64, piece: &[u8]) -> Result<()> {
        let right = match self {
            Self::Bytes(body) => {
                let rest = usize::try_from(bytes).ok().and_then(|bytes| body.get(bytes..));
                rest.is_some_and(|rest| rest.starts_with(piece))
            }
            Self::Pattern { length, period } => {
                let offset = (bytes % PATTERN_PERIOD as u64) as usize;
                bytes + piece.len() as u64 <= *length && period[offset..].starts_with(piece)
            }
        };
        let shown = &piece[..piece.len().min(200)];
        ensure!(right, "answered wrongly after {bytes} bytes: {:?}", String::from_utf8_lossy(shown));
        Ok(())
    }

    /// Whether a body may end after so many `bytes`.
    pub(super) fn check_end(&self, bytes: u64) -> Result<()> {
        let length = match self {
            Self::Bytes(body) => body.len() as u64,
            Self::Pattern { length, .. } => *length,
        };
        ensure!(bytes == length, "answered with {bytes} bytes instead of {length}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::{Concurrency, Expected, PATTERN_PERIOD, Work};

    #[test]
    fn a_wrong_byte_is_found_wherever_it_is() {
        let text = Expected::Bytes(b"hello".to_vec());
        let pattern = Expected::pattern(1000);
        let of_pattern = |from: usize, to: usize| -> Vec<u8> {
            (from..to).map(|byte| (byte % PATTERN_PERIOD) as u8).collect()
        };
        for (expected, bytes, piece, right) in [
            (&text, 0, b"hello".to_vec(), true),
            (&text, 3, b"lo".to_vec(), true),
            (&text, 3, b"lo!".to_vec(), false),
            (&text, 2, b"lo".to_vec(), false),
            (&text, 9, Vec::new(), false),
            (&pattern, 0, of_pattern(0, 1000), true),
            (&pattern, 700, of_pattern(700, 1000), true),
            (&pattern, 700, of_pattern(701, 1000), false),
            (&pattern, 700, of_pattern(700, 1001), false),
        ] {
            assert_eq!(expected.check(bytes, &piece).is_ok(), right, "{bytes} {piece:?}");
        }
        assert!(text.check_end(5).is_ok() && text.check_end(4).is_err());
        assert!(pattern.check_end(1000).is_ok() && pattern.check_end(999).is_err());
    }

    #[test]
    fn works_ask_with_as_many_fields_as_their_names_say() {
        for (work, fields) in [(Work::Hello, 1), (Work::Headers3, 3), (Work::Headers12, 12)] {
            assert_eq!(work.ask().fields.len() + 1, fields, "{}", work.name());
        }
    }

    #[test]
    fn a_heading_begins_with_the_name_that_asks_for_it() {
        for work in Work::value_variants() {
            assert!(work.title().starts_with(&format!("{}: ", work.name())), "{}", work.title());
        }
    }

    #[test]
    fn as_many_requests_are_under_way_over_http2() {
        assert_eq!(Work::Http2.concurrency(32), Concurrency { connections: 4, streams: 8 });
        assert_eq!(Work::Hello.concurrency(32), Concurrency { connections: 32, streams: 1 });
    }
}
