//! Listeners: sockets that listen at an address and accept connections.

use std::io;
use std::net::IpAddr;

use tokio::net::{TcpListener, UnixListener};

use super::address::{Address, Preamble};
use super::bind::{self, BindError, Permissions};
use super::inherited::{Inherited, InheritedSocket};

/// A socket that listens at an address.
pub struct Listener {
    address: Address,
    preamble: Preamble,
    socket: Socket,
    /// True if the socket was made by this process, and ends with it.
    is_ours: bool,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Binds `address`, or takes the socket of that address that was handed over, which stays as it is. `others` are
    /// the addresses that this host listens on already.
    pub async fn bind(
        address: Address,
        preamble: Preamble,
        permissions: &Permissions,
        inherited: &mut Inherited,
        others: impl Iterator<Item = &Address> + Send,
    ) -> Result<Self, BindError> {
        if let Some(listener) = inherited.take(&address) {
            let socket = match listener {
                InheritedSocket::Tcp(listener) => TcpListener::from_std(listener).map(Socket::Tcp),
                InheritedSocket::Unix(listener) => UnixListener::from_std(listener).map(Socket::Unix),
            };
            let socket = socket.map_err(|reason| BindError::without_hint(address.clone(), reason))?;
            return Ok(Self { address, preamble, socket, is_ours: false });
        }
        let socket = match &address {
            Address::Tcp(tcp) => bind::tcp(*tcp).map(Socket::Tcp),
            Address::Unix(path) => bind::unix(path, permissions).await.map(Socket::Unix),
        };
        let socket = socket.map_err(|reason| {
            let others: Vec<_> = others.cloned().collect();
            BindError::new(address.clone(), reason, &others)
        })?;
        // Port 0 is known only now.
        let address = match &socket {
            Socket::Tcp(listener) => listener.local_addr().map_or(address, Address::Tcp),
            Socket::Unix(_) => address,
        };
        Ok(Self { address, preamble, socket, is_ours: true })
    }

    /// The listener's address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The protocols that a connection there begins with.
    pub fn preamble(&self) -> Preamble {
        self.preamble
    }

    /// True if the socket was made by this process: no other process accepts the connections in its queue.
    pub(in crate::listen) fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// The next connection, and the peer's address, if the peer has one.
    pub async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        match &self.socket {
            Socket::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                // Answers are written whole; a wait for a full packet only delays them.
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), Some(peer.ip().to_canonical())))
            }
            Socket::Unix(listener) => Ok((Stream::Unix(listener.accept().await?.0), None)),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address
            && self.is_ours
        {
            // If the file is gone already, nothing is left to remove.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A connection as the system gives it.
pub enum Stream {
    /// Of TCP.
    Tcp(tokio::net::TcpStream),
    /// Of a Unix socket.
    Unix(tokio::net::UnixStream),
}
