//! What one caller sees of an answer: its status, how much of a body came, and whether a client takes it for whole.
//!
//! By the bytes on the connection, for a library would make one error of them all.

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// As much of an answer is kept; of what goes on longer, no end is waited for.
const MOST_BYTES: usize = 8 << 20;

/// What came.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// The status, if there was one.
    pub(super) status: Option<u16>,
    /// The last part of the type of a problem document.
    pub(super) problem: Option<String>,
    /// Bytes of the body.
    pub(super) body_bytes: usize,
    pub(super) end: End,
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All was there that its framing promised.
    Whole,
    /// The connection ended before that.
    Broken,
    /// It was still open when nobody waited any longer.
    Open,
}

impl Seen {
    /// Asks for `path` and looks at what comes within `patience`.
    pub(super) fn of(address: SocketAddr, path: &str, patience: Duration) -> Result<Self> {
        let mut stream = TcpStream::connect(address).context("cannot connect")?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).context("cannot send a request")?;
        let began = Instant::now();
        let mut bytes = Vec::new();
        let mut piece = vec![0; 64 << 10];
        let is_open = loop {
            let left = patience.saturating_sub(began.elapsed());
            if left.is_zero() || bytes.len() >= MOST_BYTES {
                break true;
            }
            stream.set_read_timeout(Some(left)).context("cannot set a timeout")?;
            match stream.read(&mut piece) {
                Ok(0) => break false,
                Ok(read) => bytes.extend_from_slice(&piece[..read]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    break true;
                }
                Err(_reset) => break false,
            }
        };
        Ok(Self::read(&bytes, is_open))
    }

    fn read(bytes: &[u8], is_open: bool) -> Self {
        let unfinished = if is_open { End::Open } else { End::Broken };
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Self { status: None, problem: None, body_bytes: 0, end: unfinished };
        };
        let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
        let field = |name: &str| {
            head.lines().filter_map(|line| line.split_once(':')).find(|(field, _)| *field == name)
        };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        let body = &bytes[end + 4..];
        let (body_bytes, is_whole) = if field("transfer-encoding").is_some() {
            chunks(body)
        } else {
            match field("content-length").and_then(|(_, length)| length.trim().parse::<usize>().ok()) {
                Some(length) => (body.len(), body.len() == length),
                None => (body.len(), !is_open),
            }
        };
        let problem = String::from_utf8_lossy(body);
        let problem = problem.split_once("urn:jackfield:problem:").map(|(_, rest)| rest);
        let problem = problem.and_then(|rest| rest.split('"').next()).map(str::to_owned);
        Self { status, problem, body_bytes, end: if is_whole { End::Whole } else { unfinished } }
    }
}

/// How many bytes these chunks carry, and whether the last one is there.
fn chunks(mut bytes: &[u8]) -> (usize, bool) {
    let mut carried = 0;
    while let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { return (carried, false) };
        let rest = &bytes[end + 2..];
        if size == 0 {
            // Trailers may stand before the empty line.
            return (carried, rest.ends_with(b"\r\n"));
        }
        carried += size.min(rest.len());
        let Some(next) = rest.get(size + 2..) else { return (carried, false) };
        bytes = next;
    }
    (carried, false)
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(status) = self.status else {
            return f.write_str(match self.end {
                End::Open => "no answer",
                End::Whole | End::Broken => "connection closed without a word",
            });
        };
        write!(f, "{status}")?;
        if let Some(problem) = &self.problem {
            return write!(f, " `{problem}`");
        }
        match (self.end, self.body_bytes) {
            (End::Whole, 0) => Ok(()),
            // A page that says that it failed.
            (End::Whole, _) if status >= 400 => Ok(()),
            (End::Whole, bytes) => write!(f, ", {bytes} bytes, whole"),
            (End::Broken, bytes) => write!(f, ", broken off after {bytes} bytes"),
            (End::Open, MOST_BYTES..) => write!(f, ", {} MiB and more", MOST_BYTES >> 20),
            (End::Open, bytes) => write!(f, ", {bytes} bytes and no end"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn half_an_answer_is_told_from_a_whole_one() {
        let sized = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        for (answer, is_open, said) in [
            (String::new(), false, "connection closed without a word"),
            (String::new(), true, "no answer"),
            (format!("{sized}hello"), false, "200, 5 bytes, whole"),
            (format!("{sized}hel"), false, "200, broken off after 3 bytes"),
            (format!("{sized}hel"), true, "200, 3 bytes and no end"),
            (format!("{chunked}5\r\nhello\r\n0\r\n\r\n"), true, "200, 5 bytes, whole"),
            (format!("{chunked}5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"), false, "200, 5 bytes, whole"),
            (format!("{chunked}5\r\nhello\r\n"), false, "200, broken off after 5 bytes"),
            (format!("{chunked}5\r\nhe"), false, "200, broken off after 2 bytes"),
            ("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n".to_owned(), false, "204"),
            (
                "HTTP/1.1 504 x\r\ncontent-length: 39\r\n\r\n{\"type\":\"urn:jackfield:problem:cpu\",\"a\":1}".to_owned(),
                false,
                "504 `cpu`",
            ),
        ] {
            assert_eq!(Seen::read(answer.as_bytes(), is_open).to_string(), said, "{answer}");
        }
    }
}
