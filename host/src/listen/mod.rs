//! Sockets: from an address to requests, and the life of a connection in between.
//!
//! Addresses are bound before anything else is ready and served last, so a taken port is told before the
//! first compile and a failed start leaves nothing half open.

mod connection;
mod gate;
mod linger;
mod probes;
#[cfg_attr(not(test), expect(dead_code, reason = "connections are not led through it yet"))]
mod scan;
mod socket;
mod stall;

use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::task::TaskTracker;

use crate::request::{Ledger, Requests};

pub use probes::{Probes, Readiness};

/// What is the same for every connection.
pub mod bounds {
    pub use super::connection::{MAX_HEAD_BYTES, MAX_HEAD_FIELDS};
    pub use super::gate::MAX_TARGET_BYTES;
}

/// How long accepting rests after it failed for want of descriptors or memory.
const REST_AFTER_FAILURE: Duration = Duration::from_millis(50);

/// Where callers connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}{hint}")]
pub struct BindError {
    address: Address,
    reason: io::Error,
    hint: &'static str,
}

/// What the operator decides of this room.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Connections open at once.
    pub connections: usize,
    /// How long a request's head may take, and how long a connection may be idle.
    pub head: Duration,
    /// How long a client may take nothing of its answer.
    pub write: Duration,
    /// What a client must take of its answers, on average, while it is waited for.
    pub rate_bytes_per_second: u64,
    /// How long shutdown waits for what is in flight.
    pub grace: Duration,
}

/// A bound address.
pub struct Bound {
    address: Address,
    socket: Socket,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// How far a shutdown has come. Connections watch it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// No new connection; each ends with the request it is in.
    Draining,
    /// Whatever is left is cut.
    Ending,
}

impl Bound {
    /// Binds `address`. A socket file that a dead process left behind is replaced.
    pub async fn bind(address: Address) -> Result<Self, BindError> {
        let socket = match &address {
            Address::Tcp(tcp) => TcpListener::bind(tcp).await.map(Socket::Tcp),
            Address::Unix(path) => bind_unix(path).await.map(Socket::Unix),
        };
        let socket =
            socket.map_err(|reason| BindError { hint: hint(&reason), address: address.clone(), reason })?;
        // Port 0 is known only now.
        let address = match &socket {
            Socket::Tcp(listener) => listener.local_addr().map_or(address, Address::Tcp),
            Socket::Unix(_) => address,
        };
        Ok(Self { address, socket })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers are written whole; waiting to fill a packet only delays them.
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Some(peer.ip().to_canonical())))
            }
            Socket::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), None)),
        }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

enum Stream {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            if !std::fs::symlink_metadata(path)?.file_type().is_socket() {
                return Err(io::Error::new(
                    io::ErrorKind::AlreadyExists,
                    "a file that is no socket is there",
                ));
            }
            // A socket that answers otherwise, or not at all, still has somebody behind it.
            let connected = tokio::net::UnixStream::connect(path).await;
            if !connected.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused) {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }
}

fn hint(reason: &io::Error) -> &'static str {
    match reason.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program listens there: end it, or choose another address in [host]"
        }
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need a privilege: choose a higher one in [host]"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
        io::ErrorKind::AlreadyExists => "; remove it, or choose another path in [host]",
        io::ErrorKind::NotFound => "; the socket's folder must be there",
        _ => "",
    }
}

/// Serves on all addresses until told to stop.
pub struct Server {
    stage: watch::Sender<Stage>,
    connections: TaskTracker,
    grace: Duration,
}

impl Server {
    /// Begins to accept.
    pub fn start(bound: Vec<Bound>, requests: Arc<Requests>, settings: Settings, ledger: &Ledger) -> Self {
        let (stage, watched) = watch::channel(Stage::Serving);
        let connections = TaskTracker::new();
        let places = Arc::new(Semaphore::new(settings.connections.min(Semaphore::MAX_PERMITS)));
        for bound in bound {
            let accepting = Accepting {
                requests: requests.clone(),
                settings,
                ledger: ledger.clone(),
                stage: watched.clone(),
                connections: connections.clone(),
                places: places.clone(),
            };
            connections.spawn(accepting.run(bound));
        }
        Self { stage, connections, grace: settings.grace }
    }

    /// Accepts nothing more, waits for what is in flight, and cuts what is not done within the grace time.
    /// How many connections were cut.
    pub async fn stop(&self) -> usize {
        self.stage.send_replace(Stage::Draining);
        self.connections.close();
        if tokio::time::timeout(self.grace, self.connections.wait()).await.is_ok() {
            return 0;
        }
        let left = self.connections.len();
        self.stage.send_replace(Stage::Ending);
        self.connections.wait().await;
        left
    }
}

struct Accepting {
    requests: Arc<Requests>,
    settings: Settings,
    ledger: Ledger,
    stage: watch::Receiver<Stage>,
    connections: TaskTracker,
    places: Arc<Semaphore>,
}

impl Accepting {
    async fn run(mut self, bound: Bound) {
        let mut stage = self.stage.clone();
        loop {
            let accepted = tokio::select! {
                accepted = bound.accept() => accepted,
                _ = stage.wait_for(|stage| *stage != Stage::Serving) => return,
            };
            match accepted {
                // At the limit nothing more is accepted: newcomers wait in the system's own queue.
                Ok((stream, client)) => tokio::select! {
                    Ok(place) = self.places.clone().acquire_owned() => self.take(stream, client, place),
                    _ = stage.wait_for(|stage| *stage != Stage::Serving) => return,
                },
                Err(error) if is_the_clients(&error) => {}
                Err(error) => {
                    self.ledger
                        .log
                        .error("cannot accept connections; trying again")
                        .display("address", bound.address())
                        .field("error", format_args!("{error}"))
                        .send();
                    tokio::time::sleep(REST_AFTER_FAILURE).await;
                }
            }
        }
    }

    fn take(&mut self, stream: Stream, client: Option<IpAddr>, place: OwnedSemaphorePermit) {
        let connection = connection::Connection {
            requests: self.requests.clone(),
            client,
            settings: self.settings,
            stage: self.stage.clone(),
        };
        let counted = self.ledger.metrics.connection_guard();
        self.connections.spawn(async move {
            match stream {
                Stream::Tcp(stream) => connection.run(stream).await,
                Stream::Unix(stream) => connection.run(stream).await,
            }
            drop((counted, place));
        });
    }
}

/// Whether one client's connection failed, and not accepting as such.
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | NotConnected
    )
}
