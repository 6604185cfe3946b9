//! Connections to origins: a name is resolved to addresses, the forbidden addresses are left out, and a socket is
//! connected to one of the rest.
//!
//! Owns that every address is checked, and that the socket goes to exactly the address that was checked: a name is
//! resolved once for each connection, so that no later DNS answer counts. Leaves TLS and HTTP to the libraries above,
//! which use this as their connector.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, timeout, timeout_at};
use tower_service::Service;

use super::address::AddressPolicy;
use super::error::OutboundError;
use super::origin::{Origin, OriginHost};

/// The longest time to connect, with the name, TCP and TLS together: three lost packets at the start of TCP (1 + 2 +
/// 4 s) still fit in.
pub const MAX_CONNECT: Duration = Duration::from_secs(10);

/// The longest time that a connection waits until another of the plugin's connections ends. It is shorter than
/// [`MAX_CONNECT`], so that this wait is told apart from a slow server.
const MAX_SOCKET_WAIT: Duration = Duration::from_secs(5);

/// The longest time for a lookup: a resolver's usual wait for its first server, so that the second server still
/// answers within [`MAX_CONNECT`].
const MAX_LOOKUP: Duration = Duration::from_secs(6);

/// Concurrent lookups in the whole host: each holds one of the threads that files are read on too.
const LOOKUPS: usize = 32;

/// Concurrent lookups of one plugin, so that a plugin with slow names leaves most of the lookups to the others.
const LOOKUPS_OF_A_PLUGIN: usize = 4;

/// The number of a name's addresses that are tried.
const MAX_ADDRESSES: usize = 8;

/// The longest time in which a server takes nothing of what is written to it. A request has deadlines until its
/// answer begins; after that, this limit ends a request whose server answers early and never reads the rest.
const MAX_WRITE_PAUSE: Duration = Duration::from_secs(60);

/// The policy and the bounds that the connections of all plugins share.
#[derive(Debug)]
pub(super) struct Network {
    policy: AddressPolicy,
    lookups: Arc<Semaphore>,
    sockets: Arc<Semaphore>,
    most_sockets: usize,
}

impl Network {
    /// A network with at most `sockets` sockets open at once, if there is a bound.
    pub(super) fn new(policy: AddressPolicy, sockets: Option<usize>) -> Self {
        let most_sockets = sockets.unwrap_or(usize::MAX).clamp(1, Semaphore::MAX_PERMITS);
        Self {
            policy,
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            sockets: Arc::new(Semaphore::new(most_sockets)),
            most_sockets,
        }
    }
}

/// The connector of one plugin. Clones share its bounds.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    network: Arc<Network>,
    sockets: Arc<Semaphore>,
    most_sockets: usize,
    lookups: Arc<Semaphore>,
}

impl Connector {
    /// A connector for one plugin, with at most `sockets` open at once, and at most half of all plugins' sockets.
    pub(super) fn new(network: Arc<Network>, sockets: usize) -> Self {
        let sockets = sockets.min(network.most_sockets.div_ceil(2));
        Self {
            network,
            sockets: Arc::new(Semaphore::new(sockets)),
            most_sockets: sockets,
            lookups: Arc::new(Semaphore::new(LOOKUPS_OF_A_PLUGIN)),
        }
    }

    async fn connect(self, uri: Uri) -> Result<Socket, OutboundError> {
        let deadline = deadline_in(MAX_CONNECT);
        let origin = Origin::of(&uri)?;
        let until = deadline_in(MAX_SOCKET_WAIT);
        let Ok(Ok(of_plugin)) = timeout_at(until, self.sockets.clone().acquire_owned()).await else {
            return Err(OutboundError::ConnectionLimit {
                what: "connections of the plugin",
                limit: self.most_sockets,
            });
        };
        let Ok(Ok(of_host)) = timeout_at(until, self.network.sockets.clone().acquire_owned()).await else {
            let limit = self.network.most_sockets;
            return Err(OutboundError::ConnectionLimit { what: "connections of all plugins", limit });
        };
        let addresses = self.addresses(&origin).await?;
        let stream = first_to_answer(&origin, &self.checked(&origin, addresses)?, deadline).await?;
        // Small messages are sent at once; a socket that refuses the option works all the same.
        let _ = stream.set_nodelay(true);
        Ok(Socket {
            stream: TokioIo::new(stream),
            pause: None,
            served: Served::default(),
            _permits: [of_plugin, of_host],
        })
    }

