//! Many clients that listen to server-sent events, each on a connection of its own.
//!
//! Every event of every client is checked, its place in the order too: a client that misses one fails the run.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::http1::{Body, Head};

/// Beyond the time that the events take by themselves: to connect, and for a machine that is late.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one client reads at once: a few events.
const BUFFER_BYTES: usize = 2048;

/// What to listen to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Listening {
    pub(crate) clients: u16,
    /// Events for each client.
    pub(crate) events: u32,
    /// Between two events of a client.
    pub(crate) every: Duration,
}

/// What one client heard.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heard {
    pub(crate) events: u32,
    /// The longest time between two reads that gave something.
    pub(crate) longest_gap: Duration,
}

impl Listening {
    /// Opens all connections, one after the other, and listens until the last stream has ended.
    pub(crate) fn run(self, address: SocketAddr) -> Result<Vec<Heard>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut clients = JoinSet::new();
            for _ in 0..self.clients {
                let stream = TcpStream::connect(address).await?;
                clients.spawn(self.one_client(stream, address));
            }
            let mut heard = Vec::with_capacity(self.clients.into());
            while let Some(client) = clients.join_next().await {
                heard.push(client.context("a client of the load panicked")??);
            }
            Ok(heard)
        })
    }

    async fn one_client(self, stream: TcpStream, address: SocketAddr) -> Result<Heard> {
        let patience = self.every * self.events + PATIENCE;
        let Ok(heard) = timeout(patience, self.listen(&stream, address)).await else {
            bail!("a client of {address} had not all of its events after {} s", patience.as_secs());
        };
        heard.with_context(|| format!("a client of {address} was not answered rightly"))
    }

    async fn listen(self, stream: &TcpStream, address: SocketAddr) -> Result<Heard> {
        let every = self.every.as_millis();
        let request =
            format!("GET /sse?events={}&every-ms={every} HTTP/1.1\r\nhost: {address}\r\n\r\n", self.events);
        stream.set_nodelay(true)?;
        stream.writable().await?;
        let written = stream.try_write(request.as_bytes())?;
        ensure!(written == request.len(), "took {written} bytes of a request");

        let mut buffer = [0; BUFFER_BYTES];
        let (mut filled, mut body) = (0, None::<Body>);
        let mut expected = Expected::default();
        let (mut last, mut longest_gap) = (None::<Instant>, Duration::ZERO);
        while !body.as_ref().is_some_and(Body::is_whole) {
            ensure!(filled < buffer.len(), "answered with a head of {filled} bytes or more");
            stream.readable().await?;
            let read = match stream.try_read(&mut buffer[filled..]) {
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                read => read.with_context(|| format!("broke off after {} events", expected.events))?,
            };
            ensure!(read > 0, "hung up after {} events", expected.events);
            let now = Instant::now();
            longest_gap = longest_gap.max(last.map_or(Duration::ZERO, |last| now - last));
            last = Some(now);
            filled += read;
            if let Some(body) = &mut body {
                body.read(&buffer[..filled], |piece| expected.compare(piece))?;
                filled = 0;
            } else if let Some(head) = Head::read(&buffer[..filled])? {
                let body = body.insert(head.body);
                body.read(&buffer[head.bytes..filled], |piece| expected.compare(piece))?;
                filled = 0;
            }
            ensure!(!expected.differs, "gave something else than event {}", expected.events + 1);
        }
        ensure!(expected.events == self.events, "ended rightly, but after {} events", expected.events);
        Ok(Heard { events: expected.events, longest_gap })
    }
}

/// One event, as it stands in a stream.
pub(crate) fn event(number: u32) -> String {
    format!("data: {number}\n\n")
}

/// How far a stream is what it has to be: events numbered from 1.
#[derive(Debug, Default)]
struct Expected {
    /// Whole ones so far.
    events: u32,
    /// What was read of the next.
    begun: Vec<u8>,
    differs: bool,
}

impl Expected {
    fn compare(&mut self, piece: &[u8]) {
        self.begun.extend_from_slice(piece);
        loop {
            let next = event(self.events + 1);
            if !self.begun.starts_with(next.as_bytes()) {
                self.differs |= !next.as_bytes().starts_with(&self.begun);
                return;
            }
            self.begun.drain(..next.len());
            self.events += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Expected;

    #[test]
    fn events_are_counted_however_they_come_in_pieces() {
        let text = (1..=12).map(super::event).collect::<String>();
        for at_once in 1..=text.len() {
            let mut expected = Expected::default();
            text.as_bytes().chunks(at_once).for_each(|piece| expected.compare(piece));
            assert_eq!((expected.events, expected.differs), (12, false), "{at_once}");
        }
    }

    #[test]
    fn a_missing_a_doubled_and_a_strange_event_are_seen() {
        for text in ["data: 1\n\ndata: 3\n\n", "data: 1\n\ndata: 1\n\n", "data: 1\n\nretry: 5\n\n"] {
            let mut expected = Expected::default();
            expected.compare(text.as_bytes());
            assert!(expected.differs, "{text:?}");
        }
    }
}
