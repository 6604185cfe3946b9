//! Addresses: the places that callers connect to, and the protocols that come before HTTP there.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// An address at which callers connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
}

/// The protocols that a connection begins with, before HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Preamble {
    /// TLS.
    pub tls: bool,
    /// The PROXY protocol: a header before the others.
    pub proxy_protocol: bool,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Address {
    /// True if a socket here and a socket at `address` exclude each other.
    pub(super) fn overlaps(&self, address: SocketAddr) -> bool {
        let Self::Tcp(own) = self else { return false };
        let is_same_family = own.is_ipv4() == address.is_ipv4();
        // A socket that was handed over may be for both families.
        let is_for_both = own.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        let is_wide = own.ip().is_unspecified() || address.ip().is_unspecified() || own.ip() == address.ip();
        own.port() == address.port() && ((is_same_family && is_wide) || is_for_both)
    }
}
