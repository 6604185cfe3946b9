//! Addresses: where callers connect, and taking connections from there.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::{fmt, io};

use tokio::net::{TcpListener, UnixListener};

use super::bind::{self, BindError, Permissions};
use super::inherited::{Inherited, Listener};

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

impl Bound {
    /// Binds `address`, unless a socket of that address was handed over, which stays as it is. `others` are those that this
    /// host is bound to already.
    pub async fn bind(
        address: Address,
        spoken: Spoken,
        permissions: &Permissions,
        inherited: &mut Inherited,
        others: &[Self],
    ) -> Result<Self, BindError> {
        if let Some(listener) = inherited.take(&address) {
            let socket = match listener {
                Listener::Tcp(listener) => TcpListener::from_std(listener).map(Socket::Tcp),
                Listener::Unix(listener) => UnixListener::from_std(listener).map(Socket::Unix),
            };
            let socket = socket.map_err(|reason| BindError::without_hint(address.clone(), reason))?;
            return Ok(Self { address, spoken, socket, is_ours: false });
        }
        let socket = match &address {
            Address::Tcp(tcp) => bind::tcp(*tcp).map(Socket::Tcp),
            Address::Unix(path) => bind::unix(path, permissions).await.map(Socket::Unix),
        };
        let socket = socket.map_err(|reason| {
            let others: Vec<_> = others.iter().map(|other| other.address.clone()).collect();
            BindError::new(address.clone(), reason, &others)
        })?;
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
