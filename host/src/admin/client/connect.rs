//! Connections to a host: a Unix socket, TCP, or TLS.

use std::fs::File;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::address::{HostAddress, bare};

/// The longest file of authorities, in bytes.
const MAX_AUTHORITIES_BYTES: u64 = 4 * 1024 * 1024;

/// The most addresses of a name that are tried.
const MAX_ADDRESSES: usize = 8;

/// The reason why a file of authorities cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the authorities in {} cannot be trusted: {why}", path.display())]
pub struct AuthoritiesError {
    path: PathBuf,
    why: String,
}

/// A connection, of whatever kind.
pub(super) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// The authorities that are trusted for TLS: the public ones, and those of a PEM file.
pub fn authorities(path: Option<&Path>) -> Result<RootCertStore, AuthoritiesError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let Some(path) = path else { return Ok(roots) };
    let refused = |why: String| AuthoritiesError { path: path.to_owned(), why };
    let mut pem = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_AUTHORITIES_BYTES).read_to_end(&mut pem))
        .map_err(|error| refused(error.to_string()))?;
    let mut found: usize = 0;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| refused(format!("it is not PEM: {error}")))?;
        roots.add(certificate).map_err(|error| refused(error.to_string()))?;
        found = found.saturating_add(1);
    }
    if found == 0 {
        return Err(refused("it has no `-----BEGIN CERTIFICATE-----`".into()));
    }
    Ok(roots)
}

/// The settings of TLS with these authorities.
pub(super) fn tls(authorities: RootCertStore) -> Result<TlsConnector, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Connects to the host.
pub(super) async fn connect(address: &HostAddress, tls: &TlsConnector) -> io::Result<Box<dyn Connection>> {
    match address {
        HostAddress::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        HostAddress::Http(authority) => {
            let port = authority.port_u16().unwrap_or(80);
            Ok(Box::new(connect_to(bare(authority.host()), port).await?))
        }
        HostAddress::Https(authority) => {
            let host = bare(authority.host());
            let stream = connect_to(host, authority.port_u16().unwrap_or(443)).await?;
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            Ok(Box::new(tls.connect(name, stream).await?))
        }
    }
}

/// Connects to the first address that takes a connection. `localhost` is this machine, whatever it resolves to.
async fn connect_to(host: &str, port: u16) -> io::Result<TcpStream> {
    let resolved: Vec<SocketAddr> = lookup_host((host, port)).await?.take(MAX_ADDRESSES).collect();
    let allowed = |address: &&SocketAddr| host != "localhost" || address.ip().is_loopback();
    let mut last = None;
    for address in resolved.iter().filter(allowed) {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address")))
}