    /// The addresses of an origin from DNS.
    async fn addresses(&self, origin: &Origin) -> Result<Vec<SocketAddr>, OutboundError> {
        let name = match origin.host() {
            OriginHost::Address(address) => return Ok(vec![SocketAddr::new(*address, origin.port())]),
            OriginHost::Name(name) => name.clone(),
        };
        let deadline = deadline_in(MAX_LOOKUP);
        let unknown = |reason| OutboundError::DnsError { origin: origin.clone(), reason };
        let late = || OutboundError::DnsTimeout { origin: origin.clone() };
        let of_plugin = timeout_at(deadline, self.lookups.clone().acquire_owned()).await;
        let of_host = timeout_at(deadline, self.network.lookups.clone().acquire_owned()).await;
        let (Ok(Ok(of_plugin)), Ok(Ok(of_host))) = (of_plugin, of_host) else {
            return Err(late());
        };
        let port = origin.port();
        // A lookup goes on in its thread after its connection was dropped: its permits go with it.
        let lookup = tokio::spawn(async move {
            let found = lookup_host((&*name, port)).await.map(|found| found.take(MAX_ADDRESSES).collect());
            drop((of_plugin, of_host));
            found
        });
        match timeout_at(deadline, lookup).await {
            Err(_) => Err(late()),
            Ok(Ok(Ok(addresses))) => Ok(addresses),
            Ok(Ok(Err(error))) => Err(unknown(error.to_string())),
            Ok(Err(stopped)) => Err(unknown(stopped.to_string())),
        }
    }

    /// The addresses that may be connected to, at least one.
    fn checked(
        &self,
        origin: &Origin,
        mut addresses: Vec<SocketAddr>,
    ) -> Result<Vec<SocketAddr>, OutboundError> {
        let mut first = None;
        addresses.retain(|address| match self.network.policy.check(address.ip()) {
            Ok(()) => true,
            Err(prohibited) => {
                first.get_or_insert(prohibited);
                false
            }
        });
        match first {
            _ if !addresses.is_empty() => Ok(addresses),
            Some(prohibited) => Err(OutboundError::AddressProhibited { origin: origin.clone(), prohibited }),
            None => Err(OutboundError::DnsError {
                origin: origin.clone(),
                reason: "it has no address".to_owned(),
            }),
        }
    }
}

/// Tries one address after another, each for its share of the remaining time.
async fn first_to_answer(
    origin: &Origin,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<TcpStream, OutboundError> {
    let mut failure = OutboundError::ConnectionTimeout { origin: origin.clone() };
    for (tried, address) in addresses.iter().enumerate() {
        let to_try = u32::try_from(addresses.len().saturating_sub(tried)).unwrap_or(u32::MAX);
        let left = deadline.saturating_duration_since(Instant::now());
        let share = left.checked_div(to_try).unwrap_or(left);
        failure = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => why_not(origin, *address, &error),
            Err(_) => OutboundError::ConnectionTimeout { origin: origin.clone() },
        };
    }
    Err(failure)
}

fn why_not(origin: &Origin, address: SocketAddr, error: &io::Error) -> OutboundError {
    let origin = origin.clone();
    match error.kind() {
        io::ErrorKind::ConnectionRefused => OutboundError::ConnectionRefused { origin },
        io::ErrorKind::TimedOut => OutboundError::ConnectionTimeout { origin },
        _ => OutboundError::Unreachable { origin, reason: format!("{address}: {error}") },
    }
}

fn deadline_in(duration: Duration) -> Instant {
    let now = Instant::now();
    now.checked_add(duration).unwrap_or(now)
}

impl Service<Uri> for Connector {
    type Response = Socket;
    type Error = OutboundError;
    type Future = Pin<Box<dyn Future<Output = Result<Socket, OutboundError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OutboundError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().connect(uri))
    }
}

/// A connector that adds TLS for `https` origins, with one deadline for the whole connection: the client may finish a
/// connection in the background after its request is gone.
#[derive(Debug, Clone)]
pub(super) struct Secured {
    inner: HttpsConnector<Connector>,
}

impl Secured {
    /// A connector with TLS by `config`, which verifies the origin's host.
    pub(super) fn new(connector: Connector, config: Arc<rustls::ClientConfig>) -> Self {
        Self { inner: HttpsConnector::from((connector, config)) }
    }
}

impl Service<Uri> for Secured {
    type Response = MaybeHttpsStream<Socket>;
    type Error = Box<dyn std::error::Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let origin = Origin::of(&uri);
        let connecting = self.inner.call(uri);
        Box::pin(async move {
            match timeout(MAX_CONNECT, connecting).await {
                Ok(connected) => connected,
                Err(_) => Err(OutboundError::ConnectionTimeout { origin: origin? }.into()),
            }
        })
    }
}

/// A connection's socket, which counts as open until it is closed.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TokioIo<TcpStream>,
    /// The pause timer: runs while the server takes nothing.
    pause: Option<Pin<Box<Sleep>>>,
    served: Served,
    _permits: [OwnedSemaphorePermit; 2],
}

/// A mark on a connection: true once the connection has brought an answer.
#[derive(Debug, Clone, Default)]
pub(super) struct Served(Arc<AtomicBool>);

impl Served {
    pub(super) fn of(connection: &Connected) -> Option<Self> {
        let mut extras = http::Extensions::new();
        connection.get_extras(&mut extras);
        extras.remove()
    }

    pub(super) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Socket {
    /// The result of a write; it fails if the server has taken nothing for too long.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            self.pause = None;
            return written;
        }
        let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(MAX_WRITE_PAUSE)));
        let failure = || Err(io::Error::new(io::ErrorKind::TimedOut, "the server takes nothing"));
        pause.as_mut().poll(context).map(|()| failure())
    }
}

impl Connection for Socket {
    fn connected(&self) -> Connected {
        Connected::new().extra(self.served.clone())
    }
}

impl Read for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.written(context, written)
    }
}
