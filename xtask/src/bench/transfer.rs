//! One large body through a server: bytes a second one way, every one of them checked or counted.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::http1::{Body, Head};

/// A server that takes or gives nothing for so long fails the run.
const STALL_DEADLINE: Duration = Duration::from_secs(30);

/// Written or read at once: larger than what a server does at once, so that the load is not what is measured.
const BUFFER_BYTES: usize = 256 * 1024;

/// Byte `n` of a download is `n` modulo this, so that a lost or doubled piece shows. A prime: no buffer's size
/// is a multiple of it.
pub(crate) const PATTERN_PERIOD: usize = 251;

/// Which way the bytes go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Direction {
    /// To the server, which answers how many they were.
    Up,
    /// From the server, after a head.
    Down,
}

impl Direction {
    /// Sends or fetches so many `bytes`, and says how long that took.
    pub(crate) fn transfer(self, address: SocketAddr, bytes: u64) -> Result<Duration> {
        let started = Instant::now();
        match self {
            Self::Up => upload(address, bytes),
            Self::Down => download(address, bytes),
        }
        .with_context(|| format!("the {self} of {bytes} bytes at {address} was not done rightly"))?;
        Ok(started.elapsed())
    }
}

impl std::fmt::Display for Direction {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.pad(match self {
            Self::Up => "upload",
            Self::Down => "download",
        })
    }
}

fn upload(address: SocketAddr, bytes: u64) -> Result<()> {
    let mut stream = connect(address)?;
    write!(stream, "POST /count HTTP/1.1\r\nhost: {address}\r\ncontent-length: {bytes}\r\n\r\n")?;
    let buffer = pattern(BUFFER_BYTES);
    let (mut left, mut sent) = (bytes, Ok(()));
    while left > 0 && sent.is_ok() {
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        sent = stream.write_all(&buffer[..now]);
        left -= now as u64;
    }
    // Read first: a server that takes no more may have said why.
    let mut answer = Vec::new();
    read_answer(&mut stream, |piece| answer.extend_from_slice(piece))?;
    sent.with_context(|| format!("{left} bytes were not taken"))?;
    let counted = String::from_utf8_lossy(&answer);
    ensure!(counted == format!("bytes={bytes}\n"), "answered {counted:?}");
    Ok(())
}

fn download(address: SocketAddr, bytes: u64) -> Result<()> {
    let mut stream = connect(address)?;
    write!(stream, "GET /download?bytes={bytes} HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
    let expected = pattern(BUFFER_BYTES + PATTERN_PERIOD);
    let (mut got, mut first_wrong) = (0u64, None);
    read_answer(&mut stream, |piece| {
        let offset = usize::try_from(got % PATTERN_PERIOD as u64).unwrap_or_default();
        if piece != &expected[offset..][..piece.len()] {
            first_wrong.get_or_insert(got);
        }
        got += piece.len() as u64;
    })?;
    ensure!(first_wrong.is_none(), "wrong bytes after {} of them", first_wrong.unwrap_or_default());
    ensure!(got == bytes, "answered with {got} bytes");
    Ok(())
}

/// A connection on which files are fetched one after the other.
pub(crate) struct Fetcher {
    stream: TcpStream,
    buffer: Vec<u8>,
    host: SocketAddr,
}

impl Fetcher {
    pub(crate) fn open(address: SocketAddr) -> Result<Self> {
        Ok(Self { stream: connect(address)?, buffer: vec![0; BUFFER_BYTES], host: address })
    }

    /// Fetches a file, and returns the number of its bytes.
    pub(crate) fn fetch(&mut self, path: &str) -> Result<u64> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host);
        self.stream.write_all(request.as_bytes())?;
        let mut bytes = 0;
        read_answer_into(&mut self.stream, &mut self.buffer, |piece| bytes += piece.len() as u64)?;
        Ok(bytes)
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STALL_DEADLINE))?;
    stream.set_write_timeout(Some(STALL_DEADLINE))?;
    Ok(stream)
}

/// Reads a 200 to its end, and gives its body away in pieces of at most [`BUFFER_BYTES`].
fn read_answer(stream: &mut impl Read, piece: impl FnMut(&[u8])) -> Result<()> {
    read_answer_into(stream, &mut vec![0; BUFFER_BYTES], piece)
}

fn read_answer_into(stream: &mut impl Read, buffer: &mut [u8], mut piece: impl FnMut(&[u8])) -> Result<()> {
    let (mut filled, mut body) = (0, None::<Body>);
    loop {
        ensure!(filled < buffer.len(), "answered with a head of {filled} bytes or more");
        let read = stream.read(&mut buffer[filled..]).context("no more of the answer")?;
        ensure!(read > 0, "hung up before the end of the answer");
        filled += read;
        if let Some(body) = &mut body {
            body.read(&buffer[..filled], &mut piece)?;
            filled = 0;
        } else if let Some(head) = Head::read(&buffer[..filled])? {
            body.insert(head.body).read(&buffer[head.bytes..filled], &mut piece)?;
            filled = 0;
        }
        if body.as_ref().is_some_and(Body::is_whole) {
            return Ok(());
        }
    }
}

/// So many bytes of the pattern.
pub(crate) fn pattern(bytes: usize) -> Vec<u8> {
    (0..=u8::MAX).take(PATTERN_PERIOD).cycle().take(bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::read_answer;

    /// Gives what it has in reads of at most 7 bytes.
    struct Dripping<'a>(&'a [u8]);

    impl std::io::Read for Dripping<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let now = self.0.len().min(buffer.len()).min(7);
            let (given, rest) = self.0.split_at(now);
            buffer[..now].copy_from_slice(given);
            self.0 = rest;
            Ok(now)
        }
    }

    #[test]
    fn an_answer_that_breaks_off_is_never_taken_for_whole() {
        let whole = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\nhello, you!\r\n0\r\n\r\n";
        for end in 0..=whole.len() {
            let mut body = Vec::new();
            let read = read_answer(&mut Dripping(&whole[..end]), |piece| body.extend_from_slice(piece));
            assert_eq!(read.is_ok(), end == whole.len(), "{end}");
            assert!(b"hello, you!".starts_with(&body), "{end}");
        }
    }
}
