//! An authority of the test's own, certificates by it in a folder, and a client that trusts it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, Version};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jackfield_tests::{PATIENCE, replace};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, HandshakeKind, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
    trusted: RootCertStore,
}

impl Authority {
    pub(super) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let mut trusted = RootCertStore::empty();
        trusted.add(parameters.self_signed(&key).unwrap().der().clone()).unwrap();
        Self { issuer: Issuer::new(parameters, key), folder: TempDir::new().unwrap(), trusted }
    }

    /// A file in its folder.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes NAME.pem, a new certificate for these names, and NAME.key.
    pub(super) fn certify(&self, name: &str, names: &[&str]) -> CertificateDer<'static> {
        self.certify_as(name, names, |_| ())
    }

    pub(super) fn certify_as(
        &self,
        name: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateDer<'static> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        change(&mut parameters);
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        replace(&self.file(&format!("{name}.key")), key.serialize_pem().as_bytes());
        replace(&self.file(&format!("{name}.pem")), certificate.pem().as_bytes());
        certificate.der().clone()
    }

    /// `[host]` with a port for TLS and these pairs.
    pub(super) fn host(&self, pairs: &[&str]) -> String {
        let mut text = "listen = [{ address = \"127.0.0.1:0\", tls = true }]\n".to_owned();
        text += &self.pairs(pairs);
        text
    }

    pub(super) fn pairs(&self, pairs: &[&str]) -> String {
        let pair = |name: &&str| {
            let [certificate, key] = ["pem", "key"].map(|kind| self.file(&format!("{name}.{kind}")));
            format!("[[host.tls]]\ncertificate = '{}'\nkey = '{}'\n", certificate.display(), key.display())
        };
        pairs.iter().map(pair).collect()
    }

    /// A client that trusts it, and would speak these protocols, the first first.
    pub(super) fn client(&self, protocols: &[&str]) -> Client {
        self.client_of(protocols, rustls::ALL_VERSIONS)
    }

    pub(super) fn client_of(
        &self,
        protocols: &[&str],
        versions: &[&'static SupportedProtocolVersion],
    ) -> Client {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.trusted.clone())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        Client(config)
    }
}

#[derive(Clone)]
pub(super) struct Client(pub(super) ClientConfig);

impl Client {
    /// Connects, asks for the certificate of `name`, and checks it.
    pub(super) async fn connect(&self, address: SocketAddr, name: &str) -> std::io::Result<Connected> {
        self.connect_over(TcpStream::connect(address).await?, name).await
    }

    pub(super) async fn connect_over<S: Stream>(
        &self,
        stream: S,
        name: &str,
    ) -> std::io::Result<Connected<S>> {
        let name = ServerName::try_from(name.to_owned()).expect("a test knows its names");
        let connecting = TlsConnector::from(Arc::new(self.0.clone())).connect(name, stream);
        let stream = tokio::time::timeout(PATIENCE, connecting).await.expect("the handshake ends in time")?;
        Ok(Connected(stream))
    }

    /// The certificate that is shown to whoever asks for `name`, whether it is for that name or not.
    pub(super) async fn shown(&self, address: SocketAddr, name: &str) -> CertificateDer<'static> {
        let mut careless = self.clone();
        // A session that is resumed shows none.
        careless.0.resumption = Resumption::disabled();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        careless.0.dangerous().set_certificate_verifier(Arc::new(Careless(provider)));
        careless.connect(address, name).await.expect("TLS is spoken").certificate()
    }
}

pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Stream for S {}

pub(super) struct Connected<S = TcpStream>(pub(super) TlsStream<S>);

/// A whole answer.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) version: Version,
    pub(super) text: String,
}

impl<S: Stream> Connected<S> {
    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        self.0.get_ref().1.peer_certificates().expect("a server has a certificate")[0].clone()
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.0.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// A GET, and the connection's end. `url` has the host that is asked for.
    pub(super) async fn get(self, url: &str) -> anyhow::Result<Told> {
        let mut asking = self.asking().await?;
        asking.get(url).await
    }

    /// The connection as one for requests, in the version that was agreed on.
    pub(super) async fn asking(self) -> anyhow::Result<Asking> {
        if self.0.get_ref().1.alpn_protocol() == Some(b"h2") {
            let io = TokioIo::new(self.0);
            let (sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            return Ok(Asking::Http2(sender));
        }
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(self.0)).await?;
        tokio::spawn(connection);
        Ok(Asking::Http1(sender))
    }
}

pub(super) enum Asking {
    Http1(hyper::client::conn::http1::SendRequest<Empty<Bytes>>),
    Http2(hyper::client::conn::http2::SendRequest<Empty<Bytes>>),
}

impl Asking {
    pub(super) async fn get(&mut self, url: &str) -> anyhow::Result<Told> {
        let request = Request::get(url).body(Empty::new())?;
        tokio::time::timeout(PATIENCE, self.send(request)).await?
    }

    async fn send(&mut self, mut request: Request<Empty<Bytes>>) -> anyhow::Result<Told> {
        let answer = match self {
            Self::Http2(sender) => sender.send_request(request).await?,
            Self::Http1(sender) => {
                let host = request.uri().authority().expect("a test asks for a host").to_string();
                *request.uri_mut() = request.uri().path().parse()?;
                request.headers_mut().insert("host", host.parse()?);
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let (head, body) = answer.into_parts();
        let text = String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned();
        Ok(Told { status: head.status, version: head.version, text })
    }
}

/// Takes every certificate.
#[derive(Debug)]
struct Careless(rustls::crypto::CryptoProvider);

impl rustls::client::danger::ServerCertVerifier for Careless {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
