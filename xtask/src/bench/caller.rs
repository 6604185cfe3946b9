//! A caller: one connection with one request under way, whose answers may be errors too.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// The longest wait for an answer: even the last of 64 callers of a loop on one core has its 50 ms after 3.2 s.
pub(super) const ANSWER_DEADLINE: Duration = Duration::from_secs(30);

/// One connection, one request under way.
pub(super) struct Caller {
    stream: TcpStream,
    /// The host name that is asked for, by which the host finds the tenant.
    host: String,
}

impl Caller {
    pub(super) fn connect(address: SocketAddr, host: &str) -> Result<Self> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_DEADLINE))?;
        Ok(Self { stream, host: host.to_owned() })
    }

    /// Status and body, which has a stated length, of less than 4 KiB with its head.
    pub(super) fn get(&mut self, path: &str) -> Result<(u16, String)> {
        self.stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.host).as_bytes())?;
        let (mut buffer, mut filled) = ([0; 4096], 0);
        loop {
            let read = self.stream.read(&mut buffer[filled..]).context("no answer")?;
            ensure!(read > 0, "hung up instead of answering, or answered too much");
            filled += read;
            let text = str::from_utf8(&buffer[..filled]).context("answered with what is not text")?;
            let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
            let status =
                head.split(' ').nth(1).and_then(|status| status.parse().ok()).context("no status")?;
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
            });
            if body.len() >= length.context("answered without a Content-Length")? {
                return Ok((status, body.to_owned()));
            }
        }
    }
}
