//! The server that the host is compared with: hyper, tokio, and what the measured plugins answer, nothing else.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{io, process, thread};

use anyhow::{Result, bail};
use bytes::Bytes;
use guest_support::Catalogue;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::{events, transfer};

/// The bytes of a download that are written at once: whole periods of the pattern, some 64 KiB.
const PIECE_BYTES: usize = 261 * transfer::PATTERN_PERIOD;

/// Of a download that does not say how many it wants.
pub(crate) const DOWNLOAD_BYTES: u64 = 64 << 20;

/// What the bookstore answers for its one book: here a constant.
pub(crate) const BOOK: &str = r#"{"author":"Ada Moor","id":"0000000001","isbn":"9780306406157","price_cents":1250,"title":"Tides","year":1999}"#;
pub(crate) const BOOK_PATH: &str = "/api/books/0000000001";

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What every request is answered with whose path asks for nothing else
    #[arg(long)]
    body: String,
    #[arg(long, value_enum, default_value_t = Protocol::Http1)]
    protocol: Protocol,
    /// For TLS: a file in PEM
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    /// For TLS: a file in PEM
    #[arg(long, requires = "certificate")]
    key: Option<PathBuf>,
}

/// How requests travel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Protocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2 without TLS, from the first byte on
    Http2,
    /// HTTP/1.1 over TLS
    Tls,
}

/// Serves on a free port of the loopback, printed on the first line, until standard input ends: so it never
/// outlives who started it.
pub(crate) fn run(arguments: Arguments) -> Result<()> {
    thread::spawn(|| {
        let _ended = io::copy(&mut io::stdin(), &mut io::sink());
        process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("{}", listener.local_addr()?);
        let wire = match (arguments.protocol, arguments.certificate, arguments.key) {
            (Protocol::Http1, ..) => Wire::Http1,
            (Protocol::Http2, ..) => Wire::Http2,
            (Protocol::Tls, Some(certificate), Some(key)) => Wire::Tls(acceptor(&certificate, &key)?),
            (Protocol::Tls, ..) => bail!("TLS needs --certificate and --key"),
        };
        serve(listener, wire, arguments.body.into()).await
    })
}

/// What each connection speaks.
#[derive(Clone)]
pub(super) enum Wire {
    Http1,
    Http2,
    Tls(TlsAcceptor),
}

/// TLS with the certificate and the key in these files.
pub(super) fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<Vec<_>, _>>()?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, PrivateKeyDer::from_pem_file(key)?)?;
    Ok(Arc::new(config).into())
}

async fn serve(listener: TcpListener, wire: Wire, hello: Bytes) -> Result<()> {
    let says = Says { hello, piece: Bytes::from(transfer::pattern(PIECE_BYTES)) };
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A caller that hangs up is no concern of this server: the load counts its own answers.
        tokio::spawn(connection(stream, wire.clone(), says.clone()));
    }
}

async fn connection(stream: TcpStream, wire: Wire, says: Says) -> Result<()> {
    let answer = service_fn(move |request| answer(request, says.clone()));
    match wire {
        Wire::Http1 => http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await?,
        Wire::Http2 => {
            let http2 = http2::Builder::new(TokioExecutor::new());
            http2.serve_connection(TokioIo::new(stream), answer).await?;
        }
        Wire::Tls(acceptor) => {
            let stream = TokioIo::new(acceptor.accept(stream).await?);
            http1::Builder::new().serve_connection(stream, answer).await?;
        }
    }
    Ok(())
}

/// The bytes that are said again and again.
#[derive(Clone)]
struct Says {
    hello: Bytes,
    piece: Bytes,
}

