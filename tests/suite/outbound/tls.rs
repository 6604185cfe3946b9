//! TLS with the servers that plugins ask: by the name that was granted, with the authorities that the host trusts, over
//! HTTP/2 where the server speaks it.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use jackfield_tests::{Host, alone};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::names::Dns;
use super::upstream::ok;
use super::{fetch, guest_at, reason, start_site, told};

/// An authority of the test's own, in a file as `certificates` names it.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let folder = TempDir::new().unwrap();
        let pem = parameters.self_signed(&key).unwrap().pem();
        std::fs::write(folder.path().join("ca.pem"), pem).unwrap();
        Self { issuer: Issuer::new(parameters, key), folder }
    }

    /// TLS with a certificate of this authority's for these names and addresses.
    fn acceptor(&self, names: &[&str], protocols: &[&str]) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        TlsAcceptor::from(Arc::new(config))
    }

    /// A host that trusts this authority, and lets its guest reach the loopback.
    async fn host(&self, origins: &[&str]) -> Host {
        let file = self.folder.path().join("ca.pem");
        let outbound = format!("allow = [\"127.0.0.0/8\"]\ncertificates = '{}'", file.display());
        start_site(&outbound, &guest_at(origins, "")).await
    }
}

/// A server that says which version it was asked in, for which host, and by which name its certificate was chosen.
struct TlsUpstream {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    running: JoinHandle<()>,
}

impl Drop for TlsUpstream {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl TlsUpstream {
    async fn start(acceptor: TlsAcceptor) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (connected, asked) = (connections.clone(), requests.clone());
        let running = tokio::spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connected.fetch_add(1, Ordering::SeqCst);
                served.spawn(serve(stream, acceptor.clone(), asked.clone()));
            }
        });
        Self { address, connections, requests, running }
    }

    fn asked(&self) -> (usize, usize) {
        (self.connections.load(Ordering::SeqCst), self.requests.load(Ordering::SeqCst))
    }
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor, asked: Arc<AtomicUsize>) {
    let Ok(stream) = acceptor.accept(stream).await else { return };
    let session = stream.get_ref().1;
    let name = session.server_name().unwrap_or("none").to_owned();
    let is_http2 = session.alpn_protocol() == Some(b"h2");
    let service = service_fn(move |request: Request<Incoming>| {
        asked.fetch_add(1, Ordering::SeqCst);
        let host = request.headers().get("host").and_then(|host| host.to_str().ok());
        let host = request.uri().authority().map(|host| host.as_str()).or(host).unwrap_or("none");
        let said = format!("{:?} {host} {name}\n", request.version());
        async move { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(said)))) }
    });
    let stream = TokioIo::new(stream);
    if is_http2 {
        let _ = http2::Builder::new(TokioExecutor::new()).serve_connection(stream, service).await;
    } else {
        let _ = http1::Builder::new().serve_connection(stream, service).await;
    }
}

#[test]
fn an_https_origin_is_asked_by_its_name_and_in_the_version_that_it_speaks() {
    alone(
        "outbound::tls::an_https_origin_is_asked_by_its_name_and_in_the_version_that_it_speaks",
        async || {
            let _dns = Dns::start(|_| vec!["127.0.0.1".parse::<IpAddr>().unwrap()]).await;
            let authority = Authority::new();
            for (protocols, version) in
                [(&["h2", "http/1.1"][..], "HTTP/2.0"), (&["http/1.1"], "HTTP/1.1"), (&[], "HTTP/1.1")]
            {
                let upstream = TlsUpstream::start(authority.acceptor(&["api.test"], protocols)).await;
                let port = upstream.address.port();
                let origin = format!("https://api.test:{port}");
                let host = authority.host(&[&origin]).await;
                for _ in 0..3 {
                    let answer = fetch(&host, &origin).await;
                    assert_eq!(answer.expect(200).text(), format!("{version} api.test:{port} api.test\n"));
                }
                // One connection is enough, and is not made in the clear.
                assert_eq!(upstream.asked(), (1, 3), "{version}");
                let plain = fetch(&host, &format!("http://api.test:{port}")).await;
                assert_eq!(plain.expect(502).text(), "HTTP-request-denied\n");
            }
        },
    );
}

#[test]
fn a_certificate_that_is_not_the_origins_is_refused() {
    alone("outbound::tls::a_certificate_that_is_not_the_origins_is_refused", async || {
        let _dns = Dns::start(|_| vec!["127.0.0.1".parse::<IpAddr>().unwrap()]).await;
        let (authority, stranger) = (Authority::new(), Authority::new());
        let cases = [
            (&authority, "other.test", "api.test", "TLS-certificate-error\n"),
            (&authority, "*.api.test", "api.test", "TLS-certificate-error\n"),
            (&authority, "api.test", "127.0.0.1", "TLS-certificate-error\n"),
            (&stranger, "api.test", "api.test", "TLS-certificate-error\n"),
        ];
        for (signer, certified, asked, expected) in cases {
            let upstream = TlsUpstream::start(signer.acceptor(&[certified], &["h2", "http/1.1"])).await;
            let origin = format!("https://{asked}:{}", upstream.address.port());
            let host = authority.host(&[&origin]).await;
            let answer = fetch(&host, &origin).await;
            println!("{asked}: {}", reason(&host, &answer));
            assert_eq!(answer.expect(502).text(), expected, "{asked} with a certificate for {certified}");
            assert!(reason(&host, &answer).contains("the certificate of"), "{answer}");
            assert_eq!(upstream.asked(), (1, 0), "no request was sent");

            let failed = host.get(&format!("{}&or-fail", super::path(&origin))).await;
            failed.expect_problem(502, "upstream");
            assert_eq!(told(&host, &failed).await, ("upstream".into(), "upstream".into()));
        }
        // A certificate of an address's own is one.
        let upstream = TlsUpstream::start(authority.acceptor(&["127.0.0.1"], &[])).await;
        let origin = format!("https://{}", upstream.address);
        let host = authority.host(&[&origin]).await;
        let answer = fetch(&host, &origin).await;
        assert_eq!(answer.expect(200).text(), format!("HTTP/1.1 {} none\n", upstream.address));

        // TLS is never left out.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("https://{}", listener.local_addr().unwrap());
        let plain = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(ok("in the clear\n").as_bytes()).await.unwrap();
            stream.read(&mut [0; 1000]).await.unwrap()
        });
        let host = authority.host(&[&origin]).await;
        assert_eq!(fetch(&host, &origin).await.expect(502).text(), "TLS-protocol-error\n");
        assert!(plain.await.unwrap() > 0, "TLS was begun");
    });
}
