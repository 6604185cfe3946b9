//! Addresses: binding them, and taking connections from them.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::{fmt, io};

use tokio::net::{TcpListener, UnixListener};

use super::inherited::{Inherited, Listener};

/// Connections that the system keeps until they are accepted; it may allow fewer.
const BACKLOG: i32 = 4096;

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
    pub(super) address: Address,
    pub(super) reason: io::Error,
    pub(super) hint: &'static str,
}

/// What is spoken at an address before HTTP is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spoken {
    /// TLS.
    pub tls: bool,
    /// Before that, a header of the PROXY protocol.
    pub proxy_protocol: bool,
}

/// A bound address.
pub struct Bound {
    address: Address,
    spoken: Spoken,
    socket: Socket,
    /// Whether it was made here, and ends here.
    is_ours: bool,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Bound {
    /// Binds `address`, unless a socket of that address was handed over. A socket file that a dead process left behind is
    /// replaced.
    pub async fn bind(
        address: Address,
        spoken: Spoken,
        inherited: &mut Inherited,
    ) -> Result<Self, BindError> {
        if let Some(listener) = inherited.take(&address) {
            let socket = match listener {
                Listener::Tcp(listener) => TcpListener::from_std(listener).map(Socket::Tcp),
                Listener::Unix(listener) => UnixListener::from_std(listener).map(Socket::Unix),
            };
            let refused = |reason| BindError { hint: "", address: address.clone(), reason };
            let socket = socket.map_err(refused)?;
            return Ok(Self { address, spoken, socket, is_ours: false });
        }
        let socket = match &address {
            Address::Tcp(tcp) => TcpListener::bind(tcp).await.map(Socket::Tcp),
            Address::Unix(path) => bind_unix(path).await.map(Socket::Unix),
        };
        let socket = socket.and_then(|socket| {
            rustix::net::listen(&socket, BACKLOG)?;
            Ok(socket)
        });
        let socket =
            socket.map_err(|reason| BindError { hint: hint(&reason), address: address.clone(), reason })?;
        // Port 0 is known only now.
        let address = match &socket {
            Socket::Tcp(listener) => listener.local_addr().map_or(address, Address::Tcp),
            Socket::Unix(_) => address,
        };
        Ok(Self { address, spoken, socket, is_ours: true })
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What is spoken there.
    pub(super) fn spoken(&self) -> Spoken {
        self.spoken
    }

    /// Whether it was made here: nobody else takes what waits in its queue.
    pub(super) fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// The next connection, and who is at its other end, if that has an address.
    pub(super) async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
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
        if let Address::Unix(path) = &self.address
            && self.is_ours
        {
            // Gone already is as good.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A connection as the system gives it.
pub(super) enum Stream {
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

pub(super) fn hint(reason: &io::Error) -> &'static str {
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
