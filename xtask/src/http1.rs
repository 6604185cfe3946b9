//! The HTTP/1.1 that the loads read: a head, then a body of stated length or in chunks.
//!
//! Owns where an answer's body begins and where it ends. Reads only what the servers under measurement send,
//! and takes everything else for a wrong answer: no trailers, no chunk extensions, no status but 200.

use anyhow::{Context, Result, bail, ensure};

/// A chunk is at most this long: what a server writes at once, many times over.
const MAX_CHUNK_BYTES: u64 = 1 << 30;

/// The head of an answer of status 200.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Where the body begins.
    pub(crate) bytes: usize,
    /// The body, of which nothing has been read yet.
    pub(crate) body: Body,
}

impl Head {
    /// The head that `bytes` begin with; `None` while a part of it is missing.
    pub(crate) fn read(bytes: &[u8]) -> Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(None);
        };
        let head = str::from_utf8(&bytes[..end]).context("answered with a head that is not text")?;
        let mut lines = head.split("\r\n");
        let status_line = lines.next().unwrap_or_default();
        if !status_line.starts_with("HTTP/1.1 200 ") {
            bail!("answered `{status_line}`");
        }
        let fields: Vec<(&str, &str)> = lines.filter_map(|line| line.split_once(':')).collect();
        let field = |wanted: &str| {
            let found = fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            found.map(|(_, value)| value.trim())
        };
        let body = match (field("content-length"), field("transfer-encoding")) {
            (Some(length), None) => {
                Body::Stated(length.parse().context("answered with a Content-Length that is no number")?)
            }
            (None, Some("chunked")) => Body::Size(0),
            _ => bail!("answered neither with a Content-Length nor in chunks"),
        };
        Ok(Some(Self { bytes: end + 4, body: body.or_whole() }))
    }
}

/// What is still to come of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body {
    /// So many bytes.
    Stated(u64),
    /// A chunk's size, whose digits so far say this.
    Size(u64),
    /// Exactly these bytes, and then what follows them.
    Framing(&'static [u8], Next),
    /// So many bytes of a chunk.
    Chunk(u64),
    /// Nothing.
    Whole,
}

/// What follows after bytes that only frame a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    Size,
    Chunk(u64),
    Whole,
}

impl Body {
    /// Reads on in `bytes` and gives what is the body's own to `piece`. Bytes beyond the body's end are an
    /// error: nothing was asked for that they could answer.
    pub(crate) fn read(&mut self, mut bytes: &[u8], mut piece: impl FnMut(&[u8])) -> Result<()> {
        while let Some((&first, rest)) = bytes.split_first() {
            bytes = match self {
                Self::Stated(left) | Self::Chunk(left) => {
                    let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                    let (own, rest) = bytes.split_at(taken);
                    piece(own);
                    *left -= taken as u64;
                    rest
                }
                Self::Size(size) => {
                    match (char::from(first).to_digit(16), first, *size) {
                        (Some(digit), ..) => *size = *size * 16 + u64::from(digit),
                        (None, b'\r', 0) => *self = Self::Framing(b"\n\r\n", Next::Whole),
                        (None, b'\r', size) => *self = Self::Framing(b"\n", Next::Chunk(size)),
                        _ => bail!("answered with a chunk's size that is no number"),
                    }
                    rest
                }
                Self::Framing(expected, _) => {
                    ensure!(
                        expected.first() == Some(&first),
                        "answered with chunks that are not framed rightly"
                    );
                    *expected = &expected[1..];
                    rest
                }
                Self::Whole => bail!("sent {} bytes too many", bytes.len()),
            };
            self.advance()?;
        }
        Ok(())
    }

    pub(crate) fn is_whole(&self) -> bool {
        *self == Self::Whole
    }

    /// On to what follows, where nothing is left of the present.
    fn advance(&mut self) -> Result<()> {
        match *self {
            Self::Stated(0) | Self::Framing([], Next::Whole) => *self = Self::Whole,
            Self::Chunk(0) => *self = Self::Framing(b"\r\n", Next::Size),
            Self::Framing([], Next::Size) => *self = Self::Size(0),
            Self::Framing([], Next::Chunk(size)) => *self = Self::Chunk(size),
            Self::Size(size) => {
                ensure!(size <= MAX_CHUNK_BYTES, "answered with a chunk of {size} bytes or more")
            }
            _ => {}
        }
        Ok(())
    }

    /// A body of no bytes has no more to come.
    fn or_whole(self) -> Self {
        if self == Self::Stated(0) { Self::Whole } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::{Body, Head};

    const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// The body of an answer that comes in pieces of `at_once` bytes, and whether it is whole.
    fn body(answer: &str, at_once: usize) -> (String, bool) {
        let head = Head::read(answer.as_bytes()).unwrap().unwrap();
        let (mut body, mut text) = (head.body, String::new());
        for piece in answer.as_bytes()[head.bytes..].chunks(at_once) {
            body.read(piece, |own| text.push_str(str::from_utf8(own).unwrap())).unwrap();
        }
        (text, body.is_whole())
    }

    #[test]
    fn a_body_ends_where_its_length_or_its_last_chunk_says_however_it_is_cut() {
        let stated =
            |length: usize, body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        for at_once in 1..40 {
            for (answer, text, is_whole) in [
                (stated(5, "hello"), "hello", true),
                (stated(5, "hel"), "hel", false),
                (stated(0, ""), "", true),
                (format!("{CHUNKED}3\r\nhel\r\n0b\r\nlo, the end\r\n0\r\n\r\n"), "hello, the end", true),
                (format!("{CHUNKED}5\r\nhello\r\n"), "hello", false),
                (format!("{CHUNKED}5\r\nhello\r\n0\r\n"), "hello", false),
                (format!("{CHUNKED}0\r\n\r\n"), "", true),
            ] {
                assert_eq!(body(&answer, at_once), (text.to_owned(), is_whole), "{answer}");
            }
        }
    }

    #[test]
    fn a_head_is_waited_for_until_it_is_whole() {
        for end in 0..CHUNKED.len() {
            assert_eq!(Head::read(&CHUNKED.as_bytes()[..end]).unwrap(), None);
        }
        let head = Head { bytes: CHUNKED.len(), body: Body::Size(0) };
        assert_eq!(Head::read(CHUNKED.as_bytes()).unwrap(), Some(head));
    }

    #[test]
    fn a_wrong_head_is_an_error() {
        for answer in [
            "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n",
        ] {
            assert!(Head::read(answer.as_bytes()).is_err(), "{answer}");
        }
    }

    #[test]
    fn a_body_that_is_not_framed_rightly_is_an_error() {
        for (mut body, bytes) in [
            (Body::Whole, "x"),
            (Body::Stated(2), "abc"),
            (Body::Size(0), "5;extension=1\r\n"),
            (Body::Size(0), "ffffffffffffffffffff\r\n"),
            (Body::Size(0), "1\r\nxx\r\n"),
            (Body::Size(0), "0\r\ntrailer: 1\r\n\r\n"),
        ] {
            assert!(body.read(bytes.as_bytes(), |_| ()).is_err(), "{bytes}");
        }
    }
}
