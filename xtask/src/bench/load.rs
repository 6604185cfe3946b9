//! The load: blocking threads, one connection each, one request under way each.
//!
//! Every status and every body is checked, for a server that fails is fast.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::http1::{Body, Head};

/// An answer that takes longer fails the run.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// Head and body of an answer together: what a hello takes, many times over.
const MAX_ANSWER_BYTES: usize = 16 * 1024;

/// Requests in a row on some connections, and the body that each has to be answered with.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) connections: u16,
    pub(crate) body: Vec<u8>,
}

/// What was answered, all of it rightly.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) requests: u64,
    pub(crate) elapsed: Duration,
}

impl Load {
    /// Requests `/` again and again for as long as `duration`. The first wrong answer ends it all.
    pub(crate) fn run(&self, address: SocketAddr, duration: Duration) -> Result<Answered> {
        let failed = AtomicBool::new(false);
        let started = Instant::now();
        let one_connection = || {
            let requests = self.one_connection(address, started + duration, &failed);
            failed.fetch_or(requests.is_err(), Ordering::Relaxed);
            requests
        };
        let requests = thread::scope(|scope| {
            let connections: Vec<_> = (0..self.connections).map(|_| scope.spawn(one_connection)).collect();
            let each = connections.into_iter().map(|connection| match connection.join() {
                Ok(requests) => requests,
                Err(_) => Err(anyhow!("a thread of the load panicked")),
            });
            each.sum::<Result<u64>>()
        });
        let requests = requests.with_context(|| format!("the load on {address} was not answered rightly"))?;
        Ok(Answered { requests, elapsed: started.elapsed() })
    }

    fn one_connection(&self, address: SocketAddr, end: Instant, failed: &AtomicBool) -> Result<u64> {
        let mut connection = Connection::open(address)?;
        let mut requests = 0;
        while Instant::now() < end && !failed.load(Ordering::Relaxed) {
            let body = connection.get()?;
            ensure!(body == self.body, "answered {:?}", String::from_utf8_lossy(body));
            requests += 1;
        }
        Ok(requests)
    }
}

/// The body that `/` is answered with, once.
pub(crate) fn body(address: SocketAddr) -> Result<Vec<u8>> {
    Ok(Connection::open(address)?.get()?.to_vec())
}

struct Connection {
    stream: TcpStream,
    request: String,
    buffer: Box<[u8; MAX_ANSWER_BYTES]>,
}

impl Connection {
    fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
        let request = format!("GET / HTTP/1.1\r\nhost: {address}\r\n\r\n");
        Ok(Self { stream, request, buffer: Box::new([0; MAX_ANSWER_BYTES]) })
    }

    /// Requests `/` and reads the answer; anything but a 200 is an error.
    fn get(&mut self) -> Result<&[u8]> {
        self.stream.write_all(self.request.as_bytes())?;
        let mut filled = 0;
        loop {
            ensure!(filled < self.buffer.len(), "answered more than {MAX_ANSWER_BYTES} bytes");
            let read = self.stream.read(&mut self.buffer[filled..]).context("no answer")?;
            ensure!(read > 0, "hung up instead of answering");
            filled += read;
            if let Some(begin) = whole_answer(&self.buffer[..filled])? {
                return Ok(&self.buffer[begin..filled]);
            }
        }
    }
}

/// Where the body of an answer begins that ends with `bytes`; `None` while bytes are missing. What is said
/// in one go has a stated length: chunks would be another answer, and other work.
fn whole_answer(bytes: &[u8]) -> Result<Option<usize>> {
    let Some(mut head) = Head::read(bytes)? else {
        return Ok(None);
    };
    ensure!(matches!(head.body, Body::Stated(_) | Body::Whole), "answered without a Content-Length");
    head.body.read(&bytes[head.bytes..], |_| ())?;
    Ok(head.body.is_whole().then_some(head.bytes))
}

#[cfg(test)]
mod tests {
    use super::whole_answer;

    #[test]
    fn an_answer_is_whole_when_its_stated_length_is_there() {
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
        for (bytes, whole) in [
            ("HTTP/1.1 200 OK\r\nCont".to_owned(), None),
            (format!("{head}hel"), None),
            (format!("{head}hello"), Some(head.len())),
        ] {
            assert_eq!(whole_answer(bytes.as_bytes()).unwrap(), whole, "{bytes}");
        }
    }

    #[test]
    fn an_answer_in_chunks_or_with_bytes_too_many_is_an_error() {
        for bytes in [
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello, and more",
        ] {
            assert!(whole_answer(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
