//! The load: one thread, some connections, each with as many requests under way as its work asks for.
//!
//! Waits with epoll(7) and reads once for each event, so that it costs less than any of the servers: a load that is
//! slower than the server measures itself. Every status and every body is checked, for a server that fails is fast.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{ClockId, clock_gettime};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection};

use super::super::bare_hyper::Protocol;
use super::super::latency::Latencies;
use super::http2::Http2;
use super::works::{Ask, Concurrency, MAX_PIECE_BYTES};
use crate::http1::{Body, Head};

/// An answer that takes longer fails the run.
const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// A head of an answer is shorter than this.
const MAX_HEAD_BYTES: usize = 16 << 10;

/// The name in the servers' certificate.
pub(super) const SERVER_NAME: &str = "localhost";

/// Connections to one server, and what they ask.
pub(super) struct Load<'a> {
    ask: &'a Ask,
    streams: u16,
    connections: Vec<Connection>,
    epoll: OwnedFd,
    buffer: Box<[u8]>,
}

/// The answers of a run, all of them right.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) latencies: Latencies,
    pub(super) elapsed: Duration,
    /// CPU time of the load itself.
    pub(super) busy: Duration,
}

impl<'a> Load<'a> {
    /// Connects, and has one request answered on each stream: what a new connection costs is in no figure.
    pub(super) fn open(
        address: SocketAddr,
        protocol: Protocol,
        ask: &'a Ask,
        concurrency: Concurrency,
        trust: &Arc<ClientConfig>,
    ) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let mut connections = Vec::new();
        for place in 0..concurrency.connections {
            let connection = Connection::open(place, address, protocol, ask, trust)
                .with_context(|| format!("cannot connect to {address}"))?;
            epoll::add(&epoll, &connection.socket, EventData::new_u64(place.into()), EventFlags::IN)?;
            connections.push(connection);
        }
        let buffer = vec![0; MAX_PIECE_BYTES].into_boxed_slice();
        let mut load = Self { ask, streams: concurrency.streams, connections, epoll, buffer };
        load.run(Duration::ZERO)?;
        Ok(load)
    }

    /// Asks again and again for as long as `duration`, and waits for the answers that are under way then. The first
    /// wrong answer ends it all.
    pub(super) fn run(&mut self, duration: Duration) -> Result<Answered> {
        let (started, before) = (Instant::now(), thread_cpu_time());
        let end = started + duration;
        let mut latencies = Latencies::default();
        let mut under_way = 0;
        for connection in &mut self.connections {
            for _ in 0..self.streams {
                connection.start(started);
                under_way += 1;
            }
            connection.flush(&self.epoll)?;
        }
        let mut events = Vec::with_capacity(self.connections.len());
        while under_way > 0 {
            let patience = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
            events.clear();
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&patience))?;
            ensure!(
                Instant::now() < end + ANSWER_DEADLINE,
                "{under_way} requests were not answered within {} s",
                ANSWER_DEADLINE.as_secs()
            );
            for event in &events {
                let connection = &mut self.connections[event.data.u64() as usize];
                let flags = event.flags;
                if flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
                    let ended = connection.read(&mut self.buffer, self.ask, &mut latencies)?;
                    let now = Instant::now();
                    for _ in 0..ended {
                        if now < end {
                            connection.start(now);
                        } else {
                            under_way -= 1;
                        }
                    }
                }
                connection.flush(&self.epoll)?;
            }
        }
        let busy = thread_cpu_time().saturating_sub(before);
        Ok(Answered { latencies, elapsed: started.elapsed(), busy })
    }
}

fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

struct Connection {
    /// Its index among all, by which epoll knows it.
    place: u16,
    socket: TcpStream,
    tls: Option<Box<ClientConnection>>,
    messages: Messages,
    /// What is to be sent, and how much of it was.
    out: Vec<u8>,
    sent: usize,
    /// Whether epoll says when more can be sent.
    waits_to_send: bool,
}

/// The protocol's state of one connection.
enum Messages {
    Http1(Http1),
    Http2(Http2),
}

