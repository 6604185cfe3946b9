//! The address of a host's admin API, as it is given to the command line.
//!
//! Owns the rule that a token is sent in plain text to this machine alone.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::str::FromStr;

use http::Uri;
use http::uri::{Authority, Scheme};

/// The address of a host's admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostAddress {
    /// The path of a Unix socket.
    Unix(PathBuf),
    /// Plain HTTP.
    Http(Authority),
    /// HTTP over TLS.
    Https(Authority),
}

/// The reason why a text is not the address of a host, or why a token cannot be sent there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// The text has another form.
    #[error("`{0}` is not the address of a host: write unix:PATH, http://127.0.0.1:PORT or https://NAME")]
    Form(String),
    /// The text has more than scheme, name and port.
    #[error("`{0}` has more than the address of a host: write it without path and user")]
    MoreThanAddress(String),
    /// A token would be sent in plain text over a network.
    #[error(
        "a token is not sent to {0}: it would cross the network in plain text; use https://, or a Unix socket"
    )]
    PlainToken(String),
}

impl HostAddress {
    /// Refuses plain HTTP with a token, unless the host is on this machine.
    pub fn check_token(&self) -> Result<(), AddressError> {
        match self {
            Self::Http(authority) if !is_loopback(authority.host()) => {
                Err(AddressError::PlainToken(self.to_string()))
            }
            _ => Ok(()),
        }
    }

    /// The value of the field `host`.
    pub(super) fn authority(&self) -> &str {
        match self {
            Self::Unix(_) => "localhost",
            Self::Http(authority) | Self::Https(authority) => authority.as_str(),
        }
    }
}

/// True for addresses of this machine, and for the one name that stands for them.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost" || bare(host).parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// A host without the brackets of an IPv6 address.
pub(super) fn bare(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

impl FromStr for HostAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let form = || AddressError::Form(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(form()) } else { Ok(Self::Unix(path.into())) };
        }
        let uri: Uri = text.parse().map_err(|_| form())?;
        let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return Err(form()) };
        let is_whole = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if !is_whole || authority.as_str().contains('@') {
            return Err(AddressError::MoreThanAddress(text.to_owned()));
        }
        if authority.host().is_empty() {
            return Err(form());
        }
        if *scheme == Scheme::HTTP {
            Ok(Self::Http(authority.clone()))
        } else if *scheme == Scheme::HTTPS {
            Ok(Self::Https(authority.clone()))
        } else {
            Err(form())
        }
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Http(authority) => write!(f, "http://{authority}"),
            Self::Https(authority) => write!(f, "https://{authority}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_written_alike() {
        for text in [
            "unix:admin.sock",
            "unix:/run/jackfield/admin.sock",
            "http://127.0.0.1:9090",
            "http://[::1]:9090",
            "https://host.example",
            "https://host.example:8443",
        ] {
            assert_eq!(text.parse::<HostAddress>().map(|address| address.to_string()), Ok(text.to_owned()));
        }
        let slash = "https://host.example/".parse::<HostAddress>().map(|address| address.to_string());
        assert_eq!(slash, Ok("https://host.example".to_owned()));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in
            ["", "unix:", "host.example", "127.0.0.1:9090", "ftp://host.example", "/run/admin.sock", "http:"]
        {
            let refused = text.parse::<HostAddress>();
            assert!(matches!(refused, Err(AddressError::Form(_))), "{text}: {refused:?}");
        }
        for text in ["https://host.example/v1", "https://a:b@host.example", "http://127.0.0.1:9090/?a"] {
            let refused = text.parse::<HostAddress>();
            assert!(matches!(refused, Err(AddressError::MoreThanAddress(_))), "{text}: {refused:?}");
        }
    }

    #[test]
    fn a_token_crosses_a_network_only_over_tls() {
        for (text, expected) in [
            ("unix:admin.sock", true),
            ("http://127.0.0.1:9090", true),
            ("http://127.8.9.1", true),
            ("http://[::1]:9090", true),
            ("http://localhost:9090", true),
            ("https://host.example", true),
            ("http://host.example", false),
            ("http://10.0.0.1:9090", false),
            ("http://localhost.example", false),
            ("http://0.0.0.0:9090", false),
            ("http://[fd00::1]", false),
        ] {
            let address: HostAddress = text.parse().unwrap();
            assert_eq!(address.check_token().is_ok(), expected, "{text}");
        }
    }
}
