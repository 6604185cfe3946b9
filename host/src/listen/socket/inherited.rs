//! Listening sockets that were handed over when the process started (`LISTEN_FDS`, as systemd and others do it): while
//! one host ends and the next begins, new connections wait in the socket's queue.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use listenfd::ListenFd;
use rustix::net::sockopt;

use super::address::Address;

/// The sockets that were handed over and not taken yet, by their addresses.
#[derive(Debug, Default)]
pub struct Inherited(Vec<(Address, InheritedSocket)>);

/// A socket that was handed over.
#[derive(Debug)]
pub(super) enum InheritedSocket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The reason why a socket that was handed over cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InheritedError {
    /// The socket is something else.
    #[error("socket {0} of LISTEN_FDS is not a listening socket of TCP, nor a Unix socket with a path: {1}")]
    NotListening(usize, #[source] io::Error),
    /// The site has no listener with this address.
    #[error(
        "a socket for {0} was handed over by LISTEN_FDS, and no `listen` or `admin` of [host] has this address"
    )]
    Unused(Address),
}

impl Inherited {
    /// The sockets that were handed over.
    pub fn new(mut handed_over: ListenFd) -> Result<Self, InheritedError> {
        let sockets = (0..handed_over.len()).map(|index| {
            take(&mut handed_over, index).map_err(|error| InheritedError::NotListening(index, error))
        });
        sockets.collect::<Result<_, _>>().map(Self)
    }

    /// The socket of this address, if there is one.
    pub(super) fn take(&mut self, address: &Address) -> Option<InheritedSocket> {
        let index = self.0.iter().position(|(of, _)| of == address)?;
        Some(self.0.swap_remove(index).1)
    }

    /// Fails if a socket was not taken.
    pub fn all_taken(&self) -> Result<(), InheritedError> {
        self.0.first().map_or(Ok(()), |(address, _)| Err(InheritedError::Unused(address.clone())))
    }
}

fn take(handed_over: &mut ListenFd, index: usize) -> io::Result<(Address, InheritedSocket)> {
    let none = || io::Error::from(io::ErrorKind::NotFound);
    if let Ok(Some(listener)) = handed_over.take_tcp_listener(index) {
        listens(sockopt::socket_acceptconn(&listener)?)?;
        listener.set_nonblocking(true)?;
        return Ok((Address::Tcp(listener.local_addr()?), InheritedSocket::Tcp(listener)));
    }
    let listener = handed_over.take_unix_listener(index)?.ok_or_else(none)?;
    listens(sockopt::socket_acceptconn(&listener)?)?;
    listener.set_nonblocking(true)?;
    let path = listener.local_addr()?.as_pathname().ok_or_else(none)?.to_owned();
    Ok((Address::Unix(path), InheritedSocket::Unix(listener)))
}

fn listens(is_listening: bool) -> io::Result<()> {
    if is_listening { Ok(()) } else { Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen")) }
}
