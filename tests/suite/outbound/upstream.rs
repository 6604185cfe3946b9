//! The servers that a plugin asks: what they answer, and what they have seen.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use jackfield_tests::PATIENCE;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A connection that somebody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// The address that it was made to.
    pub(super) to: IpAddr,
    /// The head of the request that came on it; empty if none did.
    pub(super) head: String,
}

impl Seen {
    /// The values of a header field.
    pub(super) fn values(&self, name: &str) -> Vec<&str> {
        let fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// A server; gone when it is dropped, with all its connections.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    running: JoinHandle<()>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Upstream {
    /// A server that answers one request a connection, and closes it.
    pub(super) async fn start(
        address: &str,
        answer: impl Fn(&Seen) -> String + Send + Sync + 'static,
    ) -> Self {
        let answer = Arc::new(answer);
        Self::scripted_at(address, move |mut stream, seen| {
            let answer = answer.clone();
            async move {
                stream.write_all(answer(&seen).as_bytes()).await?;
                stream.shutdown().await
            }
        })
        .await
    }

    /// A server on the loopback that does this with each connection, once the head of a request has come.
    pub(super) async fn scripted<F>(script: impl Fn(TcpStream, Seen) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self::scripted_at("127.0.0.1:0", script).await
    }

    async fn scripted_at<F>(
        address: &str,
        script: impl Fn(TcpStream, Seen) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind(address).await.expect("the address is free");
        let address = listener.local_addr().expect("it has an address");
        let seen = Arc::<Mutex<Vec<Seen>>>::default();
        let (noted, script) = (seen.clone(), Arc::new(script));
        let running = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (noted, script) = (noted.clone(), script.clone());
                connections.spawn(async move {
                    let to = stream.local_addr().map_or(address.ip(), |to| to.ip().to_canonical());
                    let head = tokio::time::timeout(PATIENCE, head(&mut stream)).await.unwrap_or_default();
                    let seen = Seen { to, head };
                    noted.lock().expect("nobody panics with it").push(seen.clone());
                    let _ = script(stream, seen).await;
                });
            }
        });
        Self { address, seen, running }
    }

    pub(super) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every connection so far.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("nobody panics with it").clone()
    }
}

/// Reads to the end of a head, and no further.
async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8_lossy(&head).into_owned()
}

/// A whole answer.
pub(super) fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// A whole answer that sends whoever gets it elsewhere.
pub(super) fn found(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nconnection: close\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}