impl Connection {
    fn open(
        place: u16,
        address: SocketAddr,
        protocol: Protocol,
        ask: &Ask,
        trust: &Arc<ClientConfig>,
    ) -> Result<Self> {
        let mut socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER_DEADLINE))?;
        let mut tls = None;
        if protocol == Protocol::Tls {
            let mut session = ClientConnection::new(trust.clone(), ServerName::try_from(SERVER_NAME)?)?;
            session.complete_io(&mut socket).context("the TLS handshake failed")?;
            tls = Some(Box::new(session));
        }
        let (messages, out) = match protocol {
            Protocol::Http2 => (Messages::Http2(Http2::new(ask, SERVER_NAME)), Http2::hello()),
            Protocol::Http1 | Protocol::Tls => (Messages::Http1(Http1::new(ask, SERVER_NAME)), Vec::new()),
        };
        socket.set_nonblocking(true)?;
        Ok(Self { place, socket, tls, messages, out, sent: 0, waits_to_send: false })
    }

    /// Puts one more request where [`Self::flush`] takes it from.
    fn start(&mut self, now: Instant) {
        match &mut self.messages {
            Messages::Http1(http1) => http1.ask(now, &mut self.out),
            Messages::Http2(http2) => http2.ask(now, &mut self.out),
        }
    }

    /// Sends as much as the socket takes.
    fn flush(&mut self, epoll: &OwnedFd) -> Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(&self.out)?;
            self.out.clear();
            let mut pending = false;
            while tls.wants_write() && !pending {
                pending = would_block(tls.write_tls(&mut self.socket))?.is_none();
            }
            return self.wait_to_send(epoll, pending);
        }
        while self.sent < self.out.len() {
            match would_block(self.socket.write(&self.out[self.sent..]))? {
                Some(sent) => self.sent += sent,
                None => return self.wait_to_send(epoll, true),
            }
        }
        self.out.clear();
        self.sent = 0;
        self.wait_to_send(epoll, false)
    }

    fn wait_to_send(&mut self, epoll: &OwnedFd, wait: bool) -> Result<()> {
        if wait != self.waits_to_send {
            self.waits_to_send = wait;
            let flags = if wait { EventFlags::IN | EventFlags::OUT } else { EventFlags::IN };
            epoll::modify(epoll, &self.socket, EventData::new_u64(self.place.into()), flags)?;
        }
        Ok(())
    }

    /// Reads once what has come. Returns the number of requests that are answered with it.
    fn read(&mut self, buffer: &mut [u8], ask: &Ask, latencies: &mut Latencies) -> Result<u32> {
        let mut ended = 0;
        let messages = &mut self.messages;
        let out = &mut self.out;
        let mut take = |bytes: &[u8]| {
            let now = Instant::now();
            let answered = |asked| {
                latencies.add(now.saturating_duration_since(asked));
                ended += 1;
            };
            match messages {
                Messages::Http1(http1) => http1.read(bytes, ask, answered),
                Messages::Http2(http2) => http2.read(bytes, ask, out, answered),
            }
        };
        let Some(tls) = &mut self.tls else {
            if let Some(read) = would_block(self.socket.read(buffer))? {
                ensure!(read > 0, "hung up instead of answering");
                take(&buffer[..read])?;
            }
            return Ok(ended);
        };
        if let Some(read) = would_block(tls.read_tls(&mut self.socket))? {
            ensure!(read > 0, "hung up instead of answering");
            tls.process_new_packets()?;
            while let Some(read) = would_block(tls.reader().read(buffer))? {
                ensure!(read > 0, "ended TLS instead of answering");
                take(&buffer[..read])?;
            }
        }
        Ok(ended)
    }
}

/// None where there is nothing to read or no room to write, for now.
fn would_block<T>(done: std::io::Result<T>) -> Result<Option<T>> {
    match done {
        Ok(done) => Ok(Some(done)),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(anyhow!(error).context("the connection broke")),
    }
}

/// HTTP/1.1 with one request under way.
struct Http1 {
    /// The request's bytes.
    request: Vec<u8>,
    asked: Instant,
    /// A head whose end has not come.
    head: Vec<u8>,
    /// The body, once the head is there, and its bytes so far.
    body: Option<(Body, u64)>,
}

impl Http1 {
    fn new(ask: &Ask, host: &str) -> Self {
        let Ask { method, path, fields, body, .. } = ask;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
        for (name, value) in fields {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("content-length: {}\r\n", body.len());
        }
        head += "\r\n";
        let request = [head.as_bytes(), body].concat();
        Self { request, asked: Instant::now(), head: Vec::new(), body: None }
    }

    fn ask(&mut self, now: Instant, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
        self.asked = now;
    }

    fn read(&mut self, bytes: &[u8], ask: &Ask, mut answered: impl FnMut(Instant)) -> Result<()> {
        let check = |body: &mut Body, so_far: &mut u64, bytes: &[u8]| -> Result<()> {
            let mut checked = Ok(());
            body.read(bytes, |piece| {
                if checked.is_ok() {
                    checked = ask.expected.check(*so_far, piece);
                }
                *so_far += piece.len() as u64;
            })?;
            checked
        };
        if let Some((body, so_far)) = &mut self.body {
            check(body, so_far, bytes)?;
        } else {
            let held = std::mem::take(&mut self.head);
            let joined = if held.is_empty() { None } else { Some([&held, bytes].concat()) };
            let bytes = joined.as_deref().unwrap_or(bytes);
            let Some(head) = Head::read(bytes)? else {
                ensure!(
                    bytes.len() < MAX_HEAD_BYTES,
                    "answered with a head of {} bytes or more",
                    bytes.len()
                );
                self.head = bytes.to_vec();
                return Ok(());
            };
            let (body, so_far) = self.body.insert((head.body, 0));
            check(body, so_far, &bytes[head.bytes..])?;
        }
        if let Some((Body::Whole, bytes)) = self.body {
            ask.expected.check_end(bytes)?;
            self.body = None;
            answered(self.asked);
        }
        Ok(())
    }
}