async fn answer(request: Request<Incoming>, says: Says) -> Result<Response<Answer>, hyper::Error> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (kind, body) = match request.uri().path() {
        "/count" => ("text/plain", Answer::Text(Full::new(count(request.into_body()).await?.into()))),
        "/json" => {
            let json = serde_json::to_vec(&Catalogue::new()).unwrap_or_default();
            ("application/json", Answer::Text(Full::new(json.into())))
        }
        "/echo" => ("application/octet-stream", Answer::Echo(request.into_body())),
        "/download" => {
            let (bytes, length) = match number(&query, "bytes") {
                Some(bytes) => (bytes, Length::Unstated),
                None => (DOWNLOAD_BYTES, Length::Stated),
            };
            ("application/octet-stream", Answer::Download { piece: says.piece, left: bytes, length })
        }
        BOOK_PATH => ("application/json", Answer::Text(Full::new(BOOK.into()))),
        "/sse" => {
            let every = Duration::from_millis(number(&query, "every-ms").unwrap_or(0).max(1));
            let mut timer = interval(every);
            timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let last = number(&query, "events").unwrap_or(0);
            ("text/event-stream", Answer::Events { said: 0, last, timer })
        }
        _ => ("text/plain", Answer::Text(Full::new(says.hello))),
    };
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

async fn count(mut body: Incoming) -> Result<String, hyper::Error> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    Ok(format!("bytes={bytes}\n"))
}

/// The first `name=…` of a query, if it is a number.
fn number<N: FromStr>(query: &str, name: &str) -> Option<N> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(found, _)| *found == name)?.1.parse().ok()
}

/// An answer's body, made as it is asked for.
enum Answer {
    Text(Full<Bytes>),
    /// The request's body, as it arrives.
    Echo(Incoming),
    /// So many bytes of the pattern. Always given in whole pieces, but for the last one.
    Download {
        piece: Bytes,
        left: u64,
        length: Length,
    },
    /// Numbered events, one a tick.
    Events {
        said: u32,
        last: u32,
        timer: Interval,
    },
}

/// Whether the head says how long a download is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Stated,
    Unstated,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            Self::Text(text) => Pin::new(text).poll_frame(context).map_err(|never| match never {}),
            Self::Echo(body) => Pin::new(body).poll_frame(context),
            Self::Download { left: 0, .. } => Poll::Ready(None),
            Self::Download { piece, left, .. } => {
                let now = usize::try_from(*left).unwrap_or(usize::MAX).min(piece.len());
                *left -= now as u64;
                Poll::Ready(Some(Ok(Frame::data(piece.slice(..now)))))
            }
            Self::Events { said, last, .. } if said == last => Poll::Ready(None),
            Self::Events { said, timer, .. } => {
                ready!(timer.poll_tick(context));
                *said += 1;
                Poll::Ready(Some(Ok(Frame::data(events::event(*said).into()))))
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => text.size_hint(),
            Self::Echo(body) => body.size_hint(),
            Self::Download { left, length: Length::Stated, .. } => SizeHint::with_exact(*left),
            Self::Download { .. } | Self::Events { .. } => SizeHint::default(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::net::{Ipv4Addr, SocketAddr};
    use std::thread;
    use std::time::Duration;

    use super::super::events::Listening;
    use super::super::transfer::{Direction, Fetcher};
    use super::{BOOK, BOOK_PATH, DOWNLOAD_BYTES, Wire};

    /// A server that ends with the tests.
    pub(in super::super) fn server(wire: Wire, body: &'static str) -> SocketAddr {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                super::serve(listener, wire, body.into()).await
            })
        });
        address
    }

    #[test]
    fn it_gives_what_every_load_expects() {
        let address = server(Wire::Http1, "hello\n");
        let mut fetcher = Fetcher::open(address).unwrap();
        for (path, bytes) in
            [("/", 6), ("/json", 1024), (BOOK_PATH, BOOK.len() as u64), ("/download", DOWNLOAD_BYTES)]
        {
            assert_eq!(fetcher.fetch(path).unwrap(), bytes, "{path}");
        }
        for bytes in [0, 1, 3_000_000] {
            Direction::Up.transfer(address, bytes).unwrap();
            Direction::Down.transfer(address, bytes).unwrap();
        }
        let heard =
            Listening { clients: 20, events: 12, every: Duration::from_millis(1) }.run(address).unwrap();
        assert_eq!(heard.iter().map(|heard| heard.events).collect::<Vec<_>>(), [12; 20]);
    }
}
